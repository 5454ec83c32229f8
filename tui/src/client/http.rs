//! Requests to one master, and their failures in words that say what to do.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use kontena_wire::agents::AgentList;
use kontena_wire::cluster::{Cluster, Refusal, StepDown};
use kontena_wire::grid_events::GridEventList;
use reqwest::header::{CONTENT_TYPE, ETAG, HeaderMap, IF_NONE_MATCH};
use reqwest::{Certificate, ClientBuilder, Method, RequestBuilder, Response, StatusCode, Url};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::target::{Target, Way};
use crate::setup::read;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How long an answer may take.
pub(super) const ANSWER: Duration = Duration::from_secs(4);
/// How long the list of agents or an order may take.
const PATIENT: Duration = Duration::from_secs(15);
/// How long the feed may be silent: the master gives a sign of life each five seconds.
const SILENCE: Duration = Duration::from_secs(12);
/// The largest file of certificates that is taken.
const CERTIFICATES_MAX: u64 = 1 << 20;
/// The largest body that is taken.
const BODY_MAX: usize = 64 << 20;

/// One master.
#[derive(Clone, Debug)]
pub(crate) struct Master {
    http: reqwest::Client,
    target: Target,
}

/// Why there is no answer that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) words: String,
    /// Asking again soon would not help.
    pub(crate) lasting: bool,
    /// Where to ask instead.
    pub(crate) ask: Option<String>,
    pub(crate) status: Option<StatusCode>,
}

impl Failure {
    fn new(words: impl Into<String>) -> Self {
        Self { words: words.into(), lasting: false, ask: None, status: None }
    }
}

/// What is at a path.
pub(super) enum Answered<T> {
    /// This.
    New(T),
    /// The same as before.
    Known,
    /// Nothing: it is gone, or the master is of an earlier version.
    Missing,
}

/// The faults of a request as the original's API tells them, by field.
fn faults(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let faults = body.get("error")?.as_object()?.iter();
    let words = faults.map(|(field, fault)| match fault.as_str() {
        Some(fault) => format!("{field}: {fault}"),
        None => format!("{field}: {fault}"),
    });
    Some(words.collect::<Vec<_>>().join("; "))
}

/// Trusts the certificate of this host that the original's command line keeps for masters with one of their own, if
/// it is there (`~/.kontena/certs/HOST.pem`).
fn trusted(builder: ClientBuilder, url: &Url) -> Result<ClientBuilder, Failure> {
    let (Some(home), Some(host)) = (std::env::var_os("HOME"), url.host_str()) else { return Ok(builder) };
    let path = PathBuf::from(home).join(".kontena/certs").join(format!("{host}.pem"));
    let pem = match read(&path, CERTIFICATES_MAX) {
        Ok(pem) => pem,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(builder),
        Err(error) => return Err(Failure::new(format!("{} cannot be read: {error}", path.display()))),
    };
    match Certificate::from_pem_bundle(pem.as_bytes()) {
        Ok(certificates) if !certificates.is_empty() => {
            Ok(certificates.into_iter().fold(builder, ClientBuilder::add_root_certificate))
        }
        _ => Err(Failure::new(format!("{} holds no certificate", path.display()))),
    }
}

impl Master {
    pub(crate) fn new(target: Target) -> Result<Self, Failure> {
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .pool_max_idle_per_host(2)
            // A redirect could lead the token anywhere.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        let builder = match &target.way {
            Way::Socket(path) => builder.unix_socket(path.as_path()),
            Way::Url(url) => trusted(builder, url)?,
        };
        let http =
            builder.build().map_err(|error| Failure::new(format!("no client can be made: {error}")))?;
        Ok(Self { http, target })
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// How the masters stand.
    pub(crate) async fn cluster(&self) -> Result<Cluster, Failure> {
        self.read("/v1/cluster", ANSWER).await
    }

    /// What is at this path, unless it is as it was under `tag`.
    pub(super) async fn unless_known<T: DeserializeOwned>(
        &self,
        path: &str,
        tag: &mut Option<String>,
    ) -> Result<Answered<T>, Failure> {
        let mut request = self.request(Method::GET, path);
        if let Some(tag) = tag.as_deref() {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let (status, headers, body) = self.send_for(request, PATIENT).await?;
        match status {
            StatusCode::NOT_MODIFIED => return Ok(Answered::Known),
            StatusCode::NOT_FOUND => return Ok(Answered::Missing),
            _ if !status.is_success() => return Err(self.refused(status, &body)),
            _ => {}
        }
        let found = self.understood(&body)?;
        *tag = headers.get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        Ok(Answered::New(found))
    }

    /// The latest of what the users of the grids were told. None: this master does not tell.
    pub(super) async fn grid_events(&self, since: Option<&str>) -> Result<Option<GridEventList>, Failure> {
        let since = since.map(|since| format!("?since={since}")).unwrap_or_default();
        match self.read(&format!("/v1/cluster/grid-events{since}"), PATIENT).await {
            Ok(list) => Ok(Some(list)),
            Err(failure) if failure.status == Some(StatusCode::NOT_FOUND) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// An answer that is read as it comes.
    pub(super) async fn open(&self, path: &str) -> Result<Response, Failure> {
        let sent = self.request(Method::GET, path).send();
        let limited = tokio::time::timeout(ANSWER, sent).await;
        let answer = limited.map_err(|_| self.late(ANSWER))?.map_err(|error| self.failure(&error))?;
        match answer.status() {
            StatusCode::OK => Ok(answer),
            status => Err(self.refused(status, &answer.bytes().await.unwrap_or_default())),
        }
    }

    /// Does something to a service or a stack.
    pub(super) async fn operate(&self, route: &str, body: String) -> Result<String, Failure> {
        let request = self.request(Method::POST, route).header(CONTENT_TYPE, "application/json").body(body);
        let (status, body) = self.send(request, PATIENT).await?;
        if status.is_success() { Ok(String::new()) } else { Err(self.refused(status, &body)) }
    }

    /// The agents. None: this master does not list them.
    pub(crate) async fn agents(&self) -> Result<Option<AgentList>, Failure> {
        match self.read("/v1/cluster/agents", PATIENT).await {
            Ok(list) => Ok(Some(list)),
            Err(failure) if failure.status == Some(StatusCode::NOT_FOUND) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// The feed behind this event. None: this master has none.
    pub(super) async fn events(&self, last: Option<&str>) -> Result<Option<Response>, Failure> {
        let mut request = self.request(Method::GET, "/v1/cluster/events");
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let limited = tokio::time::timeout(ANSWER, request.send()).await;
        let answer = limited.map_err(|_| self.late(ANSWER))?.map_err(|error| self.failure(&error))?;
        match answer.status() {
            StatusCode::OK => Ok(Some(answer)),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(self.refused(status, &answer.bytes().await.unwrap_or_default())),
        }
    }

    /// Asks it to let another master lead.
    pub(super) async fn step_down(&self) -> Result<String, Failure> {
        self.order("/v1/cluster/step-down", &StepDown { force: false }).await
    }

    /// Asks that a master stops serving.
    pub(super) async fn drain(&self, id: &str) -> Result<String, Failure> {
        self.order(&format!("/v1/cluster/masters/{id}/drain"), &Value::Object(serde_json::Map::new())).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let base = match &self.target.way {
            Way::Socket(_) => "http://localhost".to_owned(),
            Way::Url(url) => url.as_str().trim_end_matches('/').to_owned(),
        };
        let request = self.http.request(method, format!("{base}{path}"));
        match &self.target.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }

    async fn read<T: DeserializeOwned>(&self, path: &str, limit: Duration) -> Result<T, Failure> {
        let (status, body) = self.send(self.request(Method::GET, path), limit).await?;
        if !status.is_success() {
            return Err(self.refused(status, &body));
        }
        self.understood(&body)
    }

    fn understood<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, Failure> {
        serde_json::from_slice(body).map_err(|_| {
            let words = format!("{} is not a Kontena Master that this version understands", self.target);
            Failure { lasting: true, ..Failure::new(words) }
        })
    }

    async fn order(&self, path: &str, body: &impl Serialize) -> Result<String, Failure> {
        let (status, body) = self.send(self.request(Method::POST, path).json(body), PATIENT).await?;
        if !status.is_success() {
            return Err(self.refused(status, &body));
        }
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        Ok(body.get("message").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    async fn send(&self, request: RequestBuilder, limit: Duration) -> Result<(StatusCode, Vec<u8>), Failure> {
        self.send_for(request, limit).await.map(|(status, _, body)| (status, body))
    }

    async fn send_for(
        &self,
        request: RequestBuilder,
        limit: Duration,
    ) -> Result<(StatusCode, HeaderMap, Vec<u8>), Failure> {
        let answered = async {
            let mut answer = request.send().await.map_err(|error| self.failure(&error))?;
            let headers = std::mem::take(answer.headers_mut());
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await.map_err(|error| self.failure(&error))? {
                if body.len() + chunk.len() > BODY_MAX {
                    return Err(Failure::new(format!("{} answers with more than can be taken", self.target)));
                }
                body.extend_from_slice(&chunk);
            }
            Ok((answer.status(), headers, body))
        };
        tokio::time::timeout(limit, answered).await.map_err(|_| self.late(limit))?
    }

    fn late(&self, limit: Duration) -> Failure {
        Failure::new(format!("{} does not answer within {} s", self.target, limit.as_secs()))
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> Failure {
        let refusal = serde_json::from_slice::<Refusal>(body).ok();
        let ask = refusal.as_ref().and_then(|refusal| refusal.ask.clone());
        let said = refusal.map(|refusal| refusal.error).or_else(|| faults(body));
        let words = match (status, &self.target.token) {
            (StatusCode::UNAUTHORIZED, None) => {
                format!("{} wants a token: give it by --token-file or KONTENA_TOKEN", self.target)
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some(_)) => match said {
                Some(said) => format!("{} refuses the token: {said}", self.target),
                None => format!("{} refuses the token", self.target),
            },
            _ => said.unwrap_or_else(|| format!("{} answers {status}", self.target)),
        };
        // What should be a master's and is not readable is somebody else's.
        let lasting =
            matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND);
        Failure { words, lasting, ask, status: Some(status) }
    }

    /// The cause at the bottom is what tells what to do.
    fn failure(&self, error: &reqwest::Error) -> Failure {
        let mut cause: &dyn std::error::Error = error;
        let mut io = None;
        while let Some(source) = cause.source() {
            cause = source;
            io = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind).or(io);
        }
        let target = &self.target;
        let words = match io {
            _ if error.is_timeout() => format!("{target} does not answer"),
            Some(ErrorKind::ConnectionRefused) => format!("nothing listens at {target}"),
            Some(ErrorKind::NotFound) => format!("{target} is not there: no master runs on this host"),
            Some(ErrorKind::PermissionDenied) => format!("{target} may not be used: try sudo"),
            _ if error.is_connect() => format!("{target} cannot be reached: {cause}"),
            _ => format!("the connection to {target} broke off"),
        };
        Failure::new(words)
    }
}
