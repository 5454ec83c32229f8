//! The places one can connect to: the admin socket of this host, what the command line names, and the masters
//! that the original's command line knows from `~/.kontena_client.json`.

use std::path::PathBuf;

use secrecy::SecretString;
use serde_json::{Map, Value};

use super::target::{Target, Way, parse_url};
use crate::state::{ContextName, Shell};
use crate::time;

/// How large the file may be.
pub(crate) const FILE_MAX: u64 = 1 << 20;
/// How many masters are taken from it.
const SERVERS_MAX: usize = 200;

/// A place one can connect to.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) name: String,
    pub(crate) target: Target,
    /// Where it is from.
    pub(crate) origin: &'static str,
    pub(crate) warning: Option<String>,
}

impl Context {
    /// What may be shown of it.
    pub(crate) fn public(&self) -> ContextName {
        let shell = match &self.target.way {
            Way::Socket(path) => Shell::Socket(path.display().to_string()),
            Way::Url(_) => Shell::Url(self.target.to_string()),
        };
        ContextName {
            name: self.name.clone(),
            description: format!("{} ({})", self.target, self.origin),
            warning: self.warning.clone(),
            shell,
        }
    }

    /// The admin socket of this host.
    pub(crate) fn socket(path: PathBuf, token: Option<SecretString>) -> Self {
        let target = Target { way: Way::Socket(path), token };
        Self { name: "local".to_owned(), target, origin: "admin socket of this host", warning: None }
    }

    /// An address of the command line or the environment.
    pub(crate) fn url(url: &str, token: Option<SecretString>, origin: &'static str) -> Result<Self, String> {
        let url = parse_url(url)?;
        let host = url.host_str().unwrap_or_default();
        let name = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let warning = token.is_none().then(|| "no token given".to_owned());
        Ok(Self { name, target: Target { way: Way::Url(url), token }, origin, warning })
    }
}

/// What was read from the file of the original's command line.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) contexts: Vec<Context>,
    /// The one in use there.
    pub(crate) current: Option<String>,
    /// What could not be used.
    pub(crate) faults: Vec<String>,
}

/// Reads `~/.kontena_client.json`: `{"current_server": NAME, "servers": [{"name", "url", "token",
/// "token_expires_at"}]}`, and what older versions wrote: `{"server": {"url", "token"}}`. `now` is in milliseconds
/// since 1970. Nonsense in it costs what it concerns, and no more.
pub(crate) fn parse(text: &str, now_ms: i64) -> Known {
    let mut known = Known::default();
    let root = match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(root)) => root,
        Ok(_) => {
            known.faults.push("it does not hold an object".to_owned());
            return known;
        }
        // The parser's message may quote what stands there; the place is enough.
        Err(error) => {
            known.faults.push(format!("it is not JSON (line {}, column {})", error.line(), error.column()));
            return known;
        }
    };
    known.current = root.get("current_server").and_then(Value::as_str).map(str::to_owned);
    let servers = match (root.get("servers"), root.get("server")) {
        (Some(Value::Array(servers)), _) => servers.as_slice(),
        (None, Some(server)) => std::slice::from_ref(server),
        (Some(_), _) => {
            known.faults.push("\"servers\" is not a list".to_owned());
            return known;
        }
        (None, None) => return known,
    };
    for (index, server) in servers.iter().take(SERVERS_MAX).enumerate() {
        match server
            .as_object()
            .ok_or("is not an object".to_owned())
            .and_then(|server| context(server, now_ms))
        {
            Ok(context) => known.contexts.push(context),
            Err(fault) => known.faults.push(format!("server {} {fault}", index + 1)),
        }
    }
    if servers.len() > SERVERS_MAX {
        known.faults.push(format!("only the first {SERVERS_MAX} of {} servers are taken", servers.len()));
    }
    known
}

fn context(server: &Map<String, Value>, now_ms: i64) -> Result<Context, String> {
    let text = |key: &str| server.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    // Names go to the screen and are typed by people.
    let name: String =
        text("name").unwrap_or("default").chars().filter(|char| !char.is_control()).take(64).collect();
    let url = text("url").ok_or_else(|| format!("({name}) has no url"))?;
    let url = parse_url(url).map_err(|_| format!("({name}) has a url that is none"))?;
    let token = text("token").map(SecretString::from);
    let expires = server.get("token_expires_at").and_then(|at| {
        let seconds = at.as_i64().or_else(|| at.as_str()?.parse().ok())?;
        // 0 and less: never.
        (seconds > 0).then(|| seconds.saturating_mul(1000))
    });
    let warning = match (&token, expires) {
        (None, _) => Some("not logged in: kontena master login".to_owned()),
        (Some(_), Some(at)) if at <= now_ms => {
            let ago = time::between(at, now_ms).map(time::duration).unwrap_or_default();
            Some(format!("its token expired {ago} ago: kontena master login"))
        }
        (Some(_), _) => None,
    };
    Ok(Context {
        name,
        target: Target { way: Way::Url(url), token },
        origin: "~/.kontena_client.json",
        warning,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_500_000_000_000;

    fn names(text: &str) -> Vec<String> {
        parse(text, NOW).contexts.iter().map(|context| context.name.clone()).collect()
    }

    #[test]
    fn the_file_of_the_original_is_read_with_its_current_server() {
        let text = r#"{"current_server": "prod", "current_account": "master", "accounts": [],
            "servers": [
              {"name": "dev", "url": "http://dev:9292", "token": "a", "token_expires_at": 0, "account": "master", "grid": "g"},
              {"name": "prod", "url": "https://masters.example/", "token": "b", "token_expires_at": 1400000000},
              {"name": "new", "url": "https://other.example"}]}"#;
        let known = parse(text, NOW);
        assert_eq!(known.current.as_deref(), Some("prod"));
        assert!(known.faults.is_empty(), "{:?}", known.faults);
        let warnings: Vec<_> = known.contexts.iter().map(|context| context.warning.as_deref()).collect();
        assert_eq!(warnings[0], None);
        assert!(
            warnings[1].is_some_and(|warning| warning.starts_with("its token expired 1157 d")),
            "{warnings:?}"
        );
        assert!(warnings[2].is_some_and(|warning| warning.starts_with("not logged in")));
        assert_eq!(
            known.contexts[1].public().description,
            "https://masters.example (~/.kontena_client.json)"
        );
    }

    #[test]
    fn the_form_of_older_versions_is_read_too() {
        assert_eq!(
            names(r#"{"server": {"url": "https://old:8443", "token": "t", "grid": "g"}}"#),
            ["default"]
        );
    }

    #[test]
    fn nonsense_costs_what_it_concerns_and_is_told_without_its_secrets() {
        for text in
            ["", "[]", "null", "{", "{}", r#"{"servers": 7}"#, r#"{"servers": [1, null, {}]}"#, "\u{0}"]
        {
            assert!(names(text).is_empty(), "{text}");
        }
        let text = r#"{"servers": [{"name": "x", "url": "::", "token": "hunter2"}, {"name": "ok", "url": "http://ok"},
            {"name": 7, "url": "http://seven", "token": 7, "token_expires_at": "soon"}]}"#;
        let known = parse(text, NOW);
        assert_eq!(known.contexts.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["ok", "default"]);
        assert_eq!(known.faults, ["server 1 (x) has a url that is none"]);
        let broken = parse("{\"servers\": [{\"token\": \"hunter2\" oops", NOW);
        assert!(!format!("{broken:?}").contains("hunter2"));
    }
}
