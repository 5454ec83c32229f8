//! Matches what is made anew each time: what was recorded stands for what came now, the same everywhere.

use std::collections::HashMap;

use serde_json::Value;

/// What recorded texts stand for.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    known: HashMap<String, String>,
    form_only: bool,
}

impl Bindings {
    /// From now on values may differ; what there is must not, and neither may where lists and objects are.
    pub(super) fn form_only(&mut self, form_only: bool) {
        self.form_only = form_only;
    }

    /// A recorded text with everything in it that stands for something else.
    pub(super) fn apply(&self, text: &str) -> String {
        let mut known: Vec<_> =
            self.known.iter().filter(|(recorded, _)| text.contains(recorded.as_str())).collect();
        known.sort_by_key(|(recorded, _)| std::cmp::Reverse(recorded.len()));
        known.into_iter().fold(text.to_owned(), |text, (recorded, now)| text.replace(recorded.as_str(), now))
    }

    /// Whether the answers are the same; what differs goes to `differences`.
    pub(super) fn unify(&mut self, at: &str, recorded: &Value, now: &Value, differences: &mut Vec<String>) {
        match (recorded, now) {
            (Value::Object(expected), Value::Object(found)) => {
                for (key, value) in expected {
                    match found.get(key) {
                        Some(other) => self.unify(&format!("{at}.{key}"), value, other, differences),
                        None => differences.push(format!("{at}.{key} is missing")),
                    }
                }
                for key in found.keys().filter(|key| !expected.contains_key(*key)) {
                    differences.push(format!("{at}.{key} is new"));
                }
                let order =
                    |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
                if differences.is_empty() && order(expected) != order(found) {
                    differences.push(format!("{at} has another order: {:?}", order(found)));
                }
            }
            (Value::Array(expected), Value::Array(found)) if self.form_only => {
                self.pair(at, expected, found, differences);
            }
            (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
                for (index, (value, other)) in expected.iter().zip(found).enumerate() {
                    self.unify(&format!("{at}[{index}]"), value, other, differences);
                }
            }
            (expected, found) if self.form_only && is_plain(expected) && is_plain(found) => {}
            (Value::String(expected), Value::String(found)) => {
                if !self.same(at, expected, found) {
                    differences.push(format!("{at}: {expected:?} became {found:?}"));
                }
            }
            // Seconds that pass between making and asking.
            (Value::Number(expected), Value::Number(found)) if at.ends_with("expires_in") => {
                let (expected, found) = (expected.as_i64().unwrap_or(0), found.as_i64().unwrap_or(0));
                if (expected - found).abs() > 30 {
                    differences.push(format!("{at}: {expected} became {found}"));
                }
            }
            (expected, found) if expected == found => {}
            (expected, found) => differences.push(format!("{at}: {expected} became {found}")),
        }
    }

    /// Lists of different moments: what is in both must be alike and in the same order, and entries of logs, which
    /// never change, the same. What is in one alone must at least have the same fields.
    fn pair(&mut self, at: &str, recorded: &[Value], now: &[Value], differences: &mut Vec<String>) {
        let mut last = 0;
        for value in recorded {
            let Some(identity) = identity(value).map(|identity| self.apply(&identity)) else { continue };
            let place = now.iter().position(|other| self::identity(other).as_ref() == Some(&identity));
            let Some((place, other)) = place.and_then(|place| Some((place, now.get(place)?))) else {
                continue;
            };
            // What was made anew meanwhile comes later.
            let is_same = value["created_at"] == other["created_at"];
            if is_same && place < last {
                differences.push(format!("{at} has another order: {identity}"));
            }
            last = if is_same { place } else { last };
            let form_only = std::mem::replace(&mut self.form_only, at.rsplit('.').next() != Some("logs"));
            self.unify(&format!("{at}[{identity}]"), value, other, differences);
            self.form_only = form_only;
        }
        if let (Some(Value::Object(expected)), Some(Value::Object(found))) = (recorded.first(), now.first()) {
            let keys = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
            if keys(expected) != keys(found) {
                differences.push(format!("{at}[] has other fields: {:?}", keys(found)));
            }
        }
    }

    fn same(&mut self, at: &str, recorded: &str, now: &str) -> bool {
        if recorded == now || self.apply(recorded) == now {
            return true;
        }
        // Any time may stand for any other of the same form.
        if let (Some(expected), Some(found)) = (time(recorded), time(now)) {
            return expected == found;
        }
        // Deploys have a time for a name; ours tell it more exactly.
        let revision = |text: &str| text.ends_with(" UTC") && text.len() >= 23;
        if at.ends_with("rev") && revision(recorded) && revision(now) {
            return true;
        }
        let Some(kind) = kind(at, recorded) else { return false };
        if kind != self::kind(at, now).unwrap_or(Kind::Other) || self.known.contains_key(recorded) {
            return false;
        }
        self.known.insert(recorded.to_owned(), now.to_owned());
        true
    }
}

/// By what an item of a list is known at another moment.
fn identity(item: &Value) -> Option<String> {
    let text = |key: &str| item[key].as_str();
    match (text("id"), text("created_at").or(text("time")), text("message").or(text("event_name"))) {
        (Some(id), _, _) => Some(id.to_owned()),
        (None, Some(at), Some(what)) => Some(format!("{at} {what}")),
        _ => None,
    }
}

fn is_plain(value: &Value) -> bool {
    !matches!(value, Value::Array(_) | Value::Object(_))
}

/// How a time ends, if the text is one.
fn time(text: &str) -> Option<&str> {
    let (day, rest) = text.split_at_checked(10)?;
    let digits = day.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    (digits && rest.starts_with('T') && rest.len() >= 13).then(|| rest.get(13..)).flatten()
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Hexadecimal(usize),
    Base64(usize),
    Petname,
    Uuid,
    Other,
}

/// What is made anew each time, by its form or place.
fn kind(at: &str, text: &str) -> Option<Kind> {
    let hexadecimal = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if hexadecimal && matches!(text.len(), 4 | 12 | 24 | 64 | 128) {
        return Some(Kind::Hexadecimal(text.len()));
    }
    if text.len() == 88 && text.ends_with("==") {
        return Some(Kind::Base64(text.len()));
    }
    if text.len() == 36 && text.split('-').count() == 5 {
        return Some(Kind::Uuid);
    }
    let petname = text.split_once('-').is_some_and(|(one, two)| {
        [one, two].iter().all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()))
    });
    (petname && matches!(at.rsplit('.').next(), Some("id" | "name"))).then_some(Kind::Petname)
}
