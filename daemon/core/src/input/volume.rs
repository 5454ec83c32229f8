//! Volumes.

use serde_json::{Map, Value};

use super::is_strict_name;
use crate::form::{Form, Invalid, free_object, text};

/// A volume to be declared.
#[derive(Clone, Debug, PartialEq)]
pub struct NewVolume {
    /// Unique in its grid.
    pub name: String,
    /// `instance`, `stack` or `grid`.
    pub scope: String,
    /// Of the engine.
    pub driver: String,
    /// Of the driver.
    pub driver_opts: Map<String, Value>,
}

impl NewVolume {
    /// Reads and judges a request.
    pub fn read(input: &Map<String, Value>) -> Result<Self, Invalid> {
        let mut form = Form::new(input);
        let name = form.required("name", &text().matching(is_strict_name));
        let scope = form.required("scope", &text().one_of(&["instance", "stack", "grid"]));
        let driver = form.required("driver", &text());
        let driver_opts = form.optional("driver_opts", &free_object()).unwrap_or_default();
        let made = (|| Some(Self { name: name?, scope: scope?, driver: driver?, driver_opts }))();
        let volume = form.conclude(made)?;
        if volume.driver.contains(':') {
            return Err(Invalid::of("driver", "Driver version tag cannot be used"));
        }
        Ok(volume)
    }
}
