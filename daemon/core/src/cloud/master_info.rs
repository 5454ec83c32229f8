//! What the cloud is told of the master itself: where browsers and clients find it.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};
use url::Url;

use crate::login::{Provider, says_true};

/// What stands behind the address of the cloud's API.
const PATH: &str = "/master";

/// Where the master is reached, whom to tell, and as whom. The secret never shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterInfo {
    /// Where it is told.
    pub url: Url,
    /// Where the token for that comes from.
    pub token_endpoint: Url,
    /// Accept any certificate of both.
    pub ignore_invalid_ssl: bool,
    client_id: String,
    client_secret: String,
    redirect_uri: String,
    root_url: String,
    uuid: String,
}

impl fmt::Debug for MasterInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterInfo").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

impl MasterInfo {
    /// From the configuration's values by their keys, secrets decrypted. `None` where there is nobody to tell: the
    /// provider is not Kontena's, or the cloud's API is not named. The original's default for that is a host that
    /// answers no more, so it has none here.
    #[must_use]
    pub fn from_configuration(values: &BTreeMap<String, Value>) -> Option<Self> {
        let provider = super::provider(values).ok()?;
        let text = |key: &str| values.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let api = text("cloud.api_url")?;
        let url = Url::parse(&format!("{}{PATH}", api.trim_end_matches('/'))).ok()?;
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        let redirect_uri = provider.callback();
        let Provider { token_endpoint, client_id, client_secret, root_url, .. } = provider;
        Some(Self {
            url,
            token_endpoint,
            ignore_invalid_ssl: says_true(values, "cloud.ignore_invalid_ssl"),
            client_id,
            client_secret,
            redirect_uri,
            root_url,
            uuid: text("server.uuid").unwrap_or_default().to_owned(),
        })
    }

    /// The form that the token is asked for with.
    #[must_use]
    pub fn token_form(&self) -> [(&'static str, &str); 3] {
        [
            ("grant_type", "client_credentials"),
            ("client_id", &self.client_id),
            ("client_secret", &self.client_secret),
        ]
    }

    /// What is told.
    #[must_use]
    pub fn body(&self) -> Value {
        let attributes =
            json!({ "redirect-uri": self.redirect_uri, "url": self.root_url, "uuid": self.uuid });
        json!({ "data": { "attributes": attributes } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_where_the_cloud_is_named() {
        let mut values = crate::cloud::tests::complete();
        values.insert("server.uuid".to_owned(), json!("1-2-3"));
        assert_eq!(MasterInfo::from_configuration(&values), None, "nobody is named");
        values.insert("cloud.api_url".to_owned(), json!("https://cloud.example.com/"));
        let info = MasterInfo::from_configuration(&values).unwrap();
        assert_eq!(info.url.as_str(), "https://cloud.example.com/master");
        assert_eq!(info.token_form()[2], ("client_secret", "hush"));
        assert!(!format!("{info:?}").contains("hush"));
        let attributes = json!({
            "redirect-uri": "http://master.example.com/cb", "url": "http://master.example.com", "uuid": "1-2-3",
        });
        assert_eq!(info.body(), json!({ "data": { "attributes": attributes } }));
        values.insert("oauth2.authorize_endpoint".to_owned(), json!("https://example.com/a"));
        assert_eq!(MasterInfo::from_configuration(&values), None, "the provider is somebody else's");
    }
}
