//! What the leader and Kontena Cloud say to each other: the envelope is that of the agents, but the cloud chooses its
//! ids freely, and its errors have one field more.

use rmpv::Value;

use crate::rpc::{self, Fault, FrameError, from_json, loose, map};

const REQUEST: u64 = 0;
const RESPONSE: u64 = 1;
const NOTIFICATION: u64 = 2;

/// A request of the cloud.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Given back with the answer, whatever it is.
    pub id: Value,
    /// Who shall carry it out.
    pub handler: String,
    /// What shall be done.
    pub method: String,
    /// By position.
    pub params: Vec<Value>,
}

impl Call {
    /// Reads a frame. None: it asks for nothing.
    pub fn decode(frame: &[u8]) -> Result<Option<Self>, FrameError> {
        let Value::Array(parts) = rpc::decode(frame)? else { return Err(FrameError::Shape) };
        Ok(Self::from_parts(parts))
    }

    fn from_parts(parts: Vec<Value>) -> Option<Self> {
        let [kind, id, method, Value::Array(params)] = <[Value; 4]>::try_from(parts).ok()? else {
            return None;
        };
        if kind.as_u64() != Some(REQUEST) {
            return None;
        }
        let path = loose::text(&method)?;
        let (handler, method) = path.split_once('/').unwrap_or((&path, ""));
        Some(Self { id, handler: handler.to_owned(), method: method.to_owned(), params })
    }

    /// The frame that answers it.
    #[must_use]
    pub fn answer(id: Value, outcome: Result<Value, Fault>) -> Vec<u8> {
        let (error, result) = match outcome {
            Ok(result) => (Value::Nil, result),
            Err(Fault { code, message }) => {
                let error = map([
                    ("code", Value::from(code)),
                    ("message", Value::from(message)),
                    ("backtrace", Value::Array(Vec::new())),
                ]);
                (error, Value::Nil)
            }
        };
        rpc::encode(&Value::Array(vec![RESPONSE.into(), id, error, result]))
    }

    /// The frame that answers a request to a handler that there is not.
    #[must_use]
    pub fn unknown(id: Value) -> Vec<u8> {
        let error = map([("error", Value::from("service not implemented"))]);
        rpc::encode(&Value::Array(vec![RESPONSE.into(), id, error, Value::Nil]))
    }
}

/// Something that happened, for the cloud.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// `Grid`, `GridService`, `HostNode` or `User`.
    pub kind: &'static str,
    /// `create`, `update` or `delete`.
    pub event: &'static str,
    /// The name of the grid that it happened in.
    pub grid: Option<String>,
    /// By which names the cloud knows those who may see it.
    pub users: Vec<String>,
    /// What it happened to.
    pub object: serde_json::Value,
}

impl Told {
    /// The frame that tells it.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let Self { kind, event, grid, users, object } = self;
        let params = vec![
            grid.map_or(Value::Nil, Value::from),
            Value::Array(users.into_iter().map(Value::from).collect()),
            from_json(&object),
        ];
        let method = format!("{kind}#{event}");
        rpc::encode(&Value::Array(vec![NOTIFICATION.into(), method.into(), Value::Array(params)]))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn frame(parts: Vec<Value>) -> Vec<u8> {
        rpc::encode(&Value::Array(parts))
    }

    #[test]
    fn requests_are_read_with_any_id_and_nothing_else_is_one() {
        let params = Value::Array(vec!["4711".into(), "/v1/grids".into(), Value::Map(Vec::new())]);
        let call =
            Call::decode(&frame(vec![0.into(), "abc".into(), "rest_request/get".into(), params.clone()]));
        let call = call.unwrap().unwrap();
        assert_eq!(
            (call.id, call.handler.as_str(), call.method.as_str()),
            ("abc".into(), "rest_request", "get")
        );
        assert_eq!(call.params.len(), 3);
        let none = [
            vec![1.into(), 7.into(), "rest_request/get".into(), params.clone()],
            vec![2.into(), "rest_request/get".into(), params.clone()],
            vec![0.into(), 7.into(), "rest_request/get".into(), "x".into()],
            vec![0.into(), 7.into(), Value::Nil, params],
        ];
        for parts in none {
            assert_eq!(Call::decode(&frame(parts.clone())), Ok(None), "{parts:?}");
        }
        assert_eq!(Call::decode(&rpc::encode(&"x".into())), Err(FrameError::Shape));
        assert!(Call::decode(b"\xdd\xff\xff\xff\xff").is_err());
    }

    #[test]
    fn answers_and_events_have_the_original_s_form() {
        let json = |frame: &[u8]| rpc::json(&rpc::decode(frame).unwrap());
        let ok = Call::answer(7.into(), Ok(map([("status", 200.into())])));
        assert_eq!(json(&ok), json!([1, 7, null, { "status": 200 }]));
        let refused = Call::answer("a".into(), Err(Fault::new(403, "Forbidden")));
        let error = json!({ "code": 403, "message": "Forbidden", "backtrace": [] });
        assert_eq!(json(&refused), json!([1, "a", error, null]));
        assert_eq!(
            json(&Call::unknown(7.into())),
            json!([1, 7, { "error": "service not implemented" }, null])
        );
        let told = Told {
            kind: "User",
            event: "create",
            grid: None,
            users: vec!["1".to_owned()],
            object: json!({ "id": "x", "n": [1, -2, 0.5, true] }),
        };
        let expected = json!([2, "User#create", [null, ["1"], { "id": "x", "n": [1, -2, 0.5, true] }]]);
        assert_eq!(json(&told.encode()), expected);
    }
}
