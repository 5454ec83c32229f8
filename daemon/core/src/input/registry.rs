//! Credentials for image registries.

use std::fmt;

use serde_json::{Map, Value};
use url::Url;

use crate::form::{Form, Invalid, text};

/// Credentials to be kept. The password never shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct NewRegistry {
    /// Host, with the port unless it is that of HTTP or HTTPS.
    pub name: String,
    /// As given.
    pub url: String,
    /// Who logs in.
    pub username: String,
    /// With what.
    pub password: String,
    /// What old registries ask for.
    pub email: Option<String>,
}

impl fmt::Debug for NewRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewRegistry").field("name", &self.name).finish_non_exhaustive()
    }
}

impl NewRegistry {
    /// Reads a request.
    pub fn read(input: &Map<String, Value>) -> Result<Self, Invalid> {
        let mut form = Form::new(input);
        let url = form.required("url", &text().matching(|url| name(url).is_some()));
        let username = form.required("username", &text());
        let password = form.required("password", &text());
        let email = form.optional("email", &text());
        let made = (|| {
            let url = url?;
            Some(Self { name: name(&url)?, url, username: username?, password: password?, email })
        })();
        form.conclude(made)
    }
}

fn name(url: &str) -> Option<String> {
    // Alone, the parser would take `http:x` too.
    url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
    let parsed = Url::parse(url).ok()?;
    let host = parsed.host_str()?;
    Some(match parsed.port() {
        None | Some(80 | 443) => host.to_owned(),
        Some(port) => format!("{host}:{port}"),
    })
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn a_registry_is_named_by_its_host_and_unusual_port() {
        for (url, expected) in [
            ("http://registry.example.com:5000/v2/", Some("registry.example.com:5000")),
            ("https://index.docker.io/v2/", Some("index.docker.io")),
            ("http://x:443", Some("x")),
            ("https://notaurl", Some("notaurl")),
            ("ftp://x", None),
            ("registry", None),
            ("http:registry", None),
        ] {
            assert_eq!(name(url).as_deref(), expected, "{url}");
        }
    }
}
