//! Log lines, events and statistics: written in batches into ring buffers, without a majority's word. Losing some
//! in a crash is accepted, as it was in the original.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures_util::TryStreamExt;
use kontena_core::id::Id;
use kontena_wire::agent::{LogLine, PodEvent};
use kontena_wire::rpc::Value;
use kontena_wire::rpc::loose;
use mongodb::Database;
use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::options::WriteConcern;

use crate::command::{Failure, write_each};
use crate::containers::{CONTAINERS, date};
use crate::document::{Read, oid, oids, whole};
use crate::host_nodes::HOST_NODES;
use crate::opaque;

/// A line with the node that it comes from.
#[derive(Clone, Debug)]
pub struct LogRow {
    /// The node's grid.
    pub grid: Id,
    /// The node.
    pub node: Id,
    /// The line.
    pub line: LogLine,
}

/// An event with the node that it comes from.
#[derive(Clone, Debug)]
pub struct ReportedEvent {
    /// The node's grid.
    pub grid: Id,
    /// The node.
    pub node: Id,
    /// The event.
    pub event: PodEvent,
}

/// Statistics of a node.
#[derive(Clone, Debug)]
pub struct NodeStatRow {
    /// The node's grid.
    pub grid: Id,
    /// The node.
    pub node: Id,
    /// As the agent sent them.
    pub stats: Value,
}

/// Statistics of a container.
#[derive(Clone, Debug)]
pub struct ContainerStatRow {
    /// The node's grid.
    pub grid: Id,
    /// The node.
    pub node: Id,
    /// The engine's id of the container.
    pub container_id: String,
    /// As the agent sent them.
    pub stat: Value,
}

/// The collections.
#[derive(Clone, Debug)]
pub struct Telemetry {
    database: Database,
}

impl Telemetry {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Writes log lines; those of unknown containers are passed over. Returns how many were written.
    pub async fn logs(&self, rows: &[LogRow], limit: Duration) -> Result<usize, Failure> {
        let containers =
            self.containers(rows.iter().map(|row| (row.node, &row.line.container_id)), limit).await?;
        let document = |row: &LogRow| {
            let LogRow { grid, node, line } = row;
            let container = containers.get(&(*node, line.container_id.clone()))?;
            let at = date(Some(&line.time));
            let at = if at == Bson::Null { Bson::DateTime(DateTime::now()) } else { at };
            Some(doc! {
                "grid_id": oid(*grid), "host_node_id": oid(*node),
                "grid_service_id": field(container, "grid_service_id"),
                "instance_number": field(container, "instance_number"),
                "container_id": field(container, "_id"), "created_at": at,
                "name": field(container, "name"), "type": line.stream.name(), "data": &line.data,
            })
        };
        self.insert("container_logs", rows.iter().filter_map(document).collect(), limit).await
    }

    /// Writes events; those of unknown services are passed over.
    pub async fn events(&self, rows: &[ReportedEvent], limit: Duration) -> Result<usize, Failure> {
        let services: BTreeSet<Id> =
            rows.iter().filter_map(|row| row.event.service_id.parse().ok()).collect();
        let stacks: HashMap<Id, Bson> = self
            .find("grid_services", doc! { "_id": { "$in": oids(services) } }, doc! { "stack_id": 1 }, limit)
            .await?
            .iter()
            .filter_map(|row| Some((row.id("_id")?, field(row, "stack_id"))))
            .collect();
        let document = |row: &ReportedEvent| {
            let ReportedEvent { grid, node, event } = row;
            let service: Id = event.service_id.parse().ok()?;
            let stack = stacks.get(&service)?;
            Some(doc! {
                "severity": whole(event.severity), "msg": &event.text, "type": &event.kind,
                "meta": { "instance_number": event.instance_number.map_or(Bson::Null, whole) },
                "grid_id": oid(*grid), "host_node_id": oid(*node), "stack_id": stack.clone(),
                "grid_service_id": oid(service), "created_at": DateTime::now(),
            })
        };
        self.insert("event_logs", rows.iter().filter_map(document).collect(), limit).await
    }

    /// Writes statistics of nodes, and notes the latest with the node.
    pub async fn node_stats(&self, rows: &[NodeStatRow], limit: Duration) -> Result<usize, Failure> {
        let mut documents = Vec::new();
        let mut latest: HashMap<Id, Document> = HashMap::new();
        for NodeStatRow { grid, node, stats } in rows {
            let part = |key: &str| loose::get(stats, key).map_or(Bson::Null, opaque::bson);
            let mut kept = doc! {};
            for key in ["memory", "load", "filesystem", "cpu", "usage"] {
                kept.insert(key, part(key));
            }
            let mut document =
                doc! { "grid_id": oid(*grid), "host_node_id": oid(*node), "created_at": at(stats) };
            document.extend(kept.clone());
            document.insert("network", part("network"));
            documents.push(document);
            latest.insert(*node, kept);
        }
        let updates: Vec<Document> = latest
            .into_iter()
            .map(|(node, stats)| doc! { "q": { "_id": oid(node) }, "u": { "$set": { "latest_stats": stats } } })
            .collect();
        if !updates.is_empty() {
            write_each(&self.database, doc! { "update": HOST_NODES, "updates": updates }, limit).await?;
        }
        self.insert("host_node_stats", documents, limit).await
    }

    /// Writes statistics of containers; those of unknown containers are passed over.
    pub async fn container_stats(
        &self,
        rows: &[ContainerStatRow],
        limit: Duration,
    ) -> Result<usize, Failure> {
        let containers = self.containers(rows.iter().map(|row| (row.node, &row.container_id)), limit).await?;
        let document = |row: &ContainerStatRow| {
            let ContainerStatRow { grid, node, container_id, stat } = row;
            let container = containers.get(&(*node, container_id.clone()))?;
            let mut document = doc! {
                "grid_id": oid(*grid), "host_node_id": oid(*node),
                "grid_service_id": field(container, "grid_service_id"),
                "container_id": field(container, "_id"), "created_at": at(stat),
            };
            for key in ["spec", "cpu", "memory", "filesystem", "diskio", "network"] {
                document.insert(key, loose::get(stat, key).map_or(Bson::Null, opaque::bson));
            }
            Some(document)
        };
        self.insert("container_stats", rows.iter().filter_map(document).collect(), limit).await
    }

    /// The rows of containers, by node and engine's id.
    async fn containers(
        &self,
        wanted: impl Iterator<Item = (Id, &String)>,
        limit: Duration,
    ) -> Result<HashMap<(Id, String), Document>, Failure> {
        let (nodes, ids): (BTreeSet<Id>, BTreeSet<&str>) =
            wanted.map(|(node, id)| (node, id.as_str())).unzip();
        let ids: Vec<&str> = ids.into_iter().collect();
        let filter = doc! { "host_node_id": { "$in": oids(nodes) }, "container_id": { "$in": ids } };
        let fields = doc! { "host_node_id": 1, "container_id": 1, "name": 1, "grid_service_id": 1, "instance_number": 1 };
        let rows = self.find(CONTAINERS, filter, fields, limit).await?;
        let key =
            |row: &Document| Some((row.id("host_node_id")?, row.get_str("container_id").ok()?.to_owned()));
        Ok(rows.into_iter().filter_map(|row| Some((key(&row)?, row))).collect())
    }

    async fn find(
        &self,
        name: &str,
        filter: Document,
        fields: Document,
        limit: Duration,
    ) -> Result<Vec<Document>, Failure> {
        let collection = self.database.collection(name);
        let rows = collection.find(filter).projection(fields).max_time(limit);
        Ok(rows.await?.try_collect().await?)
    }

    async fn insert(&self, name: &str, documents: Vec<Document>, limit: Duration) -> Result<usize, Failure> {
        if documents.is_empty() {
            return Ok(0);
        }
        let collection = self.database.collection::<Document>(name);
        let insert = collection.insert_many(&documents).ordered(false).write_concern(WriteConcern::nodes(1));
        match tokio::time::timeout(limit, insert).await {
            Ok(inserted) => Ok(inserted?.inserted_ids.len()),
            Err(_) => Err(Failure::unknown(format!("not written within {limit:?}"))),
        }
    }
}

fn field(document: &Document, key: &str) -> Bson {
    document.get(key).cloned().unwrap_or(Bson::Null)
}

/// The agent's time of statistics, such as `2017-10-10 10:10:10 UTC`.
fn at(stats: &Value) -> DateTime {
    let text = loose::text_at(stats, "time").unwrap_or_default();
    let text = text.trim_end_matches(" UTC").replace(' ', "T");
    let parsed = DateTime::parse_rfc3339_str(format!("{}Z", text.trim_end_matches('Z')));
    parsed.unwrap_or_else(|_| DateTime::now())
}
