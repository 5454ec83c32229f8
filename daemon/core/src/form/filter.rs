//! What each type of field accepts.

use serde_json::{Map, Number, Value};

use super::Form;

/// Turns a value into what is wanted, or into the fault that is told.
pub trait Filter {
    /// What is wanted.
    type Output;

    /// `label` is how messages name the field. The value is not null.
    fn filter(&self, label: &str, value: &Value) -> Result<Self::Output, Value>;
}

fn fault<T>(label: &str, message: &str) -> Result<T, Value> {
    Err(Value::String(format!("{label} {message}")))
}

/// Text, trimmed and not empty; numbers and booleans are written out.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    min: usize,
    max: usize,
    options: Option<&'static [&'static str]>,
    pattern: Option<fn(&str) -> bool>,
}

/// Any text that is not blank.
#[must_use]
pub fn text() -> Text {
    Text { min: 0, max: usize::MAX, options: None, pattern: None }
}

impl Text {
    /// At least so many characters.
    #[must_use]
    pub fn min(self, min: usize) -> Self {
        Self { min, ..self }
    }

    /// At most so many characters.
    #[must_use]
    pub fn max(self, max: usize) -> Self {
        Self { max, ..self }
    }

    /// One of these.
    #[must_use]
    pub fn one_of(self, options: &'static [&'static str]) -> Self {
        Self { options: Some(options), ..self }
    }

    /// Of this form.
    #[must_use]
    pub fn matching(self, pattern: fn(&str) -> bool) -> Self {
        Self { pattern: Some(pattern), ..self }
    }
}

impl Filter for Text {
    type Output = String;

    fn filter(&self, label: &str, value: &Value) -> Result<String, Value> {
        let text = match value {
            Value::String(text) => printable(text),
            Value::Number(number) => number.to_string(),
            Value::Bool(boolean) => boolean.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return fault(label, "isn't a string"),
        };
        if text.is_empty() {
            return fault(label, "can't be blank");
        }
        let length = text.chars().count();
        if length < self.min {
            return fault(label, "is too short");
        }
        if length > self.max {
            return fault(label, "is too long");
        }
        if self.options.is_some_and(|options| !options.contains(&text.as_str())) {
            return fault(label, "isn't an option");
        }
        if self.pattern.is_some_and(|pattern| !pattern(&text)) {
            return fault(label, "isn't in the right format");
        }
        Ok(text)
    }
}

/// Each run of control characters other than tabs and line ends becomes one space; the ends are trimmed.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    let mut in_run = false;
    for character in text.chars() {
        let control = character.is_control() && !matches!(character, '\t' | '\r' | '\n');
        if !control {
            printable.push(character);
        } else if !in_run {
            printable.push(' ');
        }
        in_run = control;
    }
    printable.trim().to_owned()
}

/// A whole number, or a text that starts with one.
#[derive(Clone, Copy, Debug)]
pub struct Integer {
    min: i64,
    max: i64,
}

/// Any whole number.
#[must_use]
pub fn integer() -> Integer {
    Integer { min: i64::MIN, max: i64::MAX }
}

impl Integer {
    /// From `min` to `max`.
    #[must_use]
    pub fn within(self, min: i64, max: i64) -> Self {
        Self { min, max }
    }
}

impl Filter for Integer {
    type Output = i64;

    fn filter(&self, label: &str, value: &Value) -> Result<i64, Value> {
        let number = match value {
            Value::Number(number) => whole(number),
            Value::String(text) if text.is_empty() => return fault(label, "can't be blank"),
            Value::String(text) => leading(text),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let Some(number) = number else { return fault(label, "isn't an integer") };
        if number < i128::from(self.min) {
            return fault(label, "is too small");
        }
        match i64::try_from(number) {
            Ok(number) if number <= self.max => Ok(number),
            Ok(_) | Err(_) => fault(label, "is too big"),
        }
    }
}

fn whole(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

/// The number that a text starts with; too many digits count as very many.
fn leading(text: &str) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let end = digits.find(|character: char| !character.is_ascii_digit()).unwrap_or(digits.len());
    let digits = digits.get(..end).filter(|digits| !digits.is_empty())?;
    Some(sign * digits.parse::<i128>().unwrap_or(i128::MAX / 2))
}

/// A number, or a text that is one.
#[derive(Clone, Copy, Debug)]
pub struct Float;

/// Any finite number.
#[must_use]
pub fn float() -> Float {
    Float
}

impl Filter for Float {
    type Output = f64;

    fn filter(&self, label: &str, value: &Value) -> Result<f64, Value> {
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        match number.filter(|number: &f64| number.is_finite()) {
            Some(number) => Ok(number),
            None => fault(label, "is invalid"),
        }
    }
}

/// Yes or no.
#[derive(Clone, Copy, Debug)]
pub struct Boolean;

/// A boolean, or what clearly stands for one.
#[must_use]
pub fn boolean() -> Boolean {
    Boolean
}

impl Filter for Boolean {
    type Output = bool;

    fn filter(&self, label: &str, value: &Value) -> Result<bool, Value> {
        let text = match value {
            Value::Bool(boolean) => return Ok(*boolean),
            Value::String(text) => text.to_ascii_lowercase(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
        };
        match text.as_str() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => fault(label, "isn't a boolean"),
        }
    }
}

/// Items of one kind.
#[derive(Clone, Copy, Debug)]
pub struct List<F>(F);

/// A list whose items `item` accepts.
#[must_use]
pub fn list<F: Filter>(item: F) -> List<F> {
    List(item)
}

impl<F: Filter> Filter for List<F> {
    type Output = Vec<F::Output>;

    fn filter(&self, label: &str, value: &Value) -> Result<Self::Output, Value> {
        let Value::Array(items) = value else { return fault(label, "isn't an array") };
        let (mut good, mut faults) = (Vec::with_capacity(items.len()), Vec::new());
        for (index, item) in items.iter().enumerate() {
            let label = format!("{label}[{index}]");
            let filtered = match item {
                Value::Null => fault(&label, "can't be nil"),
                item => self.0.filter(&label, item),
            };
            match filtered {
                Ok(item) => good.push(item),
                Err(fault) => {
                    faults.resize(index, Value::Null);
                    faults.push(fault);
                }
            }
        }
        if faults.is_empty() {
            return Ok(good);
        }
        faults.resize(items.len(), Value::Null);
        Err(Value::Array(faults))
    }
}

/// An object with known fields.
#[derive(Clone, Copy, Debug)]
pub struct Fields<R>(R);

/// An object that `read` reads. It returns `None` only after a fault.
pub fn fields<T, R: Fn(&mut Form<'_>) -> Option<T>>(read: R) -> Fields<R> {
    Fields(read)
}

impl<T, R: Fn(&mut Form<'_>) -> Option<T>> Filter for Fields<R> {
    type Output = T;

    fn filter(&self, label: &str, value: &Value) -> Result<T, Value> {
        let Value::Object(object) = value else { return fault(label, "isn't a hash") };
        let mut form = Form::new(object);
        let made = (self.0)(&mut form);
        form.conclude(made).map_err(|faults| Value::Object(faults.0))
    }
}

/// An object that is stored as it is.
#[derive(Clone, Copy, Debug)]
pub struct FreeObject;

/// Any object.
#[must_use]
pub fn free_object() -> FreeObject {
    FreeObject
}

impl Filter for FreeObject {
    type Output = Map<String, Value>;

    fn filter(&self, label: &str, value: &Value) -> Result<Self::Output, Value> {
        match value {
            Value::Object(object) => Ok(object.clone()),
            _ => fault(label, "isn't the right class"),
        }
    }
}

/// An object whose values are texts.
#[derive(Clone, Copy, Debug)]
pub struct TextMap;

/// Any names with texts.
#[must_use]
pub fn text_map() -> TextMap {
    TextMap
}

impl Filter for TextMap {
    type Output = Vec<(String, String)>;

    fn filter(&self, label: &str, value: &Value) -> Result<Self::Output, Value> {
        let Value::Object(object) = value else { return fault(label, "isn't a hash") };
        let (mut good, mut faults) = (Vec::with_capacity(object.len()), Map::new());
        for (key, value) in object {
            let filtered = match value {
                Value::Null => fault(&super::title(key), "can't be nil"),
                value => text().filter(&super::title(key), value),
            };
            match filtered {
                Ok(text) => good.push((key.clone(), text)),
                Err(fault) => {
                    faults.insert(key.clone(), fault);
                }
            }
        }
        if faults.is_empty() { Ok(good) } else { Err(Value::Object(faults)) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read<F: Filter>(filter: &F, value: &Value) -> Result<F::Output, String> {
        filter.filter("It", value).map_err(|fault| fault.as_str().unwrap_or("nested").to_owned())
    }

    #[test]
    fn text_is_stringified_cleaned_and_bounded() {
        assert_eq!(read(&text(), &json!(" a\u{0}\u{1}b\tc\n ")), Ok("a b\tc".to_owned()));
        assert_eq!(read(&text(), &json!(7)), Ok("7".to_owned()));
        assert_eq!(read(&text(), &json!(true)), Ok("true".to_owned()));
        assert_eq!(read(&text(), &json!(" ")), Err("It can't be blank".to_owned()));
        assert_eq!(read(&text(), &json!([])), Err("It isn't a string".to_owned()));
        assert_eq!(read(&text().min(3), &json!("äö")), Err("It is too short".to_owned()));
        assert_eq!(read(&text().max(2), &json!("äöü")), Err("It is too long".to_owned()));
        assert_eq!(read(&text().one_of(&["a"]), &json!("b")), Err("It isn't an option".to_owned()));
    }

    #[test]
    fn integers_come_as_numbers_or_texts_that_start_with_one() {
        for (value, expected) in [(json!(5), 5), (json!("5"), 5), (json!("-5x"), -5), (json!("12abc"), 12)] {
            assert_eq!(read(&integer(), &value), Ok(expected));
        }
        for value in [json!("x"), json!(1.5), json!(true), json!({})] {
            assert_eq!(read(&integer(), &value), Err("It isn't an integer".to_owned()), "{value}");
        }
        assert_eq!(read(&integer(), &json!("")), Err("It can't be blank".to_owned()));
        assert_eq!(read(&integer().within(1, 7), &json!(0)), Err("It is too small".to_owned()));
        assert_eq!(read(&integer().within(1, 7), &json!(8)), Err("It is too big".to_owned()));
        assert_eq!(read(&integer(), &json!(u64::MAX)), Err("It is too big".to_owned()));
        assert_eq!(read(&integer(), &json!("9".repeat(80))), Err("It is too big".to_owned()));
    }

    #[test]
    fn booleans_and_floats_have_their_spellings() {
        for value in [json!(true), json!("TRUE"), json!("1"), json!(1)] {
            assert_eq!(read(&boolean(), &value), Ok(true));
        }
        for value in [json!("yes"), json!(2), json!([])] {
            assert_eq!(read(&boolean(), &value), Err("It isn't a boolean".to_owned()));
        }
        assert_eq!(read(&float(), &json!("0.5")), Ok(0.5));
        for value in [json!("x"), json!("inf"), json!("NaN")] {
            assert_eq!(read(&float(), &value), Err("It is invalid".to_owned()));
        }
    }
}
