//! The grids, as far as agents and their nodes need them: `grids`.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::TryStreamExt;
use kontena_core::id::Id;
use mongodb::Database;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document, doc};

use crate::command::{Failure, integer, write};
use crate::object_id::{id, id_at, object_ids, text_at, texts_at};

const GRIDS: &str = "grids";

/// What nodes are told of their grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GridRow {
    /// Its document.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// How many of its nodes carry etcd.
    pub initial_size: i64,
    /// Networks in which the overlay need not be encrypted.
    pub trusted_subnets: Vec<String>,
    /// The overlay's network.
    pub subnet: String,
    /// The network that the overlay's pools come from.
    pub supernet: String,
    /// Where agents send metrics: host and port.
    pub statsd: Option<(String, i64)>,
    /// Where agents send logs.
    pub logs: Option<LogForwarder>,
}

/// Where agents send logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogForwarder {
    /// Such as `fluentd`.
    pub forwarder: String,
    /// Its options.
    pub options: Vec<(String, String)>,
}

/// The collection.
#[derive(Clone, Debug)]
pub struct Grids {
    database: Database,
}

impl Grids {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// The grids of these tokens.
    pub async fn by_tokens(
        &self,
        tokens: &[&str],
        limit: Duration,
    ) -> Result<HashMap<String, GridRow>, Failure> {
        let rows = self.find(doc! { "token": { "$in": tokens.to_vec() } }, limit).await?;
        Ok(rows.iter().filter_map(|row| Some((text_at(row, "token")?, parse(row)?))).collect())
    }

    /// The grids of these ids.
    pub async fn by_ids(&self, ids: &[Id], limit: Duration) -> Result<HashMap<Id, GridRow>, Failure> {
        let filter = doc! { "_id": { "$in": object_ids(ids.iter().copied()) } };
        let rows = self.find(filter, limit).await?;
        Ok(rows.iter().filter_map(parse).map(|grid| (grid.id, grid)).collect())
    }

    /// Makes a grid with nothing in it but its defaults.
    pub async fn create(
        &self,
        name: &str,
        token: &str,
        initial_size: i32,
        limit: Duration,
    ) -> Result<Id, Failure> {
        let made = ObjectId::new();
        let now = DateTime::now();
        let grid = doc! {
            "_id": made, "initial_size": initial_size, "trusted_subnets": [], "stats": {}, "default_affinity": [],
            "subnet": "10.81.0.0/16", "supernet": "10.80.0.0/12", "name": name, "token": token,
            "updated_at": now, "created_at": now,
        };
        write(&self.database, doc! { "insert": GRIDS, "documents": [grid] }, limit).await?;
        Ok(id(made))
    }

    async fn find(&self, filter: Document, limit: Duration) -> Result<Vec<Document>, Failure> {
        Ok(self.database.collection(GRIDS).find(filter).max_time(limit).await?.try_collect().await?)
    }
}

fn parse(row: &Document) -> Option<GridRow> {
    let statsd = row.get_document("stats").ok().and_then(|stats| stats.get_document("statsd").ok());
    let logs = row.get_document("grid_logs_opts").ok();
    Some(GridRow {
        id: id_at(row, "_id")?,
        name: text_at(row, "name")?,
        initial_size: integer(row, "initial_size").unwrap_or(1),
        trusted_subnets: texts_at(row, "trusted_subnets"),
        // Rows older than these fields have the values that were fixed then.
        subnet: text_at(row, "subnet").unwrap_or_else(|| "10.81.0.0/16".to_owned()),
        supernet: text_at(row, "supernet").unwrap_or_else(|| "10.80.0.0/12".to_owned()),
        statsd: statsd.and_then(|statsd| Some((text_at(statsd, "server")?, integer(statsd, "port")?))),
        logs: logs.and_then(|logs| {
            let text = |(key, value): (&String, &Bson)| Some((key.clone(), value.as_str()?.to_owned()));
            let options = logs.get_document("opts").map(|opts| opts.iter().filter_map(text).collect());
            Some(LogForwarder {
                forwarder: text_at(logs, "forwarder")?,
                options: options.unwrap_or_default(),
            })
        }),
    })
}
