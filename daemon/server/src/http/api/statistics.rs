//! What nodes and containers use of their hosts.

use std::cmp::Ordering;

use axum::extract::State;
use kontena_store::{Link, Measure, Minute, Usage, Wanted};
use kontena_wire::api;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answer::{offset_time, ok, time};
use super::caller::Caller;
use super::grids::InGrid;
use super::moment::moment;
use super::nodes::{self, NodeOfGrid};
use super::refused::{Refused, Reply};
use super::services::{self, ServiceAt};
use super::submitted::{At, Query};
use crate::clock::wall_ms;
use crate::http::Api;

const HOUR_MS: i64 = 3_600_000;

/// What measurements are asked of, as its path names it.
pub(super) trait Measured: DeserializeOwned + Send + Sync + 'static {
    /// Finds it, if the caller may see it.
    fn find(&self, api: &Api, caller: &Caller) -> impl Future<Output = Result<Wanted, Refused>> + Send;
}

impl Measured for InGrid {
    async fn find(&self, api: &Api, caller: &Caller) -> Result<Wanted, Refused> {
        Ok(Wanted::Grid(api.resources.grid(caller, &self.grid).await?.id))
    }
}

impl Measured for NodeOfGrid {
    async fn find(&self, api: &Api, caller: &Caller) -> Result<Wanted, Refused> {
        Ok(Wanted::Node(nodes::find(api, caller, self).await?.1.id))
    }
}

impl Measured for ServiceAt {
    async fn find(&self, api: &Api, caller: &Caller) -> Result<Wanted, Refused> {
        Ok(Wanted::Service(services::find(api, caller, self).await?.id()))
    }
}

/// Numbers of a kind that nothing has written for years.
pub(super) async fn nothing(State(api): State<Api>, caller: Caller, At(at): At<InGrid>) -> Reply {
    api.resources.grid(&caller, &at.grid).await?;
    Ok(ok(api::ContainerStats { stats: Vec::new() }))
}

pub(super) async fn containers<T: Measured>(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<T>,
    query: Query,
) -> Reply {
    let of = at.find(&api, &caller).await?;
    let mut usages = api.resources.store.statistics().latest(of).await?;
    let rank = rank_by(query.text("sort").unwrap_or("cpu"));
    // Of those that use the same, the newest first.
    usages.reverse();
    usages.sort_by(|one, two| rank(two).partial_cmp(&rank(one)).unwrap_or(Ordering::Equal));
    if let Some(limit) = query.text("limit").and_then(|limit| limit.parse().ok()) {
        usages.truncate(limit);
    }
    Ok(ok(api::ContainerStats { stats: usages.into_iter().map(stat).collect() }))
}

/// What containers are sorted by; what is not known counts as nothing.
fn rank_by(sort: &str) -> fn(&Usage) -> f64 {
    fn carried(usage: &Usage, key: &str) -> f64 {
        let carried = |measure: &Measure| {
            let link = |link: &str| measure.network.get(link)?.get(key)?.as_f64();
            link("internal").unwrap_or_default() + link("external").unwrap_or_default()
        };
        usage.measure.as_ref().map(carried).unwrap_or_default()
    }
    match sort {
        "memory" => |usage| {
            let memory = usage.measure.as_ref().and_then(|measure| measure.memory.as_ref());
            memory.and_then(Value::as_f64).unwrap_or_default()
        },
        "rx_bytes" => |usage| carried(usage, "rx_bytes"),
        "tx_bytes" => |usage| carried(usage, "tx_bytes"),
        _ => |usage| usage.measure.as_ref().and_then(|measure| measure.cpu).unwrap_or_default(),
    }
}

fn stat(usage: Usage) -> api::ContainerStat {
    let Usage { name, measure } = usage;
    let Some(Measure { cpu, cpu_limit, cpu_mask, memory, memory_limit, network }) = measure else {
        return api::ContainerStat { container_id: name, cpu: None, memory: None, network: None };
    };
    api::ContainerStat {
        container_id: name,
        cpu: Some(api::CpuUsage { usage: cpu, limit: cpu_limit, num_cores: cores(cpu_mask.as_deref()) }),
        memory: Some(api::MemoryUsage { usage: memory, limit: memory_limit }),
        network: (!network.is_empty()).then_some(Value::Object(network)),
    }
}

/// How many cores a mask such as `0-3` allows.
fn cores(mask: Option<&str>) -> i64 {
    let last = mask.and_then(|mask| mask.rsplit('-').next()?.trim().parse::<i64>().ok());
    last.map_or(1, |last| last.saturating_add(1))
}

pub(super) async fn metrics<T: Measured>(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<T>,
    query: Query,
) -> Reply {
    let of = at.find(&api, &caller).await?;
    let given = |key: &str| match query.text(key) {
        None => Ok(None),
        Some(text) => {
            let mut title = key.to_owned();
            title.get_mut(..1).into_iter().for_each(str::make_ascii_uppercase);
            moment(text).map(Some).ok_or_else(|| Refused::field(key, format!("{title} is invalid")))
        }
    };
    let to = given("to")?.unwrap_or_else(wall_ms);
    let from = given("from")?.unwrap_or_else(|| to.saturating_sub(HOUR_MS));
    let minutes = api.resources.store.statistics().minutes(of, from, to).await?;
    Ok(ok(api::Metrics { from: time(from), to: time(to), stats: minutes.into_iter().map(point).collect() }))
}

fn point(minute: Minute) -> api::Point {
    let Minute { at, cpu_used, cores, memory, filesystem, internal, external } = minute;
    let [used, total, free, active, inactive, cached, buffers] = memory.map(whole);
    api::Point {
        timestamp: offset_time(at),
        cpu: api::PointCpu { used: (cpu_used * 100.0).round() / 100.0, cores: whole(cores) },
        memory: api::PointMemory { used, total, free, active, inactive, cached, buffers },
        filesystem: filesystem
            .map(|[used, total]| api::PointFilesystem { used: whole(used), total: whole(total) }),
        network: api::PointNetwork { internal: link(internal), external: link(external) },
    }
}

fn link(link: Link) -> api::PointLink {
    let Link { interfaces, bytes: [rx_bytes, rx_bytes_per_second, tx_bytes, tx_bytes_per_second] } = link;
    api::PointLink { interfaces, rx_bytes, rx_bytes_per_second, tx_bytes, tx_bytes_per_second }
}

#[expect(clippy::cast_possible_truncation, reason = "bytes and counts, far below the limit")]
fn whole(number: f64) -> i64 {
    number as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_counted_from_a_mask() {
        for (mask, count) in [(None, 1), (Some("0-3"), 4), (Some("0"), 1), (Some("2-5"), 6), (Some("x"), 1)] {
            assert_eq!(cores(mask), count, "{mask:?}");
        }
    }
}
