//! What agents send and nobody decides with: stored as it came, as far as the database can.

use kontena_wire::rpc::Value;
use kontena_wire::rpc::loose;
use mongodb::bson::{Binary, Bson, spec::BinarySubtype};

use crate::document::whole;

/// The deepest nesting that is stored: below the hundred levels of the database.
const DEPTH_MAX: usize = 60;

pub(crate) fn bson(value: &Value) -> Bson {
    at_depth(value, 0)
}

/// A key that the database takes.
pub(crate) fn key(text: &str) -> String {
    text.replace('\0', "")
}

fn at_depth(value: &Value, depth: usize) -> Bson {
    if depth > DEPTH_MAX {
        return Bson::Null;
    }
    match value {
        Value::Nil | Value::Ext(..) => Bson::Null,
        Value::Boolean(flag) => Bson::Boolean(*flag),
        Value::Integer(_) => whole(loose::integer(value).unwrap_or_default()),
        Value::F32(number) => Bson::Double(f64::from(*number)),
        Value::F64(number) => Bson::Double(*number),
        Value::String(_) => Bson::String(loose::text(value).unwrap_or_default().into_owned()),
        Value::Binary(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Bson::String(text.to_owned()),
            Err(_) => Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: bytes.clone() }),
        },
        Value::Array(elements) => {
            Bson::Array(elements.iter().map(|element| at_depth(element, depth + 1)).collect())
        }
        Value::Map(_) => {
            let entries = loose::entries(Some(value));
            Bson::Document(entries.map(|(name, value)| (key(&name), at_depth(value, depth + 1))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use kontena_wire::rpc::map;
    use mongodb::bson::doc;

    use super::*;

    #[test]
    fn what_comes_is_stored_as_it_came_where_that_is_possible() {
        let value = map([
            ("narrow", Value::from(1)),
            ("wide", Value::from(25_276_502_016_i64)),
            ("float", Value::F64(f64::INFINITY)),
            ("nul\0key", Value::Binary(b"text".to_vec())),
            ("list", Value::Array(vec![Value::Nil, Value::from(true)])),
        ]);
        let expected = doc! {
            "narrow": 1_i32, "wide": 25_276_502_016_i64, "float": f64::INFINITY, "nulkey": "text",
            "list": [Bson::Null, true],
        };
        assert_eq!(bson(&value), Bson::Document(expected));
    }
}
