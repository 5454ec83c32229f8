//! Before every route of the original's API: who asks, and whether that is enough to go on; after it: the headers
//! and the form that every answer has.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kontena_core::access::LOCAL_ADMIN;
use kontena_core::clock::Clock;

use super::answer::{HTML, JSON, typed};
use super::caller::{Caller, Client};
use super::compress;
use super::refused::{OAuth, Refused, bad_token, render};
use crate::clock::SystemClock;
use crate::http::{Admission, Api};

/// How long a request may take until its answer begins.
const ANSWER_WITHIN: Duration = Duration::from_secs(25);
/// The same, where an engine may have to work for it.
const ENGINE_ANSWER_WITHIN: Duration = Duration::from_secs(310);
/// The same, where a certificate authority has to: longer than the handlers themselves wait for as many domains as fit.
const AUTHORITY_ANSWER_WITHIN: Duration = Duration::from_secs(3060);
/// Where engines work.
const ENGINES: &str = "/v1/containers/";
/// What is asked of the authority.
const AUTHORITY: [&str; 2] = ["/certificates", "/domain_authorizations"];
/// Requests to the token routes that a client may make in a minute, on all masters together.
const TOKEN_RATE: f64 = 60.0;
const VERSION: HeaderName = HeaderName::from_static("x-kontena-version");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Where no token is looked at.
const EXCLUDED: [&str; 6] = ["/", "/v1/ping", "/v1/auth", "/cb", "/code", "/oauth2/token"];

pub(super) async fn authenticate(
    State((api, admission)): State<(Api, Admission)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let headers = &parts.headers;
    let accepted: HeaderMap = [ACCEPT, CONTENT_TYPE]
        .into_iter()
        .filter_map(|name| Some((name.clone(), headers.get(name)?.clone())))
        .collect();
    let gzip = compress::accepts(headers);
    let mut response = match identify(&api, admission, &parts).await {
        Ok(client) => {
            parts.extensions.insert(client);
            if parts.method == Method::HEAD {
                no_route(parts.uri.path())
            } else {
                carry_out(&api, Request::from_parts(parts, body), next).await
            }
        }
        Err(response) => *response,
    };
    if let Some(oauth) = response.extensions_mut().remove::<OAuth>() {
        response = render(&oauth, &accepted);
    }
    if response.status() != StatusCode::SWITCHING_PROTOCOLS
        && let Ok(version) = HeaderValue::from_str(&api.settings.compat_version)
    {
        response.headers_mut().insert(VERSION, version);
    }
    if gzip { compress::compressed(response).await } else { response }
}

/// What changes something is carried out to its end, audit entry and messages to agents included, though its client
/// may have left meanwhile.
pub(super) async fn carry_out(api: &Api, request: Request, next: Next) -> Response {
    let reads = request.method() == Method::GET;
    let path = request.uri().path();
    let within = if path.starts_with(ENGINES) {
        ENGINE_ANSWER_WITHIN
    } else if !reads && AUTHORITY.iter().any(|part| path.contains(part)) {
        AUTHORITY_ANSWER_WITHIN
    } else {
        ANSWER_WITHIN
    };
    let answering = next.run(request);
    let answered = if reads {
        tokio::time::timeout(within, answering).await.ok()
    } else {
        let task = api.resources.tasks.spawn(answering);
        tokio::time::timeout(within, task).await.ok().and_then(Result::ok)
    };
    answered.unwrap_or_else(|| Refused::Busy.into_response())
}

/// 404 without a body, of the type that the original gives it.
pub(super) fn no_route(path: &str) -> Response {
    const AREAS: [&str; 17] = [
        "audit_logs",
        "auth",
        "certificates",
        "config",
        "containers",
        "domain_authorizations",
        "etcd",
        "external_registries",
        "grids",
        "nodes",
        "ping",
        "secrets",
        "services",
        "stacks",
        "user",
        "users",
        "volumes",
    ];
    let area = path.strip_prefix("/v1/").and_then(|rest| rest.split('/').next());
    let known = area.is_some_and(|area| AREAS.contains(&area)) || path.starts_with("/oauth2/");
    typed(StatusCode::NOT_FOUND, if known { JSON } else { HTML }, "")
}

async fn identify(api: &Api, admission: Admission, request: &Parts) -> Result<Client, Box<Response>> {
    let headers = &request.headers;
    let path = request.uri.path();
    let address = client_address(api, request);
    let user_agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).map(str::to_owned);
    let limited = path.starts_with("/oauth2/token") || path.starts_with("/authenticate");
    if limited && !address.is_loopback() && !api.resources.admit(address, TOKEN_RATE / live_masters(api)) {
        return Err(Box::new(Refused::TooMany.into_response()));
    }
    if EXCLUDED.contains(&path) {
        return Ok(Client { caller: None });
    }
    let caller = match bearer(headers) {
        // Whoever can connect to the socket is administrator.
        None if admission == Admission::AdminSocket => {
            let admin = api.resources.store.users().by_email(LOCAL_ADMIN).await;
            let admin = admin.map_err(|failure| Box::new(Refused::Database(failure).into_response()))?;
            admin.map(|admin| Caller::new(admin, None, address, user_agent))
        }
        None => None,
        Some(token) => {
            let session = api.resources.sessions.verify(token).await;
            let session = session.map_err(|refused| Box::new(refused.into_response()))?;
            let expired = |seconds: Option<i64>| seconds.is_some_and(|seconds| seconds <= 0);
            if session.as_ref().is_some_and(|session| expired(session.token.expires_in))
                && path != "/authenticate"
            {
                return Err(Box::new(bad_token("Token expired")));
            }
            session.map(|session| Caller::new(session.user, Some(session.token), address, user_agent))
        }
    };
    let optional = matches!(path, "/oauth2/authorize" | "/authenticate") || path.starts_with("/v1/nodes/");
    if caller.is_none() && !optional {
        return Err(Box::new(bad_token("Invalid token")));
    }
    Ok(Client { caller })
}

pub(in crate::http) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut words = headers.get(AUTHORIZATION)?.to_str().ok()?.split_whitespace();
    (words.next()? == "Bearer").then(|| words.next()).flatten()
}

/// Who sent the request, as far as proxies are trusted to say so.
pub(in crate::http) fn client_address(api: &Api, request: &Parts) -> IpAddr {
    let peer = request.extensions.get::<ConnectInfo<SocketAddr>>();
    let mut address =
        peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |ConnectInfo(peer)| peer.ip().to_canonical());
    let trusted =
        |address: &IpAddr| api.settings.trusted_proxies.iter().any(|network| network.contains(address));
    let forwarded = request.headers.get_all(FORWARDED_FOR);
    let hops: Vec<&str> =
        forwarded.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).collect();
    // From the nearest hop outwards, as long as each is trusted to tell who came before it.
    for hop in hops.iter().rev() {
        if !trusted(&address) {
            break;
        }
        let Ok(before) = hop.trim().parse::<IpAddr>() else { break };
        address = before.to_canonical();
    }
    address
}

/// Over how many masters a client's requests are spread.
fn live_masters(api: &Api) -> f64 {
    let picture = api.picture.borrow();
    let now = SystemClock.now().monotonic;
    let live = picture.rows.iter().filter(|row| !row.ended && !picture.roll.is_lost(now, row.id)).count();
    u32::try_from(live.max(1)).map_or(1.0, f64::from)
}
