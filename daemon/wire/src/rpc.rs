//! MessagePack-RPC as the agents speak it: one message is one array in one binary frame.
//!
//! The agents are loose in what they send: the same text comes as *str* or as *bin*, text may not be UTF-8,
//! numbers may be NaN, map keys may be of any type. All of that is accepted; what is not accepted is a frame
//! that would cost more memory than a frame of its size should.

mod json;
pub mod limits;
pub mod loose;

use std::fmt;

pub use rmpv::Value;
use thiserror::Error;

pub use json::{from_json, json};
pub use limits::LimitError;

/// The largest message that either side accepts, in bytes.
pub const MESSAGE_MAX: usize = 0x3FF_FFFF;

const REQUEST: u64 = 0;
const RESPONSE: u64 = 1;
const NOTIFICATION: u64 = 2;

/// One message. The identifiers of the two directions are independent of each other.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Asks for an answer.
    Request {
        /// Chosen by whoever asks.
        id: u64,
        /// As in `/handler/name`.
        method: String,
        /// By position.
        params: Vec<Value>,
    },
    /// Answers a request.
    Response {
        /// Of the request.
        id: u64,
        /// What came of it.
        outcome: Result<Value, Fault>,
    },
    /// Asks for no answer.
    Notification {
        /// As in `/handler/name`.
        method: String,
        /// By position.
        params: Vec<Value>,
    },
}

/// Why a request was not answered with a result.
#[derive(Clone, PartialEq, Eq, Error)]
#[error("{message} ({code})")]
pub struct Fault {
    /// As HTTP would number it.
    pub code: i64,
    /// In words.
    pub message: String,
}

impl Fault {
    /// A fault with this code and these words.
    #[must_use]
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// What the original answers to a handler that it does not know.
    #[must_use]
    pub fn not_implemented() -> Self {
        Self::new(501, "service not implemented")
    }

    fn to_value(&self) -> Value {
        // The original names the text differently when there is no handler.
        let key = if self.code == 501 { "error" } else { "message" };
        map([("code", Value::from(self.code)), (key, Value::from(self.message.as_str()))])
    }

    fn from_value(value: &Value) -> Self {
        let code = loose::get(value, "code").and_then(loose::integer).unwrap_or(500);
        let text = |key| loose::get(value, key).and_then(loose::text);
        let message = text("message").or_else(|| text("error")).or_else(|| loose::text(value));
        Self { code, message: message.unwrap_or_default().into_owned() }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fault({}, {:?})", self.code, self.message)
    }
}

/// A frame that is not one message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// It would cost too much.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// It is not MessagePack.
    #[error("not MessagePack: {0}")]
    Malformed(String),
    /// MessagePack, but no message: both sides pass over it.
    #[error("an array of another shape than a message")]
    Shape,
}

impl Message {
    /// A notification.
    #[must_use]
    pub fn notification(method: &str, params: Vec<Value>) -> Self {
        Self::Notification { method: method.to_owned(), params }
    }

    /// Reads one frame.
    pub fn decode(frame: &[u8]) -> Result<Self, FrameError> {
        limits::check(frame)?;
        let mut rest = frame;
        let value = rmpv::decode::read_value_with_max_depth(&mut rest, limits::DEPTH_MAX)
            .map_err(|error| FrameError::Malformed(error.to_string()))?;
        let Value::Array(parts) = value else { return Err(FrameError::Shape) };
        Self::from_parts(parts).ok_or(FrameError::Shape)
    }

    fn from_parts(parts: Vec<Value>) -> Option<Self> {
        let kind = parts.first()?.as_u64()?;
        let mut parts = parts.into_iter().skip(1);
        let message = match kind {
            REQUEST => {
                let id = parts.next()?.as_u64()?;
                let method = loose::text(&parts.next()?)?.into_owned();
                Self::Request { id, method, params: params(parts.next()?)? }
            }
            RESPONSE => {
                let id = parts.next()?.as_u64()?;
                let (error, result) = (parts.next()?, parts.next()?);
                let outcome = if error.is_nil() { Ok(result) } else { Err(Fault::from_value(&error)) };
                Self::Response { id, outcome }
            }
            NOTIFICATION => {
                let method = loose::text(&parts.next()?)?.into_owned();
                Self::Notification { method, params: params(parts.next()?)? }
            }
            _ => return None,
        };
        parts.next().is_none().then_some(message)
    }

    /// The frame that carries this message.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let parts = match self {
            Self::Request { id, method, params } => {
                vec![REQUEST.into(), id.into(), method.into(), Value::Array(params)]
            }
            Self::Response { id, outcome } => {
                let (error, result) = match outcome {
                    Ok(result) => (Value::Nil, result),
                    Err(fault) => (fault.to_value(), Value::Nil),
                };
                vec![RESPONSE.into(), id.into(), error, result]
            }
            Self::Notification { method, params } => {
                vec![NOTIFICATION.into(), method.into(), Value::Array(params)]
            }
        };
        encode(&Value::Array(parts))
    }
}

fn params(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(params) => Some(params),
        _ => None,
    }
}

/// A value as MessagePack.
#[must_use]
pub fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A vector takes whatever is written to it.
    let _written = rmpv::encode::write_value(&mut bytes, value);
    bytes
}

/// Reads one value with the limits of a frame.
pub fn decode(bytes: &[u8]) -> Result<Value, FrameError> {
    limits::check(bytes)?;
    let mut rest = bytes;
    rmpv::decode::read_value_with_max_depth(&mut rest, limits::DEPTH_MAX)
        .map_err(|error| FrameError::Malformed(error.to_string()))
}

/// A map with text keys, in this order.
#[must_use]
pub fn map<'a>(entries: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (Value::from(key), value)).collect())
}

#[cfg(test)]
mod tests;
