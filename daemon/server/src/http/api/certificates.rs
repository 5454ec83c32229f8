//! Certificates, and the proofs of domains.

mod issuing;

use axum::extract::State;
use kontena_core::acme::Method;
use kontena_core::input::CertificateImport;
use kontena_store::{AuthorizationRow, CertificateParts, CertificateRow, GridRow, Used};
use kontena_wire::api;
use serde::Deserialize;

use super::answer::{Nothing, created, offset_time, ok, time};
use super::caller::{Caller, Deed};
use super::grids::InGrid;
use super::refused::{Refused, Reply};
use super::submitted::{At, Submitted};
use crate::http::Api;

pub(in crate::http) use issuing::answer_challenge;
pub(super) use issuing::{authorize, authorize_legacy, register, request, request_legacy};

#[derive(Deserialize)]
pub(super) struct CertificateOfGrid {
    grid: String,
    subject: String,
}

#[derive(Deserialize)]
pub(super) struct DomainOfGrid {
    grid: String,
    domain: String,
}

pub(super) async fn list(State(api): State<Api>, caller: Caller, At(at): At<InGrid>) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let certificates = api.resources.store.certificates();
    let (rows, proven) =
        tokio::try_join!(certificates.of_grid(grid.id), certificates.authorizations(grid.id, None))?;
    let bodies = rows.iter().map(|row| body(&grid, row, &proven)).collect();
    Ok(ok(api::Certificates { certificates: bodies }))
}

pub(super) async fn show(State(api): State<Api>, caller: Caller, At(at): At<CertificateOfGrid>) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let row = find(&api, &grid, &at.subject).await?;
    let proven = api.resources.store.certificates().authorizations(grid.id, None).await?;
    Ok(ok(body(&grid, &row, &proven)))
}

pub(super) async fn import(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<CertificateOfGrid>,
    submitted: Submitted,
) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let CertificateImport { subject, alt_names, valid_until, certificate, chain, private_key } =
        CertificateImport::read(&submitted.fields, &at.subject)?;
    let private_key = api.resources.vault()?.encrypt(&private_key, rand::random());
    let parts = CertificateParts {
        subject: &subject,
        alt_names: &alt_names,
        valid_until,
        certificate: &certificate,
        chain: &chain,
        private_key: &private_key,
    };
    let row = api.resources.store.certificates().put(grid.id, &parts).await?;
    api.resources.store.service_references().revise(grid.id, Used::Certificate, &row.subject).await?;
    note(&api, &caller, "import", &row, &grid, None).await;
    let proven = api.resources.store.certificates().authorizations(grid.id, None).await?;
    Ok(created(body(&grid, &row, &proven)))
}

pub(super) async fn export(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<CertificateOfGrid>,
    submitted: Submitted,
) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let row = find(&api, &grid, &at.subject).await?;
    let private_key = api.resources.vault()?.decrypt(&row.private_key)?;
    note(&api, &caller, "export", &row, &grid, Some(&submitted.raw)).await;
    Ok(ok(api::CertificateExport {
        id: format!("{}/{}", grid.name, row.subject),
        subject: row.subject,
        certificate: row.certificate,
        chain: row.chain,
        private_key,
    }))
}

pub(super) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<CertificateOfGrid>,
    submitted: Submitted,
) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let row = find(&api, &grid, &at.subject).await?;
    let references = api.resources.store.service_references();
    let users = references.of(grid.id, Used::Certificate, Some(&row.subject)).await?;
    if !users.is_empty() {
        let paths: Vec<String> = users.iter().map(|user| format!("{}/{}", grid.name, user.path)).collect();
        let message = format!("Certificate still in use in services: {}", paths.join(", "));
        return Err(Refused::field("certificate", message));
    }
    if !api.resources.store.certificates().remove(row.id).await? {
        return Err(Refused::not_found());
    }
    note(&api, &caller, "delete", &row, &grid, Some(&submitted.raw)).await;
    Ok(ok(Nothing {}))
}

pub(super) async fn authorizations(State(api): State<Api>, caller: Caller, At(at): At<InGrid>) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let rows = api.resources.store.certificates().authorizations(grid.id, None).await?;
    let bodies = rows.iter().map(|row| authorization(&grid, row)).collect();
    Ok(ok(api::DomainAuthorizations { domain_authorizations: bodies }))
}

pub(super) async fn show_authorization(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<DomainOfGrid>,
) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let rows = api.resources.store.certificates().authorizations(grid.id, Some(&at.domain)).await?;
    Ok(ok(authorization(&grid, rows.first().ok_or_else(no_authorization)?)))
}

pub(super) async fn remove_authorization(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<DomainOfGrid>,
) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    if !api.resources.store.certificates().remove_authorization(grid.id, &at.domain).await? {
        return Err(no_authorization());
    }
    Ok(ok(Nothing {}))
}

/// The parenthesis is the original's.
fn no_authorization() -> Refused {
    Refused::Missing("Domain authorization not found)".to_owned())
}

async fn find(api: &Api, grid: &GridRow, subject: &str) -> Result<CertificateRow, Refused> {
    api.resources.store.certificates().by_subject(grid.id, subject).await?.ok_or_else(Refused::not_found)
}

/// A certificate is renewed by the master when each of its domains is proven by a service that answers for it.
fn body(grid: &GridRow, row: &CertificateRow, proven: &[AuthorizationRow]) -> api::Certificate {
    let answered = |domain: &String| {
        let of_domain = proven.iter().find(|row| row.domain == *domain);
        of_domain
            .is_some_and(|row| row.authorization_type == Method::Http.name() && row.linked_service.is_some())
    };
    let auto_renewable = answered(&row.subject) && row.alt_names.iter().flatten().all(answered);
    api::Certificate {
        id: format!("{}/{}", grid.name, row.subject),
        subject: row.subject.clone(),
        valid_until: offset_time(row.valid_until),
        alt_names: row.alt_names.clone(),
        auto_renewable,
    }
}

fn authorization(grid: &GridRow, row: &AuthorizationRow) -> api::DomainAuthorization {
    let open = matches!(row.state.as_str(), "created" | "requested");
    let status = match &row.deploy {
        Some((_, false)) if row.linked_service.is_some() && open && !row.expired => "deploying",
        Some((state, true)) if state == "error" => "deploy_error",
        _ if row.expired => "expired",
        _ => &row.state,
    };
    let AuthorizationRow {
        domain,
        challenge,
        challenge_opts,
        authorization_type,
        expires_at,
        linked_service,
        ..
    } = row;
    api::DomainAuthorization {
        id: format!("{}/{domain}", grid.name),
        domain: domain.clone(),
        status: status.to_owned(),
        challenge: challenge.clone(),
        challenge_opts: challenge_opts.clone(),
        authorization_type: authorization_type.clone(),
        expires_at: expires_at.map(time),
        linked_service: linked_service
            .as_ref()
            .map(|path| api::ServiceId { id: format!("{}/{path}", grid.name) }),
    }
}

async fn note(
    api: &Api,
    caller: &Caller,
    event: &'static str,
    row: &CertificateRow,
    grid: &GridRow,
    raw: Option<&str>,
) {
    let deed = Deed { body: raw, ..Deed::new(event, "Certificate", row.id, grid) };
    caller.did(api, deed).await;
}
