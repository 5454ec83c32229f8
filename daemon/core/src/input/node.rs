//! Nodes.

use serde_json::{Map, Value};

use super::is_name;
use crate::form::{Form, Invalid, boolean, list, text};

/// How many characters a node token may have.
const TOKEN_LENGTHS: std::ops::RangeInclusive<usize> = 16..=256;

/// A node that is announced before its agent connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNode {
    /// Unique in its grid.
    pub name: String,
    /// None: a random one.
    pub token: Option<String>,
    /// `key=value` or `key`.
    pub labels: Vec<String>,
}

/// What is to change of a node; `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeChange {
    /// `key=value` or `key`.
    pub labels: Option<Vec<String>>,
    /// `active` or `drain`.
    pub availability: Option<String>,
}

/// A new token for a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeToken {
    /// None: a random one.
    pub token: Option<String>,
    /// Whether the agent must come again.
    pub reset_connection: bool,
}

impl NewNode {
    /// Reads and judges a request.
    pub fn read(input: &Map<String, Value>) -> Result<Self, Invalid> {
        let mut form = Form::new(input);
        let name = form.required("name", &text().matching(is_name));
        let token = form.optional("token", &text());
        let labels = form.optional("labels", &list(text())).unwrap_or_default();
        let node = form.conclude(name.map(|name| Self { name, token, labels }))?;
        judge(node.token.as_deref())?;
        Ok(node)
    }
}

impl NodeChange {
    /// Reads and judges a request.
    pub fn read(input: &Map<String, Value>) -> Result<Self, Invalid> {
        let mut form = Form::new(input);
        let availability = form.optional("availability", &text().one_of(&["active", "drain"]));
        let labels = form.optional("labels", &list(text()));
        form.conclude(Some(Self { labels, availability }))
    }
}

impl NodeToken {
    /// Reads and judges a request.
    pub fn read(input: &Map<String, Value>) -> Result<Self, Invalid> {
        let mut form = Form::new(input);
        let token = form.optional("token", &text());
        let reset_connection = form.optional("reset_connection", &boolean()).unwrap_or_default();
        let token = form.conclude(Some(Self { token, reset_connection }))?;
        judge(token.token.as_deref())?;
        Ok(token)
    }
}

fn judge(token: Option<&str>) -> Result<(), Invalid> {
    let length = token.map_or(*TOKEN_LENGTHS.start(), |token| token.chars().count());
    if length < *TOKEN_LENGTHS.start() {
        return Err(Invalid::of("token", "is too short (minimum is 16 characters)"));
    }
    if length > *TOKEN_LENGTHS.end() {
        return Err(Invalid::of("token", "is too long (maximum is 256 characters)"));
    }
    Ok(())
}
