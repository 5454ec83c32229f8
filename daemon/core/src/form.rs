//! The original's validation of what clients send: which types are accepted for which, and with which words
//! anything else is refused. Command lines print these words.
//!
//! A form reads the fields of one object and collects every fault in the order in which fields are asked for.

mod filter;

use serde_json::{Map, Value};

pub use filter::{
    Boolean, Fields, Filter, Float, FreeObject, Integer, List, Text, TextMap, boolean, fields, float,
    free_object, integer, list, text, text_map,
};

/// What is wrong with an input: a message for each field, nested like the input.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Invalid(pub Map<String, Value>);

impl Invalid {
    /// One fault.
    #[must_use]
    pub fn of(field: &str, message: impl Into<String>) -> Self {
        let mut faults = Self::default();
        faults.add(field, message);
        faults
    }

    /// Adds a fault, unless the field has one already.
    pub fn add(&mut self, field: &str, message: impl Into<String>) {
        self.0.entry(field).or_insert_with(|| Value::String(message.into()));
    }

    /// Nothing is wrong.
    pub fn check(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

/// The fields of one object on their way to a typed input.
#[derive(Debug)]
pub struct Form<'a> {
    fields: &'a Map<String, Value>,
    faults: Invalid,
}

impl<'a> Form<'a> {
    /// Of these fields. Those that are never asked for are ignored.
    #[must_use]
    pub fn new(fields: &'a Map<String, Value>) -> Self {
        Self { fields, faults: Invalid::default() }
    }

    /// A field that must be there.
    pub fn required<F: Filter>(&mut self, name: &str, filter: &F) -> Option<F::Output> {
        match self.fields.get(name) {
            None => {
                self.faults.add(name, format!("{} is required", title(name)));
                None
            }
            Some(Value::Null) => {
                self.faults.add(name, format!("{} can't be nil", title(name)));
                None
            }
            Some(value) => self.filter(name, filter, value),
        }
    }

    /// A field that may be absent; null is the same as absent.
    pub fn optional<F: Filter>(&mut self, name: &str, filter: &F) -> Option<F::Output> {
        self.nullable(name, filter).flatten()
    }

    /// A field that may be absent (`None`) or null (`Some(None)`).
    pub fn nullable<F: Filter>(&mut self, name: &str, filter: &F) -> Option<Option<F::Output>> {
        match self.fields.get(name)? {
            Value::Null => Some(None),
            value => Some(Some(self.filter(name, filter, value)?)),
        }
    }

    /// A field that must be there and may be null.
    pub fn present<F: Filter>(&mut self, name: &str, filter: &F) -> Option<Option<F::Output>> {
        if !self.fields.contains_key(name) {
            self.faults.add(name, format!("{} is required", title(name)));
        }
        self.nullable(name, filter)
    }

    /// The input, if nothing was wrong. `made` is `None` only after a fault.
    pub fn conclude<T>(self, made: Option<T>) -> Result<T, Invalid> {
        self.faults.check()?;
        made.ok_or_else(Invalid::default)
    }

    fn filter<F: Filter>(&mut self, name: &str, filter: &F, value: &Value) -> Option<F::Output> {
        match filter.filter(&title(name), value) {
            Ok(value) => Some(value),
            Err(fault) => {
                self.faults.0.entry(name).or_insert(fault);
                None
            }
        }
    }
}

/// `container_count` as messages name it: `Container Count`.
fn title(name: &str) -> String {
    let mut title = String::with_capacity(name.len());
    for word in name.split(['_', '-', ' ']).filter(|word| !word.is_empty()) {
        if !title.is_empty() {
            title.push(' ');
        }
        let mut letters = word.chars();
        title.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        title.push_str(letters.as_str());
    }
    title
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }

    #[test]
    fn every_fault_is_collected_in_the_order_asked_for() {
        let input =
            object(json!({ "b": null, "initial_size": "x", "d": [1, "a b", {}], "e": 4, "f": { "g": "" } }));
        let mut form = Form::new(&input);
        let word = |text: &str| !text.contains(' ');
        form.required("a", &text());
        form.required("b", &text());
        form.required("initial_size", &integer());
        form.required("d", &list(text().matching(word)));
        form.required("e", &list(text()));
        form.required("f", &fields(|form| form.required("g", &text())));
        form.optional("absent", &text());
        let faults = form.conclude(Some(())).unwrap_err();
        assert_eq!(
            Value::Object(faults.0).to_string(),
            json!({
                "a": "A is required",
                "b": "B can't be nil",
                "initial_size": "Initial Size isn't an integer",
                "d": [null, "D[1] isn't in the right format", "D[2] isn't a string"],
                "e": "E isn't an array",
                "f": { "g": "G can't be blank" },
            })
            .to_string()
        );
    }

    #[test]
    fn null_is_absent_or_kept() {
        let input = object(json!({ "null": null, "set": "x" }));
        let mut form = Form::new(&input);
        assert_eq!(form.optional("null", &text()), None);
        assert_eq!(form.nullable("null", &text()), Some(None));
        assert_eq!(form.nullable("none", &text()), None);
        assert_eq!(form.nullable("set", &text()), Some(Some("x".to_owned())));
        assert!(form.conclude(Some(())).is_ok());
    }
}
