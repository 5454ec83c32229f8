//! Requests to the authority by the client that everything else here uses: bounded in time and size, over no proxy,
//! along no redirect.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http;
use bytes::Bytes;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client};

use crate::outward;

/// For one request. The original waits 5 s to connect and 5 s to read.
const WITHIN: Duration = Duration::from_secs(10);
/// No chain of certificates is larger.
const ANSWER_MAX: usize = 256 << 10;

type Sent = Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>>;

/// Sends requests. The client, with the certificates of the system, is made for the first of them: only the leader
/// sends any, where somebody wants certificates.
#[derive(Clone, Debug)]
pub(super) struct Transport {
    roots: Arc<[Certificate]>,
    client: Arc<OnceLock<Client>>,
}

impl Transport {
    pub(super) fn new(roots: Option<&[u8]>) -> reqwest::Result<Self> {
        let roots = roots.map(Certificate::from_pem_bundle).transpose()?.unwrap_or_default();
        Ok(Self { roots: roots.into(), client: Arc::default() })
    }

    fn client(&self) -> reqwest::Result<Client> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let builder = Client::builder().timeout(WITHIN).no_proxy().redirect(Policy::none()).https_only(true);
        let client = builder.tls_certs_merge(self.roots.iter().cloned()).build()?;
        Ok(self.client.get_or_init(|| client).clone())
    }
}

impl HttpClient for Transport {
    fn request(&self, request: http::Request<BodyWrapper<Bytes>>) -> Sent {
        let client = self.client();
        Box::pin(async move {
            let client = client.map_err(|error| other(&error))?;
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(axum::body::Body::new(body), ANSWER_MAX).await;
            let body = body.map_err(|error| Error::Other(error.into()))?;
            let sent = client.request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body);
            let mut answer = sent.send().await.map_err(|error| other(&error))?;
            let mut head = http::Response::new(());
            *head.status_mut() = answer.status();
            *head.headers_mut() = answer.headers().clone();
            let body = outward::body(&mut answer, ANSWER_MAX).await.map_err(|error| other(&error))?;
            let body = body.ok_or_else(|| Error::Other("the answer is too large".into()))?;
            Ok(BytesResponse { parts: head.into_parts().0, body: Box::new(Bytes::from(body)) })
        })
    }
}

/// The cause is what says something to people.
fn other(error: &reqwest::Error) -> Error {
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    Error::Other(words.into())
}
