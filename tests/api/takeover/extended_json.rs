//! Documents as they were recorded: canonical Extended JSON, as far as the recordings need it.

use anyhow::{Context, Result, bail};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document};
use serde_json::{Map, Value};

pub(super) fn document(text: &str) -> Result<Document> {
    match value(&serde_json::from_str(text)?)? {
        Bson::Document(document) => Ok(document),
        other => bail!("{other} is no document"),
    }
}

pub(super) fn value(recorded: &Value) -> Result<Bson> {
    Ok(match recorded {
        Value::Null => Bson::Null,
        Value::Bool(flag) => Bson::Boolean(*flag),
        Value::String(text) => Bson::String(text.clone()),
        Value::Number(number) => Bson::Double(number.as_f64().context("a number")?),
        Value::Array(items) => Bson::Array(items.iter().map(value).collect::<Result<_>>()?),
        Value::Object(object) => match typed(object)? {
            Some(value) => value,
            None => Bson::Document(
                object.iter().map(|(key, item)| Ok((key.clone(), value(item)?))).collect::<Result<_>>()?,
            ),
        },
    })
}

/// An object with one field that names a type.
fn typed(object: &Map<String, Value>) -> Result<Option<Bson>> {
    let Some((kind, content)) = object.iter().next().filter(|_| object.len() == 1) else { return Ok(None) };
    let text = || content.as_str().with_context(|| format!("{kind} without text"));
    Ok(Some(match kind.as_str() {
        "$oid" => Bson::ObjectId(ObjectId::parse_str(text()?)?),
        "$numberInt" => Bson::Int32(text()?.parse()?),
        "$numberLong" => Bson::Int64(text()?.parse()?),
        "$numberDouble" => Bson::Double(text()?.parse()?),
        "$symbol" => Bson::Symbol(text()?.to_owned()),
        "$date" => {
            let millis = content["$numberLong"].as_str().context("a date without a number")?.parse()?;
            Bson::DateTime(DateTime::from_millis(millis))
        }
        _ => return Ok(None),
    }))
}
