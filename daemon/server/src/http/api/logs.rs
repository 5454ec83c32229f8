//! The audit log and the events.

use std::future::ready;

use axum::extract::State;
use futures_util::future::BoxFuture;
use kontena_core::id::Id;
use kontena_store::{AuditRow, EventFilter, EventRow, Failure, GridRow, Page};
use kontena_wire::api;
use serde::Serialize;

use super::answer::{encode, ok, time};
use super::caller::Caller;
use super::follow::{Entry, follow};
use super::grids::InGrid;
use super::moment::moment;
use super::refused::{Refused, Reply};
use super::submitted::{At, Query};
use crate::http::Api;

/// Audit entries, if none or an impossible number is asked for.
const AUDIT_DEFAULT: i64 = 500;
const AUDIT_MAX: i64 = 3_000;
/// Entries of other logs.
const ENTRIES_DEFAULT: i64 = 100;
const ENTRIES_MAX: i64 = 10_000;

pub(super) async fn audit(State(api): State<Api>, caller: Caller, query: Query) -> Reply {
    if !caller.actor().may_administrate() {
        // The original failed here, with 500.
        return Err(Refused::Denied);
    }
    audit_entries(&api, None, &query).await
}

pub(super) async fn audit_of_grid(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<InGrid>,
    query: Query,
) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    audit_entries(&api, Some(&grid), &query).await
}

async fn audit_entries(api: &Api, grid: Option<&GridRow>, query: &Query) -> Reply {
    let asked = query.text("limit").and_then(|limit| limit.parse().ok());
    let limit = asked.filter(|limit| (1..=AUDIT_MAX).contains(limit)).unwrap_or(AUDIT_DEFAULT);
    let rows = api.resources.store.audit_logs().newest(grid.map(|grid| grid.id), limit).await?;
    Ok(ok(api::Logs { logs: rows.into_iter().map(audit_body).collect() }))
}

fn audit_body(row: AuditRow) -> api::Audit {
    let AuditRow {
        time: at,
        grid,
        grid_id,
        service,
        resource_type,
        resource_name,
        resource_id,
        event_name,
        event_status,
        source_ip,
        user_agent,
        user_id,
        user_email,
    } = row;
    api::Audit {
        time: time(at),
        grid,
        grid_id: grid_id.map(|id| id.to_string()),
        service: service.map(|id| id.to_string()).unwrap_or_default(),
        resource_type,
        resource_name,
        resource_id,
        event_name,
        event_status,
        source_ip,
        user_agent,
        user_identity: api::AuditUser { id: user_id.map(|id| id.to_string()), email: user_email },
    }
}

pub(super) async fn events(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<InGrid>,
    query: Query,
) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let filter = filter(&api, &grid, &query).await?;
    answer(&api, filter, &query).await
}

/// The events that a filter finds, once or as they come.
pub(super) async fn answer(api: &Api, filter: EventFilter, query: &Query) -> Reply {
    let events = api.resources.store.event_logs();
    let read = move |page, limit| -> BoxFuture<'static, _> {
        let (events, filter) = (events.clone(), filter.clone());
        Box::pin(async move { events.page(&filter, page, limit).await })
    };
    entries(api, query, read, |row| (row.id, event(row))).await
}

/// The part of a log that is asked for, once or as it comes: `read` reads rows, `show` makes them what is sent.
pub(super) async fn entries<R, T, F>(api: &Api, query: &Query, read: F, show: fn(R) -> (Id, T)) -> Reply
where
    R: Send + 'static,
    T: Serialize + 'static,
    F: Fn(Page, i64) -> BoxFuture<'static, Result<Vec<R>, Failure>> + Send + Sync + 'static,
{
    let limit = limit(query);
    let page = page(query);
    if query.text("follow").is_some() {
        let stopping = api.resources.stopping.clone();
        let Some(page) = page else {
            // The command line takes an end for a fault: it waits for what never comes.
            return Ok(follow(stopping, Page::Newest, limit, |_, _| Box::pin(ready(Ok(Vec::new())))));
        };
        let entry = move |row| {
            let (id, shown) = show(row);
            Some(Entry { id, json: encode(&shown).ok()? })
        };
        return Ok(follow(stopping, page, limit, move |page, limit| {
            let rows = read(page, limit);
            Box::pin(async move { Ok(rows.await?.into_iter().filter_map(entry).collect()) })
        }));
    }
    let rows = match page {
        Some(page) => read(page, limit).await?,
        None => Vec::new(),
    };
    Ok(ok(api::Logs { logs: rows.into_iter().map(|row| show(row).1).collect() }))
}

/// How many entries are asked for.
fn limit(query: &Query) -> i64 {
    let asked = query.text("limit").and_then(|limit| limit.parse().ok()).filter(|limit| *limit > 0);
    asked.unwrap_or(ENTRIES_DEFAULT).min(ENTRIES_MAX)
}

/// Which part of a log is asked for. `None` finds nothing.
fn page(query: &Query) -> Option<Page> {
    if let Some(from) = query.text("from") {
        return from.parse::<Id>().ok().map(Page::After);
    }
    match query.text("since") {
        None => Some(Page::Newest),
        Some(since) => moment(since).map(Page::Since),
    }
}

async fn filter(api: &Api, grid: &GridRow, query: &Query) -> Result<EventFilter, Refused> {
    let references = api.resources.store.service_references();
    let mut filter = EventFilter { grid: grid.id, nodes: None, stacks: None, services: None };
    if let Some(names) = query.list("nodes") {
        filter.nodes = Some(api.resources.store.event_logs().nodes_named(grid.id, &names).await?);
    }
    if let Some(names) = query.list("stacks") {
        filter.stacks = Some(references.stacks_named(grid.id, &names).await?.into_values().collect());
    }
    if let Some(paths) = query.list("services") {
        filter.services = Some(references.services_at(grid.id, &paths).await?);
    }
    Ok(filter)
}

fn event(row: EventRow) -> api::Event {
    let EventRow { id: _, created_at, severity, kind, message, meta, relationships } = row;
    let relationship = |(id, kind): (String, &str)| api::Relationship { id, kind: kind.to_owned() };
    api::Event {
        created_at: time(created_at),
        severity,
        kind,
        message,
        meta,
        relationships: relationships.into_iter().map(relationship).collect(),
    }
}
