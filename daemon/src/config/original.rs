//! The original's variables that fill the configuration in the database, where it has no value of its own.

use serde_json::Value;

/// Each variable with the key it fills.
const VARIABLES: [(&str, &str); 18] = [
    ("KONTENA_MASTER_URL", "server.root_url"),
    ("SERVER_NAME", "server.name"),
    ("CLOUD_SOCKET_URI", "cloud.socket_uri"),
    ("AUTH_CLIENT_ID", "oauth2.client_id"),
    ("AUTH_CLIENT_SECRET", "oauth2.client_secret"),
    ("AUTH_AUTHORIZE_ENDPOINT", "oauth2.authorize_endpoint"),
    ("AUTH_TOKEN_ENDPOINT", "oauth2.token_endpoint"),
    ("AUTH_USERINFO_ENDPOINT", "oauth2.userinfo_endpoint"),
    ("AUTH_TOKEN_METHOD", "oauth2.token_method"),
    ("AUTH_TOKEN_POST_CONTENT_TYPE", "oauth2.token_post_content_type"),
    ("AUTH_CODE_REQUIRES_BASIC_AUTH", "oauth2.code_requires_basic_auth"),
    ("USERINFO_REQUIRES_BASIC_AUTH", "oauth2.userinfo_requires_basic_auth"),
    ("AUTH_IGNORE_INVALID_SSL", "oauth2.ignore_invalid_ssl"),
    ("AUTH_USERINFO_SCOPE", "oauth2.userinfo_scope"),
    ("AUTH_USERINFO_USERNAME_JSONPATH", "oauth2.userinfo_username_jsonpath"),
    ("AUTH_USERINFO_EMAIL_JSONPATH", "oauth2.userinfo_email_jsonpath"),
    ("AUTH_USERINFO_EMAIL_VERIFIED_JSONPATH", "oauth2.userinfo_email_verified_jsonpath"),
    ("AUTH_USERINFO_USER_ID_JSONPATH", "oauth2.userinfo_user_id_jsonpath"),
];
/// What a new database holds without any variable.
const DEFAULTS: [(&str, &str); 2] =
    [("cloud.enabled", "true"), ("cloud.socket_uri", "wss://socket.kontena.io")];
const TELEMETRY: &str = "server.telemetry_enabled";
const FLAGS: [&str; 3] =
    ["oauth2.code_requires_basic_auth", "oauth2.ignore_invalid_ssl", "oauth2.userinfo_requires_basic_auth"];

/// The values for a database without any.
pub(super) fn defaults(variables: &impl Fn(&'static str) -> Option<String>) -> Vec<(String, Value)> {
    let given = |key: &str| {
        let variable = VARIABLES.iter().find(|(_, fills)| *fills == key)?.0;
        variables(variable).filter(|text| !text.is_empty())
    };
    let mut values: Vec<(String, Value)> = Vec::new();
    for (_, key) in VARIABLES {
        match (given(key), FLAGS.contains(&key)) {
            (Some(text), true) => values.push((key.to_owned(), (text == "true").into())),
            (Some(text), false) => values.push((key.to_owned(), text.as_str().into())),
            (None, true) => values.push((key.to_owned(), false.into())),
            (None, false) => {}
        }
    }
    let unset = DEFAULTS.iter().filter(|(key, _)| given(key).is_none());
    values.extend(unset.map(|(key, value)| ((*key).to_owned(), (*value).into())));
    values.push((TELEMETRY.to_owned(), "true".into()));
    values
}
