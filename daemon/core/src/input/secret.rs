//! Secrets.

use std::fmt;

use serde_json::{Map, Value};

use super::is_strict_name;
use crate::form::{Form, Invalid, text};

/// A secret to be kept. Its value never shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct NewSecret {
    /// Unique in its grid.
    pub name: String,
    /// Trimmed.
    pub value: String,
}

/// A value to replace that of a secret. It never shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretChange {
    /// Trimmed.
    pub value: String,
}

impl fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewSecret").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for SecretChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretChange(..)")
    }
}

impl NewSecret {
    /// Reads a request.
    pub fn read(input: &Map<String, Value>) -> Result<Self, Invalid> {
        let mut form = Form::new(input);
        let name = form.required("name", &text().matching(is_strict_name));
        let value = form.required("value", &text());
        form.conclude(name.zip(value).map(|(name, value)| Self { name, value }))
    }
}

impl SecretChange {
    /// Reads a request.
    pub fn read(input: &Map<String, Value>) -> Result<Self, Invalid> {
        let mut form = Form::new(input);
        let value = form.required("value", &text());
        form.conclude(value.map(|value| Self { value }))
    }

    /// Whether a secret that is missing shall be made.
    #[must_use]
    pub fn creates(input: &Map<String, Value>) -> bool {
        !matches!(input.get("upsert"), None | Some(Value::Null | Value::Bool(false)))
    }
}
