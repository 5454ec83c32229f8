//! Values of agents as clients of the HTTP API see them.

use rmpv::Value;
use serde_json::{Map, Number};

use super::loose;

/// A value as JSON: bytes that are no text are replaced, numbers that JSON does not know are null.
#[must_use]
pub fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Nil | Value::Ext(..) => serde_json::Value::Null,
        Value::Boolean(flag) => (*flag).into(),
        Value::Integer(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            (None, None) => serde_json::Value::Null,
        },
        Value::F32(number) => float(f64::from(*number)),
        Value::F64(number) => float(*number),
        Value::String(_) | Value::Binary(_) => {
            loose::text(value).map_or(serde_json::Value::Null, |text| text.into_owned().into())
        }
        Value::Array(items) => items.iter().map(json).collect(),
        Value::Map(_) => {
            let entries = loose::entries(Some(value));
            let object: Map<String, serde_json::Value> =
                entries.map(|(key, value)| (key.into_owned(), json(value))).collect();
            object.into()
        }
    }
}

fn float(number: f64) -> serde_json::Value {
    Number::from_f64(number).map_or(serde_json::Value::Null, serde_json::Value::Number)
}

/// The same the other way.
#[must_use]
pub fn from_json(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(flag) => Value::Boolean(*flag),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => number.into(),
            (None, Some(number), _) => number.into(),
            (None, None, number) => number.map_or(Value::Nil, Value::F64),
        },
        serde_json::Value::String(text) => text.as_str().into(),
        serde_json::Value::Array(items) => Value::Array(items.iter().map(from_json).collect()),
        serde_json::Value::Object(object) => {
            Value::Map(object.iter().map(|(key, value)| (key.as_str().into(), from_json(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::map;
    use super::*;

    #[test]
    fn everything_that_agents_send_becomes_json() {
        let value = map([
            ("text", Value::Binary(b"a\xff".to_vec())),
            ("numbers", Value::Array(vec![(-1).into(), u64::MAX.into(), Value::F64(f64::NAN)])),
            ("nothing", Value::Nil),
            ("deep", map([("flag", true.into()), ("half", Value::F32(0.5))])),
        ]);
        let expected = json!({
            "text": "a\u{fffd}", "numbers": [-1, u64::MAX, null], "nothing": null,
            "deep": { "flag": true, "half": 0.5 },
        });
        assert_eq!(super::json(&value), expected);
    }
}
