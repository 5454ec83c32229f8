//! What the containers of a service measured, by minutes: each counts by its mean, and all are added up.

use std::collections::HashMap;

use kontena_core::id::Id;
use mongodb::bson::{Document, doc};

use super::{ByMinute, Minute, Statistics, carried, number};
use crate::command::Failure;
use crate::document::{Read, date, oid};

impl Statistics {
    pub(super) async fn minutes_of_service(
        &self,
        service: Id,
        from: i64,
        to: i64,
    ) -> Result<Vec<Minute>, Failure> {
        let matched =
            doc! { "grid_service_id": oid(service), "created_at": { "$gte": date(from), "$lte": date(to) } };
        let mut minutes = ByMinute::of("$container_id");
        minutes.sum_of_means("cpu", "$cpu.usage_pct");
        minutes.sum_of_means("memory_used", "$memory.usage");
        minutes.sum_of_means("memory_total", "$spec.memory.limit");
        minutes.each.insert("node", doc! { "$first": "$host_node_id" });
        minutes.each.insert("mask", doc! { "$first": "$spec.cpu.mask" });
        minutes.together.insert("hosts", doc! { "$push": { "node": "$node", "mask": "$mask" } });
        Ok(self.measures.aggregate(minutes.pipeline(matched)).await?.iter().map(minute).collect())
    }
}

fn minute(row: &Document) -> Minute {
    let value = |key: &str| number(row, key).unwrap_or_default();
    Minute {
        cores: hosts_cores(row),
        memory: [value("memory_used"), value("memory_total"), 0.0, 0.0, 0.0, 0.0, 0.0],
        ..carried(row)
    }
}

/// The cores of the containers' hosts, each host counted once.
fn hosts_cores(row: &Document) -> f64 {
    let hosts = row.documents("hosts");
    let nodes: HashMap<Option<Id>, f64> =
        hosts.iter().map(|host| (host.id("node"), cores(host.text("mask").as_deref()))).collect();
    nodes.into_values().sum()
}

/// How many cores a mask such as `0-3` allows.
fn cores(mask: Option<&str>) -> f64 {
    let last = mask.and_then(|mask| mask.rsplit('-').next()?.trim().parse::<u32>().ok());
    last.map_or(1.0, |last| f64::from(last) + 1.0)
}
