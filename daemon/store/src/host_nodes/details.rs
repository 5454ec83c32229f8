//! Nodes as the API shows and changes them. What agents report is written elsewhere.

use std::collections::HashMap;

use kontena_core::id::Id;
use kontena_core::input::{self, NodeChange};
use mongodb::bson::{Document, doc};
use serde_json::{Map, Value};

use super::{CreateFault, HOST_NODES, HostNodes, NewNode};
use crate::command::Failure;
use crate::document::{Read, oid};
use crate::service_references::named;
use crate::table::{LIMIT, Table};
use crate::transaction::{Outcome, Write};

/// A node with all that is known of it.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "fields of the document, described where they are sent")]
pub struct NodeDetails {
    pub id: Id,
    pub node_id: Option<String>,
    pub node_number: i64,
    pub name: String,
    pub token: Option<String>,
    pub connected: bool,
    pub updated: bool,
    pub availability: String,
    pub created_at: i64,
    pub updated_at: i64,
    pub connected_at: Option<i64>,
    pub last_seen_at: Option<i64>,
    pub disconnected_at: Option<i64>,
    pub os: Option<String>,
    pub docker_root_dir: Option<String>,
    pub driver: Option<String>,
    pub kernel_version: Option<String>,
    pub agent_version: Option<String>,
    pub docker_version: Option<String>,
    pub network_drivers: Vec<(String, Option<String>)>,
    pub volume_drivers: Vec<(String, Option<String>)>,
    pub labels: Vec<String>,
    pub mem_total: Option<i64>,
    pub mem_limit: Option<i64>,
    pub cpus: Option<i64>,
    pub public_ip: Option<String>,
    pub private_ip: Option<String>,
    pub latest_stats: Map<String, Value>,
    /// How the agent's last connection went: whether it was opened, and how it was closed.
    pub last_connection: Option<(bool, Option<i64>, Option<String>)>,
}

/// How the making of a node, or of its token, went.
#[derive(Clone, Debug, PartialEq)]
pub enum MadeNode {
    /// It is there.
    Made(Box<NodeDetails>),
    /// Another of the grid has its name.
    NameTaken,
    /// Another has its token.
    TokenTaken,
    /// The grid has no number left.
    Full,
    /// The node is gone.
    Missing,
}

impl HostNodes {
    fn rows(&self) -> Table {
        Table::new(self.store.database(), HOST_NODES)
    }

    /// All of a grid, by name.
    pub async fn of_grid(&self, grid: Id) -> Result<Vec<NodeDetails>, Failure> {
        let rows = self.rows().all(doc! { "grid_id": oid(grid) }, doc! { "name": 1 }).await?;
        rows.iter().map(parse).collect()
    }

    /// The names of nodes.
    pub async fn names(&self, nodes: &[Id]) -> Result<HashMap<Id, String>, Failure> {
        named(&self.rows(), nodes.iter().copied()).await
    }

    /// One by its name, or by its agent's id, which has colons.
    pub async fn named(&self, grid: Id, name: &str) -> Result<Option<NodeDetails>, Failure> {
        let key = if name.contains(':') { "node_id" } else { "name" };
        self.rows().one(doc! { "grid_id": oid(grid), key: name }).await?.as_ref().map(parse).transpose()
    }

    /// One by its agent's id.
    pub async fn by_node_id(&self, grid: Id, node_id: &str) -> Result<Option<NodeDetails>, Failure> {
        let filter = doc! { "grid_id": oid(grid), "node_id": node_id };
        self.rows().one(filter).await?.as_ref().map(parse).transpose()
    }

    /// Announces a node under the lowest free number.
    pub async fn announce(&self, grid: Id, node: &input::NewNode, token: &str) -> Result<MadeNode, Failure> {
        let input::NewNode { name, token: _, labels } = node.clone();
        let (token, yields) = (Some(token.to_owned()), false);
        let wanted = NewNode { grid, node_id: None, token, name, yields, labels, agent_version: None };
        match self.create(&[wanted], LIMIT).await?.pop() {
            Some(Ok(made)) => match self.rows().one(doc! { "_id": oid(made) }).await? {
                Some(row) => Ok(MadeNode::Made(Box::new(parse(&row)?))),
                None => Ok(MadeNode::Missing),
            },
            Some(Err(CreateFault::Full)) => Ok(MadeNode::Full),
            Some(Err(CreateFault::NameTaken)) => Ok(MadeNode::NameTaken),
            Some(Err(CreateFault::Taken)) => Ok(MadeNode::TokenTaken),
            Some(Err(CreateFault::Contended)) | None => {
                Err(Failure::unknown("the numbers of the grid's nodes change too fast"))
            }
        }
    }

    /// Changes what is given. `None` if the node is gone.
    pub async fn update(&self, node: Id, change: &NodeChange) -> Result<Option<NodeDetails>, Failure> {
        let set = changed_fields(change);
        let change = if set.is_empty() {
            doc! {}
        } else {
            doc! { "$set": set }
        };
        self.rows().change(doc! { "_id": oid(node) }, change).await?.as_ref().map(parse).transpose()
    }

    /// Replaces the token, or with `None` removes it: absent, since a null would collide with that of another node.
    pub async fn set_token(&self, node: Id, token: Option<&str>, reset: bool) -> Result<MadeNode, Failure> {
        let mut set = doc! {};
        let mut change = doc! {};
        match token {
            Some(token) => {
                set.insert("token", token);
            }
            None => {
                change.insert("$unset", doc! { "token": "" });
            }
        }
        if reset {
            set.insert("connected", false);
        }
        if !set.is_empty() {
            change.insert("$set", set);
        }
        match self.rows().change(doc! { "_id": oid(node) }, change).await {
            Ok(Some(changed)) => Ok(MadeNode::Made(Box::new(parse(&changed)?))),
            Ok(None) => Ok(MadeNode::Missing),
            Err(Failure::Duplicate) => Ok(MadeNode::TokenTaken),
            Err(failure) => Err(failure),
        }
    }

    /// Removes a node with what is known of its containers and volumes; its instances are free to go elsewhere.
    pub async fn remove(&self, node: Id) -> Result<bool, Failure> {
        let on_node = doc! { "host_node_id": oid(node) };
        let freed = doc! { "$set": { "host_node_id": null }, "$currentDate": { "updated_at": true } };
        let writes = [
            Write::Remove { collection: HOST_NODES, filter: doc! { "_id": oid(node) } },
            Write::ChangeAll { collection: "grid_service_instances", filter: on_node.clone(), change: freed },
            Write::RemoveAll { collection: "volume_instances", filter: on_node.clone() },
            Write::RemoveAll { collection: "containers", filter: on_node },
        ];
        Ok(self.store.transact(&writes).await? == Outcome::Done)
    }
}

pub(super) fn changed_fields(change: &NodeChange) -> Document {
    let NodeChange { labels, availability } = change;
    let mut set = doc! {};
    if let Some(labels) = labels {
        set.insert("labels", labels);
    }
    if let Some(availability) = availability {
        set.insert("availability", availability);
    }
    set
}

pub(crate) fn parse(row: &Document) -> Result<NodeDetails, Failure> {
    let drivers = |key: &str| {
        let parse = |driver: &&Document| Some((driver.text("name")?, driver.text("version")));
        row.documents(key).iter().filter_map(parse).collect()
    };
    let connection = row.get_document("websocket_connection").ok();
    let created_at = row.time("created_at").unwrap_or_default();
    Ok(NodeDetails {
        id: row.own_id()?,
        node_id: row.text("node_id"),
        node_number: row.whole("node_number").unwrap_or_default(),
        name: row.text_or_empty("name"),
        token: row.text("token"),
        connected: row.flag("connected").unwrap_or_default(),
        updated: row.flag("updated").unwrap_or_default(),
        availability: row.text("availability").unwrap_or_else(|| "active".to_owned()),
        created_at,
        updated_at: row.time("updated_at").unwrap_or(created_at),
        connected_at: row.time("connected_at"),
        last_seen_at: row.time("last_seen_at"),
        disconnected_at: row.time("disconnected_at"),
        os: row.text("os"),
        docker_root_dir: row.text("docker_root_dir"),
        driver: row.text("driver"),
        kernel_version: row.text("kernel_version"),
        agent_version: row.text("agent_version"),
        docker_version: row.text("docker_version"),
        network_drivers: drivers("network_drivers"),
        volume_drivers: drivers("volume_drivers"),
        labels: row.texts("labels"),
        mem_total: row.whole("mem_total"),
        mem_limit: row.whole("mem_limit"),
        cpus: row.whole("cpus"),
        public_ip: row.text("public_ip"),
        private_ip: row.text("private_ip"),
        latest_stats: row.object("latest_stats"),
        last_connection: connection.map(|connection| {
            let opened = connection.flag("opened").unwrap_or_default();
            (opened, connection.whole("close_code"), connection.text("close_reason"))
        }),
    })
}
