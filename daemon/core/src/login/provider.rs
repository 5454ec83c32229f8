//! An external authentication provider, as the configuration describes it.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;
use serde_json_path::JsonPath;
use url::Url;

/// Where names are looked for in what the provider tells of a user, unless configured.
const USERNAME_PATHS: &str = "$..username;$..login";
const EMAIL_PATHS: &str = "$..email;$..emails;$..primary_email";
const ID_PATHS: &str = "$..id;$..uid;$..userid,$..user_id";
const SCOPE: &str = "user:email";
/// What is replaced in the path of the userinfo endpoint.
const TOKEN_IN_PATH: &str = ":access_token";

/// How the master proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// Its id and secret among the parameters.
    Parameters,
    /// HTTP basic authentication.
    Basic,
}

/// How the code is exchanged for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRequest {
    /// `GET` with a query.
    Query,
    /// `POST` with a JSON object.
    Json,
    /// `POST` with a form.
    Form,
}

/// The provider. Its secret never shows in `Debug`.
#[derive(Clone)]
pub struct Provider {
    /// Where browsers are sent.
    authorize_endpoint: Url,
    /// Where codes are exchanged.
    pub token_endpoint: Url,
    userinfo_endpoint: String,
    /// The master's name there.
    pub client_id: String,
    /// The master's secret there.
    pub client_secret: String,
    scope: String,
    /// Where browsers and clients reach the masters, without a slash at its end.
    pub root_url: String,
    /// How codes are exchanged.
    pub token_request: TokenRequest,
    /// When a code is exchanged.
    pub code_authentication: ClientAuthentication,
    /// When the user is asked for: by name and secret instead of by token.
    pub userinfo_basic: bool,
    /// Accept any certificate.
    pub ignore_invalid_ssl: bool,
    username_paths: String,
    email_paths: String,
    id_paths: String,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("token_endpoint", &self.token_endpoint.as_str())
            .finish_non_exhaustive()
    }
}

/// Whether a key of the configuration is on: clients write `true` as text, or as such.
pub(crate) fn says_true(values: &BTreeMap<String, Value>, key: &str) -> bool {
    match values.get(key) {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::String(text)) => text == "true",
        _ => false,
    }
}

/// A user as the provider knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The provider's own name for it, which does not change.
    pub id: Option<String>,
    /// Where it is reached.
    pub email: Option<String>,
    /// For people.
    pub username: Option<String>,
}

impl Provider {
    /// From the configuration's values by their keys; `None` while something that is needed is missing.
    #[must_use]
    pub fn from_configuration(values: &BTreeMap<String, Value>) -> Option<Self> {
        let text = |key: &str| match values.get(key)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let flag = |key: &str| says_true(values, key);
        let endpoint =
            |key: &str| Url::parse(&text(key)?).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let json = text("oauth2.token_post_content_type").is_none_or(|kind| kind.contains("json"));
        let posted = text("oauth2.token_method").is_none_or(|method| method.eq_ignore_ascii_case("post"));
        let token_request = match (posted, json) {
            (false, _) => TokenRequest::Query,
            (true, true) => TokenRequest::Json,
            (true, false) => TokenRequest::Form,
        };
        let userinfo_endpoint = text("oauth2.userinfo_endpoint")?;
        let paths = |key: &str, default: &str| text(key).unwrap_or_else(|| default.to_owned());
        Some(Self {
            authorize_endpoint: endpoint("oauth2.authorize_endpoint")?,
            token_endpoint: endpoint("oauth2.token_endpoint")?,
            userinfo_endpoint,
            client_id: text("oauth2.client_id")?,
            client_secret: text("oauth2.client_secret")?,
            scope: text("oauth2.userinfo_scope").unwrap_or_else(|| SCOPE.to_owned()),
            root_url: text("server.root_url")?.trim_end_matches('/').to_owned(),
            token_request,
            code_authentication: if flag("oauth2.code_requires_basic_auth") {
                ClientAuthentication::Basic
            } else {
                ClientAuthentication::Parameters
            },
            userinfo_basic: flag("oauth2.userinfo_requires_basic_auth"),
            ignore_invalid_ssl: flag("oauth2.ignore_invalid_ssl"),
            username_paths: paths("oauth2.userinfo_username_jsonpath", USERNAME_PATHS),
            email_paths: paths("oauth2.userinfo_email_jsonpath", EMAIL_PATHS),
            id_paths: paths("oauth2.userinfo_user_id_jsonpath", ID_PATHS),
        })
    }

    /// The host that browsers are sent to.
    #[must_use]
    pub fn authorize_host(&self) -> Option<&str> {
        self.authorize_endpoint.host_str()
    }

    /// Where the provider sends the browser back to.
    #[must_use]
    pub fn callback(&self) -> String {
        format!("{}/cb", self.root_url)
    }

    /// What an invited user opens.
    #[must_use]
    pub fn invitation_link(&self, code: &str) -> String {
        format!("{}/j/{code}", self.root_url)
    }

    /// Where a browser is sent to log in.
    #[must_use]
    pub fn authorize_url(&self, state: &str) -> String {
        let mut url = self.authorize_endpoint.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("scope", &self.scope)
            .append_pair("state", state)
            .append_pair("redirect_uri", &self.callback());
        url.to_string()
    }

    /// What is sent in exchange for a token.
    #[must_use]
    pub fn token_parameters<'a>(&'a self, code: &'a str) -> Vec<(&'static str, std::borrow::Cow<'a, str>)> {
        let mut parameters = vec![
            ("grant_type", "authorization_code".into()),
            ("code", code.into()),
            ("redirect_uri", self.callback().into()),
        ];
        if self.code_authentication == ClientAuthentication::Parameters {
            parameters.push(("client_id", self.client_id.as_str().into()));
            parameters.push(("client_secret", self.client_secret.as_str().into()));
        }
        parameters
    }

    /// Where the user behind a token is asked for.
    #[must_use]
    pub fn userinfo_url(&self, access_token: &str) -> Option<Url> {
        let encoded: String = url::form_urlencoded::byte_serialize(access_token.as_bytes()).collect();
        let url = Url::parse(&self.userinfo_endpoint.replace(TOKEN_IN_PATH, &encoded)).ok()?;
        matches!(url.scheme(), "http" | "https").then_some(url)
    }

    /// Finds the user in the provider's answer.
    #[must_use]
    pub fn identity(&self, answer: &Value) -> Identity {
        Identity {
            id: pick(answer, &self.id_paths),
            email: pick(answer, &self.email_paths),
            username: pick(answer, &self.username_paths),
        }
    }
}

/// The first text or number that one of the paths finds.
fn pick(answer: &Value, paths: &str) -> Option<String> {
    let paths = paths.replace(",$", ";$");
    paths.split(';').filter_map(|path| JsonPath::parse(path.trim()).ok()).find_map(|path| {
        path.query(answer).all().into_iter().find_map(|found| match found {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Array(items) => items.iter().find_map(Value::as_str).map(str::to_owned),
            _ => None,
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn configuration() -> BTreeMap<String, Value> {
        [
            ("oauth2.authorize_endpoint", json!("http://127.0.0.1:9/authorize")),
            ("oauth2.token_endpoint", json!("http://127.0.0.1:9/token")),
            ("oauth2.userinfo_endpoint", json!("http://127.0.0.1:9/user/:access_token")),
            ("oauth2.client_id", json!(17)),
            ("oauth2.client_secret", json!("hush")),
            ("oauth2.userinfo_scope", json!("user")),
            ("server.root_url", json!("http://127.0.0.1:19411")),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }

    #[test]
    fn a_provider_counts_once_everything_needed_is_there() {
        let whole = configuration();
        let provider = Provider::from_configuration(&whole).unwrap();
        assert_eq!(
            provider.authorize_url("abc"),
            "http://127.0.0.1:9/authorize?response_type=code&client_id=17&scope=user&state=abc\
             &redirect_uri=http%3A%2F%2F127.0.0.1%3A19411%2Fcb"
        );
        assert_eq!(provider.userinfo_url("a/b").unwrap().as_str(), "http://127.0.0.1:9/user/a%2Fb");
        assert!(!format!("{provider:?}").contains("hush"));
        for key in whole.keys().filter(|key| *key != "oauth2.userinfo_scope") {
            let mut values = whole.clone();
            values.remove(key);
            assert!(Provider::from_configuration(&values).is_none(), "without {key}");
        }
    }

    #[test]
    fn users_are_found_wherever_providers_put_them() {
        let provider = Provider::from_configuration(&configuration()).unwrap();
        let identity =
            provider.identity(&json!({ "data": { "id": 7, "login": "jo", "emails": ["jo@x.y"] } }));
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(identity, Identity { id: some("7"), email: some("jo@x.y"), username: some("jo") });
        assert_eq!(provider.identity(&json!([])), Identity::default());
    }
}
