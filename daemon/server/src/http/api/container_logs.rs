//! What the containers of a grid wrote.

use axum::extract::State;
use futures_util::future::BoxFuture;
use kontena_core::id::Id;
use kontena_store::{GridRow, LineFilter, LineRow, ServicePlace};
use kontena_wire::api;

use super::answer::time;
use super::caller::Caller;
use super::grids::InGrid;
use super::logs::entries;
use super::refused::{Refused, Reply};
use super::submitted::{At, Query};
use crate::http::Api;

pub(super) async fn of_grid(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<InGrid>,
    query: Query,
) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let filter = filter(&api, &grid, &query).await?;
    answer(&api, filter, &query).await
}

async fn filter(api: &Api, grid: &GridRow, query: &Query) -> Result<LineFilter, Refused> {
    let mut filter = LineFilter { grid: Some(grid.id), ..LineFilter::default() };
    if let Some(names) = query.list("containers") {
        filter.names = Some(names.into_iter().map(str::to_owned).collect());
    }
    if let Some(names) = query.list("nodes") {
        filter.nodes = Some(api.resources.store.event_logs().nodes_named(grid.id, &names).await?);
    }
    if let Some(paths) = query.list("services") {
        let references = api.resources.store.service_references();
        filter.services = Some(references.services_in_any_stack(grid.id, &paths).await?);
    }
    Ok(filter)
}

/// The lines that a filter finds, once or as they come.
pub(super) async fn answer(api: &Api, filter: LineFilter, query: &Query) -> Reply {
    let logs = api.resources.store.container_logs();
    let read = move |page, limit| -> BoxFuture<'static, _> {
        let (logs, filter) = (logs.clone(), filter.clone());
        Box::pin(async move { logs.page(&filter, page, limit).await })
    };
    entries(api, query, read, |row| (row.id, line(row))).await
}

fn line(row: LineRow) -> api::LogLine {
    let LineRow { id, name, container, service: place, node, created_at, stream, data } = row;
    let (mut grid, mut stack, mut service) = (None, None, None);
    if let Some(ServicePlace { grid: in_grid, stack: in_stack, service: named }) = place {
        let path = format!("{in_grid}/{in_stack}");
        service = Some(api::Named { id: format!("{path}/{named}"), name: named });
        stack = Some(api::Named { id: path, name: in_stack });
        grid = Some(api::Named { id: in_grid.clone(), name: in_grid });
    }
    api::LogLine {
        id: id.to_string(),
        name,
        container_id: container.as_ref().map(Id::to_string),
        service,
        stack,
        grid,
        node: node.map(|name| api::NodeName { name }),
        created_at: time(created_at),
        stream,
        data,
    }
}
