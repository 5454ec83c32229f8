//! The key-value store that real agents run on their hosts, as far as the masters see it through them.

use std::collections::BTreeMap;

use kontena_wire::rpc::loose::{self, flag, get};
use kontena_wire::rpc::{Value, map};

/// What a new store has been changed to when it is first asked.
const FIRST_INDEX: u64 = 3;

/// Keys with their values; directories have none.
#[derive(Debug)]
pub struct Etcd {
    entries: BTreeMap<String, (u64, Option<String>)>,
    index: u64,
}

impl Default for Etcd {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), index: FIRST_INDEX }
    }
}

impl Etcd {
    /// Answers `/etcd/get`, `/etcd/set` and `/etcd/delete`; of anything else nothing is known.
    pub fn answer(&mut self, method: &str, params: &[Value]) -> Option<Value> {
        let path = params.first().and_then(loose::text)?;
        let path = path.trim_end_matches('/');
        let options = params.get(1)?;
        let option = |key| get(options, key).and_then(flag).unwrap_or(false);
        Some(match method {
            "/etcd/get" => self.get(path, option("recursive")),
            "/etcd/set" if option("dir") => self.set(path, None),
            "/etcd/set" => self.set(path, loose::text_at(options, "value")),
            "/etcd/delete" => self.delete(path, option("recursive")),
            _ => return None,
        })
    }

    fn get(&self, path: &str, recursive: bool) -> Value {
        match self.entries.get(path) {
            Some((_, Some(value))) => return map([("value", Value::from(value.as_str()))]),
            None if !path.is_empty() => return error("Key not found"),
            _ => {}
        }
        let below = format!("{path}/");
        let listed = |key: &str| {
            key == path || key.strip_prefix(&below).is_some_and(|rest| recursive || !rest.contains('/'))
        };
        let children = self.entries.iter().filter(|(key, _)| listed(key)).map(|(key, (index, value))| {
            map([
                ("created_index", Value::from(*index)),
                ("modified_index", Value::from(*index)),
                ("expiration", Value::Nil),
                ("ttl", Value::Nil),
                ("key", Value::from(key.as_str())),
                ("value", value.as_deref().map_or(Value::Nil, Value::from)),
                ("dir", if value.is_none() { Value::from(true) } else { Value::Nil }),
            ])
        });
        map([("children", Value::Array(children.collect()))])
    }

    fn set(&mut self, path: &str, value: Option<String>) -> Value {
        if matches!(self.entries.get(path), Some((_, None))) {
            return error("Cannot set value to directory");
        }
        self.index += 1;
        let parents = path.char_indices().filter(|(at, letter)| *letter == '/' && *at > 0);
        for (at, _) in parents {
            let parent = path.get(..at).unwrap_or_default().to_owned();
            self.entries.entry(parent).or_insert((self.index, None));
        }
        let answer = map([("value", value.as_deref().map_or(Value::Nil, Value::from))]);
        self.entries.insert(path.to_owned(), (self.index, value));
        answer
    }

    fn delete(&mut self, path: &str, recursive: bool) -> Value {
        match self.entries.get(path) {
            None => return error("Key not found"),
            Some((_, None)) if !recursive => return error("Cannot delete a directory"),
            Some(_) => {}
        }
        let below = format!("{path}/");
        self.entries.retain(|key, _| key != path && !key.starts_with(&below));
        self.index += 1;
        map([])
    }
}

fn error(text: &str) -> Value {
    map([("error", Value::from(text))])
}
