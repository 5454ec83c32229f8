//! The rules of logging in: what may be asked for with a token, where a browser may be sent, and how an external
//! authentication provider is asked.

mod provider;

use std::fmt;

use serde_json::{Map, Value};
use url::{Host, Url};

pub(crate) use provider::says_true;
pub use provider::{ClientAuthentication, Identity, Provider, TokenRequest};

/// The host-less address of the page that shows a code to people.
pub const CODE_PAGE: &str = "/code";
/// What a token can be good for.
const SCOPES: [&str; 2] = ["user", "owner"];

/// Where the browser goes when the login is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// To the command line that waits on the same host.
    Localhost(Box<Url>),
    /// To the page that shows the code.
    CodePage,
}

impl Redirect {
    /// Reads an address; `None` for any that could carry the code elsewhere.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == CODE_PAGE {
            return Some(Self::CodePage);
        }
        let url = Url::parse(text).ok()?;
        let web = matches!(url.scheme(), "http" | "https") && url.username().is_empty();
        let local = matches!(url.host(), Some(Host::Domain("localhost")));
        (web && local).then(|| Self::Localhost(Box::new(url)))
    }

    /// The address with the code on it.
    #[must_use]
    pub fn with_code(&self, code: &str, server_name: Option<&str>) -> String {
        match self {
            Self::Localhost(url) => {
                let mut url = url.clone();
                url.query_pairs_mut().append_pair("code", code);
                if let Some(name) = server_name {
                    url.query_pairs_mut().append_pair("server_name", name);
                }
                url.to_string()
            }
            Self::CodePage => {
                let mut fragment = url::form_urlencoded::Serializer::new(String::new());
                fragment.append_pair("code", code);
                if let Some(name) = server_name {
                    fragment.append_pair("server_name", name);
                }
                format!("{CODE_PAGE}#{}", fragment.finish())
            }
        }
    }
}

/// What is wrong with parameters, as the original wrote it: `{"scope"=>:invalid}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Symbols(Vec<(&'static str, &'static str)>);

impl Symbols {
    /// One fault.
    #[must_use]
    pub fn of(parameter: &'static str, symbol: &'static str) -> Self {
        Self(vec![(parameter, symbol)])
    }

    fn add(&mut self, parameter: &'static str, symbol: &'static str) {
        self.0.push((parameter, symbol));
    }

    fn check(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Symbols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (parameter, symbol)) in self.0.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}\"{parameter}\"=>:{symbol}")?;
        }
        f.write_str("}")
    }
}

/// A token that a user asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenWish {
    /// What it shall be good for.
    pub scopes: Vec<String>,
    /// Seconds. None: it never expires.
    pub expires_in: Option<i64>,
    /// For people.
    pub description: Option<String>,
}

impl TokenWish {
    /// Reads the parameters; `None` if no scope was named.
    pub fn read(parameters: &Map<String, Value>) -> Result<Option<Self>, Symbols> {
        let Some(scope) = parameter(parameters, "scope") else { return Ok(None) };
        let scopes: Vec<String> = scope
            .split(',')
            .map(|scope| scope.chars().filter(|character| !character.is_whitespace()).collect())
            .collect();
        let mut faults = Symbols::default();
        if !scopes.iter().all(|scope| SCOPES.contains(&scope.as_str())) {
            faults.add("scope", "invalid");
        }
        let expires_in = expires_in(parameters);
        if expires_in.is_none() {
            faults.add("expires_in", "integer");
        }
        faults.check()?;
        let expires_in = expires_in.filter(|seconds| *seconds > 0);
        Ok(Some(Self { scopes, expires_in, description: parameter(parameters, "description") }))
    }
}

/// A user who is invited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Where the user is reached.
    pub email: String,
    /// At the provider.
    pub external_id: Option<String>,
    /// For people.
    pub name: Option<String>,
}

impl Invitation {
    /// Reads the parameters.
    pub fn read(parameters: &Map<String, Value>) -> Result<Self, Symbols> {
        let email = parameter(parameters, "email").ok_or(Symbols::of("email", "required"))?;
        if !is_email(&email) {
            return Err(Symbols::of("email", "matches"));
        }
        let optional = |name| parameter(parameters, name);
        Ok(Self { email, external_id: optional("external_id"), name: optional("username") })
    }
}

/// How long a login through the provider shall last, in seconds. `None` for what is no number; absent is 0.
#[must_use]
pub fn expires_in(parameters: &Map<String, Value>) -> Option<i64> {
    const LONGEST: i64 = 100 * 365 * 24 * 3600;
    let seconds: i64 = match parameters.get("expires_in") {
        None | Some(Value::Null) => Some(0),
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(text)) if text.trim().is_empty() => Some(0),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => None,
    }?;
    Some(seconds.min(LONGEST))
}

/// A parameter as text, if it is there and not blank.
#[must_use]
pub fn parameter(parameters: &Map<String, Value>, name: &str) -> Option<String> {
    let text = match parameters.get(name)? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Bool(boolean) => boolean.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// Whether a text looks like `x@domain.tld`.
#[must_use]
pub fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let clean = |part: &str| {
        !part.is_empty()
            && part.chars().all(|character| {
                !character.is_whitespace() && !character.is_control() && !matches!(character, '@' | '/')
            })
    };
    let labels: Vec<&str> = domain.split('.').collect();
    clean(local) && labels.len() > 1 && labels.iter().all(|label| clean(label)) && text.len() <= 254
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }

    #[test]
    fn a_code_is_carried_to_this_host_only() {
        for good in ["http://localhost:1234/cb", "https://localhost/", "/code"] {
            assert!(Redirect::parse(good).is_some(), "{good}");
        }
        for bad in [
            "http://evil.example.com/",
            "http://localhost.evil.com/",
            "http://localhost@evil.com/",
            "http://user@localhost/",
            "javascript:alert(1)//localhost",
            "//evil.com/code",
            "/code/../x",
            "",
        ] {
            assert!(Redirect::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_code_is_appended_where_the_client_looks_for_it() {
        let local = Redirect::parse("http://localhost:1234/cb").unwrap();
        assert_eq!(
            local.with_code("abc", Some("my master")),
            "http://localhost:1234/cb?code=abc&server_name=my+master"
        );
        assert_eq!(Redirect::CodePage.with_code("abc", None), "/code#code=abc");
    }

    #[test]
    fn wishes_are_read_and_refused_with_the_originals_words() {
        let wish = |value| TokenWish::read(&object(value));
        let good = wish(json!({ "scope": "user, owner", "expires_in": "3600", "description": " " }))
            .unwrap()
            .unwrap();
        assert_eq!(good.scopes, ["user", "owner"]);
        assert_eq!((good.expires_in, good.description), (Some(3600), None));
        assert_eq!(wish(json!({ "scope": "user", "expires_in": 0 })).unwrap().unwrap().expires_in, None);
        assert_eq!(wish(json!({})), Ok(None));
        let faults = wish(json!({ "scope": "user,bogus", "expires_in": "x" })).unwrap_err();
        assert_eq!(faults.to_string(), r#"{"scope"=>:invalid, "expires_in"=>:integer}"#);
        let faults = Invitation::read(&object(json!({ "email": "notanemail" }))).unwrap_err();
        assert_eq!(faults.to_string(), r#"{"email"=>:matches}"#);
    }
}
