//! Containers as the API shows them. What agents report is written elsewhere.

use kontena_core::id::Id;
use mongodb::bson::{Document, doc};
use serde_json::{Map, Value};

use super::{CONTAINERS, Containers};
use crate::command::Failure;
use crate::document::{Read, oid, to_json};
use crate::table::Table;

/// The network that every grid has.
const NETWORK: &str = "kontena";

/// A container with all that is known of it.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "fields of the document, described where they are sent")]
pub struct ContainerDetails {
    pub id: Id,
    pub name: String,
    pub container_id: Option<String>,
    pub node: Option<Id>,
    pub service: Option<Id>,
    pub created_at: i64,
    pub updated_at: i64,
    pub started_at: Option<i64>,
    pub finished_at: Option<i64>,
    pub deleted_at: Option<i64>,
    pub state: Map<String, Value>,
    pub deploy_rev: Option<String>,
    pub service_rev: Option<String>,
    pub instance_number: Option<i64>,
    pub image: Option<String>,
    pub cmd: Option<Vec<String>>,
    pub env: Option<Vec<String>>,
    pub volumes: Vec<Value>,
    /// In the grid's own network, without its mask.
    pub overlay_ip: Option<String>,
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    pub network_settings: Map<String, Value>,
    /// What its own check says, and when that was noted.
    pub health: Option<(String, i64)>,
}

impl ContainerDetails {
    /// Whether the engine says so.
    #[must_use]
    pub fn is(&self, state: &str) -> bool {
        self.state.get(state).and_then(Value::as_bool).unwrap_or(false)
    }
}

impl Containers {
    fn rows(&self) -> Table {
        Table::new(&self.database, CONTAINERS)
    }

    /// All of a grid that were reported, or those that run; the oldest first.
    pub async fn of_grid(&self, grid: Id, all: bool) -> Result<Vec<ContainerDetails>, Failure> {
        let mut filter = doc! { "grid_id": oid(grid) };
        if !all {
            filter.insert("state.running", true);
        }
        let rows = self.rows().all(filter, doc! { "created_at": 1, "_id": 1 }).await?;
        rows.iter().map(parse).collect()
    }

    /// Those of a service that its engines have; the oldest first.
    pub async fn of_service(&self, service: Id) -> Result<Vec<ContainerDetails>, Failure> {
        let filter = doc! {
            "grid_service_id": oid(service), "deleted_at": null, "container_type": "container",
            "container_id": { "$type": "string" },
        };
        let rows = self.rows().all(filter, doc! { "created_at": 1, "_id": 1 }).await?;
        rows.iter().map(parse).collect()
    }

    /// One of a node by its name. Of several reports of one name the latest container counts.
    pub async fn named(&self, node: Id, name: &str) -> Result<Option<ContainerDetails>, Failure> {
        let filter = doc! {
            "host_node_id": oid(node), "name": name, "deleted_at": null, "container_type": "container",
        };
        let rows = self.rows().some(filter, doc! { "_id": -1 }, 1).await?;
        rows.first().map(parse).transpose()
    }
}

fn parse(row: &Document) -> Result<ContainerDetails, Failure> {
    let texts = |key: &str| row.get_array(key).is_ok().then(|| row.texts(key));
    let networks = row.get_document("networks").ok();
    let cidr = networks.and_then(|networks| networks.get_document(NETWORK).ok()?.text("overlay_cidr"));
    let created_at = row.time("created_at").unwrap_or_default();
    let volumes = row.get_array("volumes").map(Vec::as_slice).unwrap_or_default();
    let checked_at = row.time("health_status_at");
    Ok(ContainerDetails {
        id: row.own_id()?,
        name: row.text_or_empty("name"),
        container_id: row.text("container_id"),
        node: row.id("host_node_id"),
        service: row.id("grid_service_id"),
        created_at,
        updated_at: row.time("updated_at").unwrap_or(created_at),
        started_at: row.time("started_at"),
        finished_at: row.time("finished_at"),
        deleted_at: row.time("deleted_at"),
        state: row.object("state"),
        deploy_rev: row.text("deploy_rev"),
        service_rev: row.text("service_rev"),
        instance_number: row.whole("instance_number"),
        image: row.text("image"),
        cmd: texts("cmd"),
        env: texts("env"),
        volumes: volumes.iter().map(to_json).collect(),
        overlay_ip: cidr.and_then(|cidr| cidr.split('/').next().map(str::to_owned)),
        hostname: row.text("hostname"),
        domainname: row.text("domainname"),
        network_settings: row.object("network_settings"),
        health: row.text("health_status").map(|status| (status, checked_at.unwrap_or(created_at))),
    })
}
