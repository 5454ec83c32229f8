//! Reads values as the agents mean them, whichever of its types MessagePack carried them in.

use std::borrow::Cow;

use rmpv::Value;

/// Text, from *str* or *bin*; bytes that are not UTF-8 are replaced.
#[must_use]
pub fn text(value: &Value) -> Option<Cow<'_, str>> {
    bytes(value).map(String::from_utf8_lossy)
}

/// Text that is not empty.
#[must_use]
pub fn filled(value: &Value) -> Option<String> {
    text(value).filter(|text| !text.is_empty()).map(Cow::into_owned)
}

/// The bytes of a *str* or *bin*, whatever they are.
#[must_use]
pub fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::String(text) => Some(text.as_bytes()),
        Value::Binary(bytes) => Some(bytes),
        _ => None,
    }
}

/// A whole number, of any width, or as a float or as digits.
#[must_use]
pub fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(number) => number
            .as_i64()
            .or_else(|| number.as_u64().map(|number| i64::try_from(number).unwrap_or(i64::MAX))),
        #[expect(clippy::cast_possible_truncation, reason = "checked to be a whole number in range")]
        Value::F64(number) if number.fract() == 0.0 && number.abs() < 9e15 => Some(*number as i64),
        Value::String(_) | Value::Binary(_) => text(value)?.trim().parse().ok(),
        _ => None,
    }
}

/// A truth value; integers count as such.
#[must_use]
pub fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Boolean(flag) => Some(*flag),
        Value::Integer(number) => Some(number.as_i64() != Some(0)),
        _ => None,
    }
}

/// What a map has under a text key, be the key *str* or *bin*.
#[must_use]
pub fn get<'a>(map: &'a Value, key: &str) -> Option<&'a Value> {
    let Value::Map(entries) = map else { return None };
    let found = entries.iter().find(|(found, _)| bytes(found) == Some(key.as_bytes()));
    found.map(|(_, value)| value)
}

/// What a map has under each of these keys in turn, in nested maps.
#[must_use]
pub fn path<'a>(map: &'a Value, keys: &[&str]) -> Option<&'a Value> {
    keys.iter().try_fold(map, |map, key| get(map, key))
}

/// The elements of an array; of anything else, none.
#[must_use]
pub fn elements(value: Option<&Value>) -> &[Value] {
    match value {
        Some(Value::Array(elements)) => elements,
        _ => &[],
    }
}

/// The entries of a map whose keys are text; of anything else, none.
pub fn entries(value: Option<&Value>) -> impl Iterator<Item = (Cow<'_, str>, &Value)> {
    let entries = match value {
        Some(Value::Map(entries)) => entries.as_slice(),
        _ => &[],
    };
    entries.iter().filter_map(|(key, value)| Some((text(key)?, value)))
}

/// The text under `key`.
#[must_use]
pub fn text_at(map: &Value, key: &str) -> Option<String> {
    get(map, key).and_then(text).map(Cow::into_owned)
}

/// The whole number under `key`.
#[must_use]
pub fn integer_at(map: &Value, key: &str) -> Option<i64> {
    get(map, key).and_then(integer)
}
