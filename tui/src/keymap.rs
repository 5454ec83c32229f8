//! Which key asks for what.

use std::collections::BTreeMap;

use crate::command::{ALL, Command};
use crate::key::Key;

/// The keys in force.
#[derive(Clone, Debug)]
pub(crate) struct KeyMap {
    keys: BTreeMap<Key, Command>,
}

impl Default for KeyMap {
    fn default() -> Self {
        let bindings = ALL.iter().flat_map(|about| about.keys.iter().map(|key| (key, about.command)));
        // A test reads every one of them.
        Self { keys: bindings.filter_map(|(key, command)| Some((key.parse().ok()?, command))).collect() }
    }
}

impl KeyMap {
    /// The default keys, with those of some commands replaced.
    pub(crate) fn with(changes: &BTreeMap<String, Vec<String>>) -> Result<Self, String> {
        let mut map = Self::default();
        let mut fresh: BTreeMap<Key, Command> = BTreeMap::new();
        for (name, keys) in changes {
            let command = Command::named(name).ok_or_else(|| {
                let known: Vec<&str> = ALL.iter().map(|about| about.name).collect();
                format!("keys.{name}: there is no such command; there are {}", known.join(", "))
            })?;
            map.keys.retain(|_, bound| *bound != command);
            for key in keys {
                let key: Key = key.parse().map_err(|error| format!("keys.{name}: {error}"))?;
                if let Some(other) = fresh.insert(key, command).filter(|other| *other != command) {
                    let other = other.about().map_or("another command", |about| about.name);
                    return Err(format!("keys.{name}: {key} is given to {other} too"));
                }
            }
        }
        // What the user gives a key to wins over the default of that key.
        map.keys.extend(fresh);
        if !map.keys.values().any(|command| *command == Command::Quit) {
            return Err("keys.quit: at least one key must end the program".to_owned());
        }
        Ok(map)
    }

    /// What a key asks for.
    pub(crate) fn command(&self, key: Key) -> Option<Command> {
        self.keys.get(&key).copied()
    }

    /// The keys of a command, for people. Those by default first, in their order.
    pub(crate) fn keys(&self, command: Command) -> Vec<String> {
        let preferred: Vec<Key> = command
            .about()
            .map(|about| about.keys.iter().filter_map(|key| key.parse().ok()).collect())
            .unwrap_or_default();
        let place = |key: &Key| preferred.iter().position(|known| known == key).unwrap_or(usize::MAX);
        let mut keys: Vec<&Key> =
            self.keys.iter().filter(|(_, c)| **c == command).map(|(key, _)| key).collect();
        keys.sort_by_key(|key| place(key));
        keys.into_iter().map(Key::to_string).collect()
    }

    /// The first key of a command, for hints.
    pub(crate) fn key(&self, command: Command) -> String {
        self.keys(command).into_iter().next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(pairs: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
        let owned = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
        pairs.iter().map(|(name, keys)| ((*name).to_owned(), owned(keys))).collect()
    }

    #[test]
    fn every_default_key_is_a_key_and_belongs_to_one_command() {
        let total: usize = ALL.iter().map(|about| about.keys.len()).sum();
        assert_eq!(KeyMap::default().keys.len(), total);
    }

    #[test]
    fn a_change_replaces_all_keys_of_its_command_and_takes_them_from_others() {
        let map = KeyMap::with(&changes(&[("down", &["n"]), ("refresh", &["k"])])).unwrap();
        assert_eq!(map.keys(Command::Down), ["n"]);
        assert_eq!(map.command("j".parse().unwrap()), None);
        assert_eq!(map.command("k".parse().unwrap()), Some(Command::Refresh));
        assert_eq!(map.keys(Command::Up), ["up"]);
    }

    #[test]
    fn impossible_maps_are_refused_with_the_reason() {
        let refused = |pairs| KeyMap::with(&changes(pairs)).unwrap_err();
        assert!(refused(&[("jump", &["x"])]).contains("no such command"));
        assert!(refused(&[("down", &["hyper-x"])]).contains("is not a key"));
        assert!(refused(&[("down", &["x"]), ("up", &["x"])]).contains("too"));
        assert!(refused(&[("quit", &[])]).contains("at least one key"));
    }
}
