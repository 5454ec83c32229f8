//! What one file, the environment or the credentials say: nothing is checked but its form. Later fragments
//! override earlier ones, key by key; each value remembers where it was read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Place};
use super::key::{self, Form, Key};

/// The value of one key.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Secret(SecretString),
    Flag(bool),
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => one == other,
            (Self::Secret(one), Self::Secret(other)) => one.expose_secret() == other.expose_secret(),
            (Self::Flag(one), Self::Flag(other)) => one == other,
            _ => false,
        }
    }
}

/// A value and where it was read.
#[derive(Clone, Debug)]
pub(super) struct Sourced {
    pub(super) value: Value,
    pub(super) place: Place,
}

/// What is said, by the name of the key.
#[derive(Clone, Debug, Default)]
pub(super) struct Fragment(BTreeMap<&'static str, Sourced>);

impl Fragment {
    /// Reads a file's text. What can be read is read, however much else is wrong.
    pub(super) fn of_file(path: &Path, text: &str, faults: &mut Vec<Fault>) -> Self {
        let path: Arc<Path> = path.into();
        let line = |at: usize| {
            let before = text.get(..at).unwrap_or(text);
            Place::Line(Arc::clone(&path), before.matches('\n').count() + 1)
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        // After one error of form the others are mostly its consequences. The line itself is not quoted: it may
        // hold a secret.
        if let Some(error) = errors.first() {
            let at = error.span().map_or(0, |span| span.start);
            faults.push(Fault::at(line(at), format!("this is not TOML: {}", error.message())));
            return Self::default();
        }
        let mut fragment = Self::default();
        fragment.take_in("", table.get_ref(), &line, faults);
        fragment
    }

    /// Reads the variables of the environment.
    pub(super) fn of_environment(
        variables: impl Fn(&'static str) -> Option<String>,
        faults: &mut Vec<Fault>,
    ) -> Self {
        let mut fragment = Self::default();
        for key in key::ALL {
            let found = key.variables.iter().find_map(|name| {
                // The original takes an empty variable for one that is not set.
                variables(name).filter(|value| !value.is_empty()).map(|value| (*name, value))
            });
            let Some((name, text)) = found else { continue };
            let place = Place::Variable(name);
            let text = if name == "PORT" {
                if let Ok(port) = text.parse::<u16>() {
                    format!("0.0.0.0:{port}")
                } else {
                    let message = format!("is {text:?}, which is not a port: write a number up to 65535");
                    faults.push(Fault::at(place, message));
                    continue;
                }
            } else if key.form == Form::Time && text.parse::<f64>().is_ok() {
                // The original's variables are numbers of seconds.
                format!("{text}s")
            } else {
                text
            };
            fragment.set(key, Sourced { value: value_of(key.form, text), place });
        }
        fragment
    }

    /// Reads the credentials in the directory that systemd made for them.
    pub(super) fn of_credentials(directory: &Path, faults: &mut Vec<Fault>) -> Self {
        let mut fragment = Self::default();
        for (key, name) in key::ALL.into_iter().filter_map(|key| Some((key, key.credential?))) {
            let path: PathBuf = directory.join(format!("kontena-master.{name}"));
            match std::fs::read_to_string(&path) {
                Ok(text) => {
                    let value = value_of(key.form, text.trim_end_matches(['\r', '\n']).to_owned());
                    fragment.set(key, Sourced { value, place: Place::Credential(path) });
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    faults.push(Fault::at(Place::Credential(path), format!("cannot be read: {error}")));
                }
            }
        }
        fragment
    }

    /// What `later` says stands; what it leaves open stays.
    pub(super) fn overridden_by(mut self, later: Self) -> Self {
        self.0.extend(later.0);
        self
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Sourced> {
        self.0.get(key.name)
    }

    /// The keys whose values differ.
    pub(super) fn changes(&self, other: &Self) -> Vec<&'static Key> {
        let value = |fragment: &Self, key: &Key| fragment.get(key).map(|found| found.value.clone());
        key::ALL.into_iter().filter(|key| value(self, key) != value(other, key)).collect()
    }

    fn set(&mut self, key: &'static Key, found: Sourced) {
        self.0.insert(key.name, found);
    }

    fn take_in(
        &mut self,
        prefix: &str,
        table: &DeTable<'_>,
        line: &impl Fn(usize) -> Place,
        faults: &mut Vec<Fault>,
    ) {
        for (name, value) in table {
            let place = line(name.span().start);
            let path = match prefix {
                "" => name.get_ref().to_string(),
                prefix => format!("{prefix}.{}", name.get_ref()),
            };
            match (key::find(&path), value.get_ref()) {
                (Some(key), found) => {
                    if let Some(value) = of_form(key.form, found) {
                        self.set(key, Sourced { value, place });
                    } else {
                        let message = format!("is {}: write {}", kind(found), key.form.wanted());
                        faults.push(Fault::of(place, key, message));
                    }
                }
                (None, DeValue::Table(inner)) if prefix.is_empty() && key::is_table(&path) => {
                    self.take_in(&path, inner, line, faults);
                }
                (None, _) if prefix.is_empty() && key::is_table(&path) => {
                    let message =
                        format!("is {}: write [{path}] on a line of its own", kind(value.get_ref()));
                    faults.push(Fault::named(place, path, message));
                }
                (None, _) => faults.push(unknown(place, path)),
            }
        }
    }
}

/// What was found instead, for people.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn unknown(place: Place, path: String) -> Fault {
    let message = format!("is no key of this program: {}", key::instead_of(&path));
    Fault::named(place, path, message)
}

fn of_form(form: Form, found: &DeValue<'_>) -> Option<Value> {
    match form {
        Form::Flag => found.as_bool().map(Value::Flag),
        Form::Text | Form::Secret | Form::Path | Form::Time => {
            found.as_str().map(|text| value_of(form, text.to_owned()))
        }
    }
}

fn value_of(form: Form, text: String) -> Value {
    match form {
        Form::Secret => Value::Secret(SecretString::from(text)),
        Form::Text | Form::Path | Form::Time | Form::Flag => Value::Text(text),
    }
}
