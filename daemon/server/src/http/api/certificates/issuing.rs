//! What needs the certificate authority. It is written down for the leader, whichever master was asked, and waited for.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use futures_util::future::join_all;
use kontena_core::acme::{Fault, Goal, Method, VERIFY_WITHIN, is_token};
use kontena_core::form::Invalid;
use kontena_core::id::Id;
use kontena_core::input::{
    CertificateRequest, DomainAuthorizationRequest, Registration, SecretCertificateRequest,
};
use kontena_store::{Asked, AuthorizationRow, CertificateRow, Failure, GridRow, OrderState, Wish};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::super::answer::{Nothing, created, empty, typed};
use super::super::caller::{Caller, Deed};
use super::super::grids::InGrid;
use super::super::refused::{Refused, Reply};
use super::super::submitted::{At, Submitted};
use super::{authorization, body, no_authorization, note};
use crate::acme::Trouble;
use crate::http::Api;

/// How often it is looked whether an order has come to its end.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// What an order takes beside the proofs of its domains.
const ORDER_WITHIN: Duration = Duration::from_secs(30);
/// How often a secret that others change at the same time is read again.
const TRIES: usize = 5;

impl From<Fault> for Refused {
    fn from(Fault { field, message }: Fault) -> Self {
        Self::field(field, message)
    }
}

impl From<Trouble> for Refused {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Final(fault) => fault.into(),
            Trouble::NoVault => Self::NoVault,
            Trouble::Vault(undecryptable) => Self::Vault(undecryptable),
            Trouble::Database(failure) => Self::Database(failure),
            Trouble::Passing(message) | Trouble::Gone(message) => Self::field("acme_client", message),
            Trouble::Write(error) => Self::field("acme_client", error.to_string()),
        }
    }
}

/// A file by which an authority sees that a domain is ours, for load balancers that send its question to the masters.
pub(in crate::http) async fn answer_challenge(State(api): State<Api>, Path(token): Path<String>) -> Response {
    if !is_token(&token) {
        return empty(StatusCode::NOT_FOUND);
    }
    match api.resources.store.certificates().answer(&token).await {
        Ok(Some(content)) => {
            typed(StatusCode::OK, HeaderValue::from_static("application/octet-stream"), content)
        }
        Ok(None) => empty(StatusCode::NOT_FOUND),
        Err(failure) => {
            tracing::warn!(%failure, "a challenge was not answered");
            empty(StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}

pub(in super::super) async fn register(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<InGrid>,
    submitted: Submitted,
) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let Registration { email } = Registration::read(&submitted.fields)?;
    match api.acme.register(grid.id, &email).await {
        Ok(()) => Ok(created(Nothing {})),
        Err(Trouble::Final(Fault { message, .. }) | Trouble::Passing(message) | Trouble::Gone(message)) => {
            Err(Refused::field("acme", message))
        }
        Err(trouble) => Err(trouble.into()),
    }
}

pub(in super::super) async fn authorize(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<InGrid>,
    submitted: Submitted,
) -> Reply {
    let (grid, row) = authorized(&api, &caller, &at, &submitted, &submitted.fields).await?;
    Ok(created(authorization(&grid, &row)))
}

/// As old command lines ask: by a record only.
pub(in super::super) async fn authorize_legacy(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<InGrid>,
    submitted: Submitted,
) -> Reply {
    let mut fields = submitted.fields.clone();
    fields.retain(|field, _| field == "domain");
    let (_, row) = authorized(&api, &caller, &at, &submitted, &fields).await?;
    Ok(created(row.challenge_opts))
}

/// Carries out a request by these of its fields, and notes it.
async fn authorized(
    api: &Api,
    caller: &Caller,
    at: &InGrid,
    submitted: &Submitted,
    fields: &Map<String, Value>,
) -> Result<(GridRow, AuthorizationRow), Refused> {
    let grid = api.resources.grid(caller, &at.grid).await?;
    let registered = api.acme.is_registered(grid.id).await?;
    let request = DomainAuthorizationRequest::read(fields, registered)?;
    let row = offered(api, &grid, &request).await?;
    let deed = Deed::new("create", "GridDomainAuthorization", row.id, &grid).named(&row.domain);
    caller.did(api, deed.said(&submitted.raw)).await;
    Ok((grid, row))
}

/// Has the authority offer a challenge for a domain.
async fn offered(
    api: &Api,
    grid: &GridRow,
    request: &DomainAuthorizationRequest,
) -> Result<AuthorizationRow, Refused> {
    let DomainAuthorizationRequest { domain, authorization_type, linked_service } = request;
    let Some(method) = Method::named(authorization_type) else {
        let message = format!("No authority offers {authorization_type} any more: use http-01 or dns-01");
        return Err(Refused::field("authorization_type", message));
    };
    if domain.starts_with("*.") && method == Method::Http {
        let message = "A wildcard is proven by dns-01 only";
        return Err(Refused::field("authorization_type", message));
    }
    let service = match linked_service {
        None => None,
        Some(path) => Some(answering(api, grid, path).await?),
    };
    let domains = std::slice::from_ref(domain);
    let wish = Wish {
        grid: grid.id,
        domains,
        goal: Goal::Offer,
        directory: api.acme.directory(),
        method: Some(method),
        service,
        after: &[],
    };
    let order = asked(api, &wish).await?;
    ended(api, order, 1).await?;
    let rows = api.resources.store.certificates().authorizations(grid.id, Some(domain)).await?;
    rows.into_iter().next().ok_or_else(no_authorization)
}

/// The service that is to answer, which must be reached from outside by HTTP.
async fn answering(api: &Api, grid: &GridRow, path: &str) -> Result<Id, Refused> {
    let missing = || Refused::field("linked_service", "Linked service needs to point to existing service");
    let store = &api.resources.store;
    let found = store.service_references().services_at(grid.id, &[path]).await?;
    let id = *found.first().ok_or_else(missing)?;
    let row = store.services().by_ids(&[id]).await?.remove(&id).ok_or_else(missing)??;
    let on_port = row.definition.ports.iter().any(|port| port.node_port == 80);
    if !on_port && row.definition.net != "host" {
        let message = "Linked service needs to publish port 80 of its nodes, or to use their network";
        return Err(Refused::field("linked_service", message));
    }
    Ok(id)
}

pub(in super::super) async fn request(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<InGrid>,
    submitted: Submitted,
) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let CertificateRequest { domains } = CertificateRequest::read(&submitted.fields)?;
    let row = issued(&api, &grid, &domains).await?;
    note(&api, &caller, "create", &row, &grid, Some(&submitted.raw)).await;
    let proven = api.resources.store.certificates().authorizations(grid.id, None).await?;
    Ok(created(body(&grid, &row, &proven)))
}

/// As old command lines ask: what is issued is also kept as three secrets.
pub(in super::super) async fn request_legacy(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<InGrid>,
    submitted: Submitted,
) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let SecretCertificateRequest { secret_name, domains, cert_type } =
        SecretCertificateRequest::read(&submitted.fields)?;
    let row = issued(&api, &grid, &domains).await?;
    note(&api, &caller, "create", &row, &grid, Some(&submitted.raw)).await;
    let private_key = api.resources.vault()?.decrypt(&row.private_key)?;
    let certificate = match cert_type.as_str() {
        "cert" => row.certificate,
        "chain" => row.chain,
        _ => row.certificate + &row.chain,
    };
    let bundle = format!("{certificate}{private_key}");
    let secrets = [("PRIVATE_KEY", private_key), ("CERTIFICATE", certificate), ("BUNDLE", bundle)];
    let mut names = Vec::new();
    for (part, value) in secrets {
        let name = format!("{secret_name}_{part}");
        keep_secret(&api, &grid, &name, &value).await?;
        names.push(name);
    }
    Ok(created(names))
}

async fn keep_secret(api: &Api, grid: &GridRow, name: &str, value: &str) -> Result<(), Refused> {
    let (secrets, vault) = (api.resources.store.grid_secrets(), api.resources.vault()?);
    for _ in 0..TRIES {
        let encrypted = vault.encrypt(value, rand::random());
        let kept = match secrets.by_name(grid.id, name).await? {
            Some(row) => secrets.update(grid.id, &row, &encrypted).await?.is_some(),
            None => match secrets.create(grid.id, name, &encrypted).await {
                Err(Failure::Duplicate) => false,
                made => made.map(|_| true)?,
            },
        };
        if kept {
            return Ok(());
        }
    }
    Err(Refused::Busy)
}

/// Has a certificate issued for domains that were authorized.
async fn issued(api: &Api, grid: &GridRow, domains: &[String]) -> Result<CertificateRow, Refused> {
    let certificates = api.resources.store.certificates();
    let rows = certificates.authorizations(grid.id, None).await?;
    let mut faults = Invalid::default();
    let mut found = Vec::new();
    for domain in domains {
        match rows.iter().find(|row| row.domain == *domain) {
            None => add(&mut faults, Fault::unauthorized(domain)),
            Some(row) if Method::named(&row.authorization_type).is_none() => {
                add(&mut faults, Fault::outdated(domain, &row.authorization_type));
            }
            Some(row) => found.push(row),
        }
    }
    // Whoever was refused by the authority has to wait: it is not asked for what cannot be there.
    let looked_for = found.iter().filter(|row| row.authorization_type == Method::Dns.name());
    let missing = looked_for.filter(|row| row.expired || row.state != "validated").map(|row| async move {
        let there = match row.record() {
            Some(record) => api.acme.has_record(&row.domain, record).await,
            None => false,
        };
        (!there).then_some(&row.domain)
    });
    for domain in join_all(missing).await.into_iter().flatten() {
        let message = format!("Expected DNS record not present for domain {domain}");
        add(&mut faults, Fault::new("dns_record", message));
    }
    faults.check()?;
    let orders = api.resources.store.acme_orders();
    let after = if domains.len() > 1 {
        orders.prove(grid.id, domains, api.acme.directory()).await?
    } else {
        Vec::new()
    };
    let wish = Wish {
        grid: grid.id,
        domains,
        goal: Goal::Issue,
        directory: api.acme.directory(),
        method: None,
        service: None,
        after: &after,
    };
    let order = asked(api, &wish).await?;
    let subject = domains.first().map_or("", String::as_str);
    match ended(api, order, domains.len()).await? {
        OrderState::Done => {}
        _ => return Err(Refused::field("acme_client", "The order was taken for something else")),
    }
    certificates.by_subject(grid.id, subject).await?.ok_or_else(Refused::not_found)
}

fn add(faults: &mut Invalid, Fault { field, message }: Fault) {
    faults.add(field, message);
}

async fn asked(api: &Api, wish: &Wish<'_>) -> Result<Id, Refused> {
    let asked = api.resources.store.acme_orders().ask(wish).await?;
    api.acme.wake();
    match asked {
        Asked::Order(order) => Ok(order),
        Asked::Busy => {
            let message = "An order for the same domains is under way: wait until it has ended";
            Err(Refused::field("acme_client", message))
        }
    }
}

/// Waits for the end of an order, which goes on though nobody waits for it any more.
async fn ended(api: &Api, order: Id, domains: usize) -> Result<OrderState, Refused> {
    let within = VERIFY_WITHIN.saturating_mul(u32::try_from(domains).unwrap_or(u32::MAX)) + ORDER_WITHIN;
    let deadline = Instant::now() + within;
    let orders = api.resources.store.acme_orders();
    loop {
        let row = orders.by_id(order).await?.ok_or_else(Refused::not_found)?;
        if !row.state.is_under_way() {
            return match row.fault {
                Some((field, message)) => Err(Refused::field(&field, message)),
                None => Ok(row.state),
            };
        }
        if Instant::now() > deadline {
            return Err(Refused::field("challenge_verify", "Challenge verification timeout"));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = api.resources.stopping.cancelled() => return Err(Refused::Busy),
        }
    }
}
