//! What Kontena Cloud may ask: requests to the original's API on behalf of a user, carried out by our own handlers,
//! with a token that lasts for the request only. And what it is told: see `told`.

mod told;

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use axum::http::{HeaderValue, Method, Request, Uri};
use axum::response::Response;
use kontena_core::login::Identity;
use kontena_store::Grant;
use kontena_wire::rpc::{Fault, Value, json, loose, map};
use tower_service::Service;

use super::refused::Refused;
use super::router;
use crate::http::{Admission, Api};
use crate::metrics::CloudMetrics;

pub(crate) use told::{Composed, Composer};

/// How long the token of a request lasts, in seconds.
const TOKEN_SECONDS: i64 = 60;
/// How long a request may take, its answer included: less than its token lasts.
const WITHIN: Duration = Duration::from_secs(50);
/// The largest answer that is passed on, in bytes.
const ANSWER_MAX: usize = 8 << 20;
/// The longest path that is asked for, in bytes.
const PATH_MAX: usize = 8 << 10;
/// How the cloud shows in the audit log.
const AGENT: HeaderValue = HeaderValue::from_static("Kontena Cloud");

/// Where the cloud's requests are carried out.
#[derive(Clone)]
pub(crate) struct RestDesk {
    api: Api,
    /// The original's API only: our own administration is no business of the cloud.
    router: Router,
}

impl RestDesk {
    pub(crate) fn new(api: &Api) -> Self {
        let router = Router::new().merge(router(api, Admission::Network)).with_state(api.clone());
        Self { api: api.clone(), router }
    }

    /// Where they are counted.
    pub(crate) fn metrics(&self) -> &CloudMetrics {
        &self.api.metrics.cloud
    }

    /// Carries out `rest_request/VERB`, whose parameters are the user's name at the cloud, the path, and for most verbs
    /// the query or the body. What it began it brings to its end, even if nobody waits for the answer any more.
    pub(crate) async fn request(&self, verb: &str, params: Vec<Value>) -> Result<Value, Fault> {
        let (request, user) = read(verb, params)?;
        let desk = self.clone();
        let tasks = &self.api.resources.tasks;
        let carried_out = tasks.spawn(async move { desk.carry_out(request, user).await }).await;
        carried_out.unwrap_or_else(|_| Err(Fault::new(500, "the request was broken off")))
    }

    async fn carry_out(&self, mut request: Request<Body>, user: String) -> Result<Value, Fault> {
        let api = &self.api;
        let store = &api.resources.store;
        let failed = |_| Fault::new(503, "the database does not answer");
        let identity = Identity { id: Some(user), ..Identity::default() };
        let user = store.users().by_identity(&identity).await.map_err(failed)?;
        let user = user.ok_or_else(|| Fault::new(403, "Forbidden"))?;
        let grant = Grant {
            user: user.id(),
            scopes: vec!["owner".to_owned()],
            expires_in: Some(TOKEN_SECONDS),
            description: None,
        };
        let minted = api.resources.mint().await.map_err(|refused: Refused| {
            tracing::debug!(?refused, "no token for the cloud");
            Fault::new(503, "no token can be made")
        })?;
        let token = store.access_tokens().mint(&grant, &minted).await.map_err(failed)?;
        let bearer = HeaderValue::try_from(format!("Bearer {}", minted.token));
        let outcome = match bearer {
            Ok(bearer) => {
                request.headers_mut().insert(AUTHORIZATION, bearer);
                let (method, path) = (request.method().clone(), request.uri().path().to_owned());
                let answered = tokio::time::timeout(WITHIN, self.answer(request)).await;
                let outcome = answered.unwrap_or_else(|_| Err(Fault::new(503, "not answered in time")));
                tracing::debug!(%method, path, answered = outcome.is_ok(), "asked by the cloud");
                outcome
            }
            Err(_) => Err(Fault::new(500, "no token can be made")),
        };
        // If this fails it expires by itself.
        if let Err(failure) = store.access_tokens().remove(token.id).await {
            tracing::debug!(%failure, "the token of a request of the cloud was not removed");
        }
        outcome
    }

    async fn answer(&self, request: Request<Body>) -> Result<Value, Fault> {
        let response: Response = match self.router.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, ANSWER_MAX).await.map_err(|_| {
            Fault::new(500, format!("the answer is broken, or larger than {ANSWER_MAX} bytes"))
        })?;
        let headers = parts.headers.iter().map(|(name, value)| {
            (Value::from(name.as_str()), Value::from(String::from_utf8_lossy(value.as_bytes()).as_ref()))
        });
        Ok(map([
            ("status", Value::from(parts.status.as_u16())),
            ("headers", Value::Map(headers.collect())),
            ("body", Value::from(String::from_utf8_lossy(&body).as_ref())),
        ]))
    }
}

/// The request that is meant, without a token, and whose it is.
fn read(verb: &str, params: Vec<Value>) -> Result<(Request<Body>, String), Fault> {
    let method = match verb {
        "get" => Method::GET,
        "post" => Method::POST,
        "put" => Method::PUT,
        "delete" => Method::DELETE,
        _ => {
            return Err(Fault::new(
                500,
                format!("there is no {verb:?}: there are get, post, put and delete"),
            ));
        }
    };
    let wrong = |what: &str| Fault::new(400, format!("wrong parameters: {what}"));
    let mut params = params.into_iter();
    let user = params.next().as_ref().and_then(name).ok_or_else(|| wrong("the first is no user"))?;
    let path =
        params.next().as_ref().and_then(loose::filled).ok_or_else(|| wrong("the second is no path"))?;
    let options = params.next().unwrap_or(Value::Nil);
    if params.next().is_some() {
        return Err(wrong("there are more than three"));
    }
    if !path.starts_with('/') || path.len() > PATH_MAX {
        return Err(wrong("the path does not begin with / or is too long"));
    }
    let mut path = path;
    let mut body = String::new();
    if method == Method::GET {
        let query = query(&options).ok_or_else(|| wrong("the third is no query"))?;
        if !query.is_empty() {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str(&query);
        }
    } else if method != Method::DELETE {
        // Text is the body itself.
        body = match &options {
            Value::Nil => String::new(),
            Value::String(_) | Value::Binary(_) => loose::text(&options).unwrap_or_default().into_owned(),
            other => json(other).to_string(),
        };
    }
    let uri: Uri = path.parse().map_err(|_| wrong("the second is no path"))?;
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, AGENT)
        .body(Body::from(body))
        .map_err(|_| wrong("no request can be made of them"))?;
    Ok((request, user))
}

/// Who was meant: some providers number their users.
fn name(value: &Value) -> Option<String> {
    loose::filled(value).or_else(|| loose::integer(value).map(|number| number.to_string()))
}

/// Parameters of a query, from text or from a map.
fn query(options: &Value) -> Option<String> {
    match options {
        Value::Nil => Some(String::new()),
        Value::String(_) | Value::Binary(_) => loose::text(options).map(std::borrow::Cow::into_owned),
        Value::Map(_) => {
            let mut pairs = url::form_urlencoded::Serializer::new(String::new());
            for (key, value) in loose::entries(Some(options)) {
                match json(value) {
                    serde_json::Value::Null => pairs.append_key_only(&key),
                    serde_json::Value::String(text) => pairs.append_pair(&key, &text),
                    other => pairs.append_pair(&key, &other.to_string()),
                };
            }
            Some(pairs.finish())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_as(verb: &str, params: Vec<Value>) -> Result<(Method, String), i64> {
        read(verb, params)
            .map(|(request, _)| (request.method().clone(), request.uri().to_string()))
            .map_err(|fault| fault.code)
    }

    #[test]
    fn only_four_verbs_and_sensible_parameters_are_taken() {
        let query = map([("a", "1 2".into()), ("b", 7.into())]);
        assert_eq!(
            read_as("get", vec!["u".into(), "/v1/grids".into(), query]),
            Ok((Method::GET, "/v1/grids?a=1+2&b=7".to_owned()))
        );
        assert_eq!(
            read_as("get", vec![7.into(), "/v1/x?y=1".into(), "z=2".into()]),
            Ok((Method::GET, "/v1/x?y=1&z=2".to_owned()))
        );
        assert_eq!(
            read_as("delete", vec!["u".into(), "/v1/grids/g".into()]),
            Ok((Method::DELETE, "/v1/grids/g".to_owned()))
        );
        let path = || vec![Value::from("u"), Value::from("/v1/grids"), Value::Nil];
        for verb in ["patch", "head", "instance_eval", "access_token", "", "get "] {
            assert_eq!(read_as(verb, path()), Err(500), "{verb}");
        }
        let long: Value = format!("/{}", "x".repeat(PATH_MAX)).into();
        let wrong: [Vec<Value>; 6] = [
            vec![],
            vec!["u".into()],
            vec![Value::Nil, "/v1/grids".into()],
            vec!["u".into(), "http://example.com/".into()],
            vec!["u".into(), long],
            vec!["u".into(), "/v1/grids".into(), 1.into(), 2.into()],
        ];
        for params in wrong {
            assert_eq!(read_as("post", params.clone()), Err(400), "{params:?}");
        }
        assert_eq!(read_as("get", vec!["u".into(), "/v1/grids".into(), 7.into()]), Err(400));
    }
}
