//! What nodes and containers measured: `host_node_stats` and `container_stats`. Capped: the oldest are forgotten.

mod service;

use kontena_core::id::Id;
use mongodb::bson::{Bson, Document, doc};
use serde_json::{Map, Value};

use crate::client::Store;
use crate::command::Failure;
use crate::containers::CONTAINERS;
use crate::document::{Read, date, oid};
use crate::table::Table;

pub(crate) const CONTAINER_STATS: &str = "container_stats";
pub(crate) const HOST_NODE_STATS: &str = "host_node_stats";

/// Whose statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Of a grid.
    Grid(Id),
    /// Of a node.
    Node(Id),
    /// Of a service.
    Service(Id),
}

/// A running container with what it last measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// Of the container.
    pub name: String,
    /// None: nothing was measured yet.
    pub measure: Option<Measure>,
}

/// What a container measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measure {
    /// Percent of one core.
    pub cpu: Option<f64>,
    /// The engine's shares.
    pub cpu_limit: Option<Value>,
    /// Which cores it may use, as in `0-3`.
    pub cpu_mask: Option<String>,
    /// Bytes.
    pub memory: Option<Value>,
    /// Bytes.
    pub memory_limit: Option<Value>,
    /// As it was reported.
    pub network: Map<String, Value>,
}

/// What nodes measured in one minute. A node that measured several times counts by its mean; of several nodes all
/// is added up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Minute {
    /// Its beginning, in milliseconds since 1970.
    pub at: i64,
    /// Percent of one core.
    pub cpu_used: f64,
    /// How many.
    pub cores: f64,
    /// Bytes: used, total, free, active, inactive, cached, buffers.
    pub memory: [f64; 7],
    /// Bytes: used, total. None: containers have none of their own.
    pub filesystem: Option<[f64; 2]>,
    /// Within the grid.
    pub internal: Link,
    /// Beyond it.
    pub external: Link,
}

/// What went over a network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Link {
    /// Of the hosts.
    pub interfaces: Vec<String>,
    /// Received and per second, sent and per second.
    pub bytes: [f64; 4],
}

const MEMORY: [&str; 7] = ["used", "total", "free", "active", "inactive", "cached", "buffers"];
const LINK: [&str; 4] = ["rx_bytes", "rx_bytes_per_second", "tx_bytes", "tx_bytes_per_second"];
const FILESYSTEM: [&str; 2] = ["used", "total"];
const LINKS: [&str; 2] = ["internal", "external"];

/// The collections.
#[derive(Clone, Debug)]
pub struct Statistics {
    containers: Table,
    measures: Table,
    nodes: Table,
}

impl Store {
    /// What nodes and containers measured.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics {
            containers: Table::new(self.database(), CONTAINERS),
            measures: Table::new(self.database(), CONTAINER_STATS),
            nodes: Table::new(self.database(), HOST_NODE_STATS),
        }
    }
}

impl Statistics {
    /// The running containers of a grid, node or service with what each last measured; the oldest first.
    pub async fn latest(&self, of: Wanted) -> Result<Vec<Usage>, Failure> {
        let (key, id) = match of {
            Wanted::Grid(id) => ("grid_id", id),
            Wanted::Node(id) => ("host_node_id", id),
            Wanted::Service(id) => ("grid_service_id", id),
        };
        let running = doc! {
            key: oid(id), "deleted_at": null, "container_type": "container", "state.running": true,
            "container_id": { "$ne": null },
        };
        let last = doc! {
            "from": CONTAINER_STATS, "localField": "_id", "foreignField": "container_id",
            "pipeline": [{ "$sort": { "_id": -1 } }, { "$limit": 1 }], "as": "stats",
        };
        let pipeline = vec![
            doc! { "$match": running },
            doc! { "$sort": { "created_at": 1, "_id": 1 } },
            doc! { "$project": { "name": 1 } },
            doc! { "$lookup": last },
        ];
        let rows = self.containers.aggregate(pipeline).await?;
        let usage = |row: &Document| Usage {
            name: row.text_or_empty("name"),
            measure: row.documents("stats").first().map(|stat| measure(stat)),
        };
        Ok(rows.iter().map(usage).collect())
    }

    /// What a node, all nodes of a grid, or the containers of a service measured between two times in milliseconds
    /// since 1970, by minutes.
    pub async fn minutes(&self, of: Wanted, from: i64, to: i64) -> Result<Vec<Minute>, Failure> {
        let (key, id) = match of {
            Wanted::Grid(id) => ("grid_id", id),
            Wanted::Node(id) => ("host_node_id", id),
            Wanted::Service(id) => return self.minutes_of_service(id, from, to).await,
        };
        let matched = doc! { key: oid(id), "created_at": { "$gte": date(from), "$lte": date(to) } };
        let mut minutes = ByMinute::of("$host_node_id");
        let busy = ["user", "system", "nice"].map(|kind| or_zero(&format!("cpu.{kind}"))).to_vec();
        minutes.sum_of_means("cpu", doc! { "$add": busy });
        minutes.sum_of_means("cores", "$cpu.num_cores");
        for kind in MEMORY {
            minutes.sum_of_means(&format!("memory_{kind}"), format!("$memory.{kind}"));
        }
        for kind in FILESYSTEM {
            minutes
                .sum_of_means(&format!("filesystem_{kind}"), doc! { "$sum": format!("$filesystem.{kind}") });
        }
        let minute = |row: &Document| {
            let value = |key: &str| number(row, key).unwrap_or_default();
            Minute {
                cores: value("cores"),
                memory: MEMORY.map(|kind| value(&format!("memory_{kind}"))),
                filesystem: Some(FILESYSTEM.map(|kind| value(&format!("filesystem_{kind}")))),
                ..carried(row)
            }
        };
        Ok(self.nodes.aggregate(minutes.pipeline(matched)).await?.iter().map(minute).collect())
    }
}

/// Groups measurements by minutes and by what was measured, and then adds up what was measured in one minute.
struct ByMinute {
    each: Document,
    together: Document,
}

impl ByMinute {
    /// `source` is the field that tells what was measured. What went over networks is always counted.
    fn of(source: &str) -> Self {
        let at = doc! { "$dateTrunc": { "date": "$created_at", "unit": "minute" } };
        let each = doc! { "_id": { "at": at, "source": source } };
        let mut minutes = Self { each, together: doc! { "_id": "$_id.at" } };
        for link in LINKS {
            for kind in LINK {
                minutes.sum_of_means(&format!("{link}_{kind}"), format!("$network.{link}.{kind}"));
            }
            let name = format!("{link}_interfaces");
            minutes.each.insert(name.clone(), doc! { "$first": format!("$network.{link}.interfaces") });
            minutes.together.insert(name.clone(), doc! { "$first": format!("${name}") });
        }
        minutes
    }

    /// Each counts by its mean, and all are added up.
    fn sum_of_means(&mut self, name: &str, value: impl Into<Bson>) {
        self.each.insert(name, doc! { "$avg": value.into() });
        self.together.insert(name, doc! { "$sum": format!("${name}") });
    }

    fn pipeline(self, matched: Document) -> Vec<Document> {
        let Self { each, together } = self;
        vec![
            doc! { "$match": matched },
            doc! { "$group": each },
            doc! { "$group": together },
            doc! { "$sort": { "_id": 1 } },
        ]
    }
}

fn or_zero(path: &str) -> Document {
    doc! { "$ifNull": [format!("${path}"), 0] }
}

/// A number that may be of any type, or none at all.
fn number(row: &Document, key: &str) -> Option<f64> {
    let number = match row.get(key)? {
        Bson::Double(number) => *number,
        Bson::Int32(number) => f64::from(*number),
        #[expect(clippy::cast_precision_loss, reason = "bytes and percents, for people")]
        Bson::Int64(number) => *number as f64,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// What nodes and containers tell alike.
fn carried(row: &Document) -> Minute {
    let value = |key: &str| number(row, key).unwrap_or_default();
    let link = |link: &str| Link {
        interfaces: row.texts(&format!("{link}_interfaces")),
        bytes: LINK.map(|kind| value(&format!("{link}_{kind}"))),
    };
    let [internal, external] = LINKS.map(link);
    let at = row.time("_id").unwrap_or_default();
    Minute { at, cpu_used: value("cpu"), internal, external, ..Minute::default() }
}

fn measure(stat: &Document) -> Measure {
    let part = |key: &str| stat.get_document(key).ok();
    let spec = |key: &str| part("spec").and_then(|spec| spec.get_document(key).ok());
    let shown = |document: Option<&Document>, key: &str| document?.get(key).map(crate::document::to_json);
    Measure {
        cpu: part("cpu").and_then(|cpu| number(cpu, "usage_pct")),
        cpu_limit: shown(spec("cpu"), "limit"),
        cpu_mask: spec("cpu").and_then(|cpu| cpu.text("mask")),
        memory: shown(part("memory"), "usage"),
        memory_limit: shown(spec("memory"), "limit"),
        network: stat.object("network"),
    }
}
