//! Reading documents that others wrote, of any version: a field may be absent, null, or of a type beside the
//! usual one.

use std::collections::HashMap;

use kontena_core::id::Id;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document};
use serde_json::{Map, Number, Value};

use crate::command::{Failure, integer};

pub(crate) fn oid(id: Id) -> ObjectId {
    ObjectId::from_bytes(id.bytes())
}

pub(crate) fn oids(ids: impl IntoIterator<Item = Id>) -> Vec<ObjectId> {
    ids.into_iter().map(oid).collect()
}

/// Documents by their ids.
pub(crate) fn by_id(rows: Vec<Document>) -> HashMap<Id, Document> {
    rows.into_iter().filter_map(|row| Some((row.id("_id")?, row))).collect()
}

/// An id that no document has yet.
pub(crate) fn fresh() -> ObjectId {
    ObjectId::new()
}

/// What a document is asked for.
pub(crate) trait Read {
    /// The document's own id; a document without one cannot be used.
    fn own_id(&self) -> Result<Id, Failure>;
    fn id(&self, key: &str) -> Option<Id>;
    /// The ids of a list that may be absent.
    fn ids(&self, key: &str) -> Vec<Id>;
    /// Text, whether stored as a string or as a symbol.
    fn text(&self, key: &str) -> Option<String>;
    /// Text that is empty when absent.
    fn text_or_empty(&self, key: &str) -> String;
    /// The texts of a list that may be absent.
    fn texts(&self, key: &str) -> Vec<String>;
    fn flag(&self, key: &str) -> Option<bool>;
    fn whole(&self, key: &str) -> Option<i64>;
    /// Milliseconds since 1970.
    fn time(&self, key: &str) -> Option<i64>;
    fn object(&self, key: &str) -> Map<String, Value>;
    /// The documents of a list that may be absent.
    fn documents(&self, key: &str) -> Vec<&Document>;
}

impl Read for Document {
    fn own_id(&self) -> Result<Id, Failure> {
        self.id("_id").ok_or_else(|| Failure::unknown("a document's _id is no object id"))
    }

    fn id(&self, key: &str) -> Option<Id> {
        self.get_object_id(key).ok().map(|id| Id::from_bytes(id.bytes()))
    }

    fn ids(&self, key: &str) -> Vec<Id> {
        let items = self.get_array(key).map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(|item| Some(Id::from_bytes(item.as_object_id()?.bytes()))).collect()
    }

    fn text(&self, key: &str) -> Option<String> {
        as_text(self.get(key)?)
    }

    fn text_or_empty(&self, key: &str) -> String {
        self.text(key).unwrap_or_default()
    }

    fn texts(&self, key: &str) -> Vec<String> {
        let items = self.get_array(key).map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(as_text).collect()
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.get_bool(key).ok()
    }

    fn whole(&self, key: &str) -> Option<i64> {
        integer(self, key)
    }

    fn time(&self, key: &str) -> Option<i64> {
        self.get_datetime(key).ok().map(|time| time.timestamp_millis())
    }

    fn object(&self, key: &str) -> Map<String, Value> {
        self.get_document(key).map(object_to_json).unwrap_or_default()
    }

    fn documents(&self, key: &str) -> Vec<&Document> {
        let items = self.get_array(key).map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(Bson::as_document).collect()
    }
}

fn as_text(value: &Bson) -> Option<String> {
    match value {
        Bson::String(text) | Bson::Symbol(text) => Some(text.clone()),
        _ => None,
    }
}

pub(crate) fn object_to_json(document: &Document) -> Map<String, Value> {
    document.iter().map(|(key, value)| (key.clone(), to_json(value))).collect()
}

/// A stored value as clients see it.
pub(crate) fn to_json(value: &Bson) -> Value {
    match value {
        Bson::String(text) | Bson::Symbol(text) => Value::String(text.clone()),
        Bson::Boolean(flag) => Value::Bool(*flag),
        Bson::Int32(number) => Value::from(*number),
        Bson::Int64(number) => Value::from(*number),
        Bson::Double(number) => Number::from_f64(*number).map_or(Value::Null, Value::Number),
        Bson::Array(items) => Value::Array(items.iter().map(to_json).collect()),
        Bson::Document(document) => Value::Object(object_to_json(document)),
        Bson::ObjectId(id) => Value::String(id.to_hex()),
        Bson::DateTime(time) => {
            time.try_to_rfc3339_string().map_or_else(|_| Value::from(time.timestamp_millis()), Value::String)
        }
        _ => Value::Null,
    }
}

pub(crate) fn object_from_json(object: &Map<String, Value>) -> Document {
    object.iter().map(|(key, value)| (key.clone(), from_json(value))).collect()
}

/// A client's value as it is stored: whole numbers as small as the original wrote them.
pub(crate) fn from_json(value: &Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(flag) => Bson::Boolean(*flag),
        Value::String(text) => Bson::String(text.clone()),
        Value::Number(number) => match number.as_i64() {
            Some(number) => whole(number),
            None => number.as_f64().map_or(Bson::Null, Bson::Double),
        },
        Value::Array(items) => Bson::Array(items.iter().map(from_json).collect()),
        Value::Object(object) => Bson::Document(object_from_json(object)),
    }
}

pub(crate) fn whole(number: i64) -> Bson {
    i32::try_from(number).map_or(Bson::Int64(number), Bson::Int32)
}

pub(crate) fn date(millis: i64) -> DateTime {
    DateTime::from_millis(millis)
}
