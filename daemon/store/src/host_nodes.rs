//! The hosts: `host_nodes`. The fields that we add are `master_id` (whose process holds the agent's session),
//! `session_epoch` (which session that is; it only rises) and `session_lost_at` (since when nobody holds one).

mod details;
mod ephemeral;
mod overview;
mod reports;
mod sessions;
mod stateful;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use futures_util::TryStreamExt;
use kontena_core::agents::KnownNode;
use kontena_core::agents::admission::free_number;
use kontena_core::id::Id;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, doc};

use crate::client::Store;
use crate::command::{Failure, integer, is_duplicate, write_each};
use crate::document::{Read, oid, oids};
use crate::table::inserting;

pub(crate) use details::parse as parse_details;
pub use details::{MadeNode, NodeDetails};
pub use overview::NodeSummary;
pub use reports::Reported;
pub use sessions::{Ended, Ending, LostNode, NodeOwner, Plug, Session};

pub(crate) const HOST_NODES: &str = "host_nodes";

/// How often a number is sought for a node whose number or name somebody else gave away meanwhile.
const CREATE_ROUNDS: usize = 64;

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// What its admission is decided by.
    pub known: KnownNode,
    /// Its name, unique in the grid.
    pub name: String,
    /// Its number, unique in the grid.
    pub number: u8,
    /// `key=value` or `key`.
    pub labels: Vec<String>,
    /// Of its last session.
    pub epoch: i64,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub updated_at: i64,
}

/// A node as its peers need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRow {
    /// Its grid.
    pub grid: Id,
    /// Its number.
    pub number: u8,
    /// `key=value` or `key`.
    pub labels: Vec<String>,
    /// Where the same region reaches it.
    pub private_ip: Option<String>,
    /// Where others reach it.
    pub public_ip: Option<String>,
}

/// A node to be made.
#[derive(Clone, Debug)]
pub struct NewNode {
    /// Its grid.
    pub grid: Id,
    /// The engine's id, once it has come.
    pub node_id: Option<String>,
    /// A token of its own.
    pub token: Option<String>,
    /// The name that it wants.
    pub name: String,
    /// Whether its number may be added to the name, if that is taken.
    pub yields: bool,
    /// `key=value` or `key`.
    pub labels: Vec<String>,
    /// Of its agent, once it has come.
    pub agent_version: Option<String>,
}

/// Why a node was not made.
#[derive(Clone, Debug)]
pub enum CreateFault {
    /// All numbers of the grid are taken.
    Full,
    /// Another node of the grid has the name, and no other will do.
    NameTaken,
    /// There is a node with this node id or token.
    Taken,
    /// Others were faster again and again.
    Contended,
}

/// The collection.
#[derive(Clone, Debug)]
pub struct HostNodes {
    store: Store,
}

impl HostNodes {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// The nodes with one of these node ids, or one of these tokens; each with its token, if that was asked for.
    pub async fn known(
        &self,
        node_ids: &[&str],
        tokens: &[&str],
        limit: Duration,
    ) -> Result<Vec<(NodeRow, Option<String>)>, Failure> {
        let mut filters = vec![doc! { "node_id": { "$in": node_ids.to_vec() } }];
        if !tokens.is_empty() {
            filters.push(doc! { "token": { "$in": tokens.to_vec() } });
        }
        let rows = self.find(doc! { "$or": filters }, node_fields(), limit).await?;
        let asked = |row: &Document| row.text("token").filter(|found| tokens.contains(&found.as_str()));
        Ok(rows.iter().filter_map(|row| Some((parse(row)?, asked(row)))).collect())
    }

    /// The nodes of these ids.
    pub async fn by_ids(&self, ids: &[Id], limit: Duration) -> Result<Vec<NodeRow>, Failure> {
        let filter = doc! { "_id": { "$in": oids(ids.iter().copied()) } };
        let rows = self.find(filter, node_fields(), limit).await?;
        Ok(rows.iter().filter_map(parse).collect())
    }

    /// All nodes of these grids, as their peers need them.
    pub async fn peers(&self, grids: &[Id], limit: Duration) -> Result<Vec<PeerRow>, Failure> {
        let filter = doc! { "grid_id": { "$in": oids(grids.iter().copied()) } };
        let fields = doc! { "grid_id": 1, "node_number": 1, "labels": 1, "private_ip": 1, "public_ip": 1 };
        let rows = self.find(filter, fields, limit).await?;
        let peer = |row: &Document| {
            Some(PeerRow {
                grid: row.id("grid_id")?,
                number: number(row)?,
                labels: row.texts("labels"),
                private_ip: row.text("private_ip"),
                public_ip: row.text("public_ip"),
            })
        };
        Ok(rows.iter().filter_map(peer).collect())
    }

    /// How many nodes there are.
    pub async fn count(&self, limit: Duration) -> Result<u64, Failure> {
        let collection = self.store.database().collection::<Document>(HOST_NODES);
        Ok(collection.estimated_document_count().max_time(limit).await?)
    }

    /// Makes nodes, each with the lowest free number of its grid. Unique indexes decide between masters that
    /// give away the same number or name at the same time; the loser tries again.
    pub async fn create(
        &self,
        nodes: &[NewNode],
        limit: Duration,
    ) -> Result<Vec<Result<Id, CreateFault>>, Failure> {
        let mut outcomes: Vec<Result<Id, CreateFault>> = vec![Err(CreateFault::Contended); nodes.len()];
        let mut open: Vec<usize> = (0..nodes.len()).collect();
        for _ in 0..CREATE_ROUNDS {
            if open.is_empty() {
                break;
            }
            let mut taken = self.taken(nodes, &open, limit).await?;
            let mut updates = Vec::new();
            let mut inserted = Vec::new();
            for index in open.drain(..) {
                let Some(node) = nodes.get(index) else { continue };
                let in_grid = taken.entry(node.grid).or_default();
                let Some(number) = free_number(&in_grid.numbers) else {
                    set(&mut outcomes, index, Err(CreateFault::Full));
                    continue;
                };
                let name = match in_grid.names.contains(&node.name) {
                    false => node.name.clone(),
                    true if node.yields => format!("{}-{number}", node.name),
                    true => {
                        set(&mut outcomes, index, Err(CreateFault::NameTaken));
                        continue;
                    }
                };
                in_grid.numbers.insert(number);
                in_grid.names.insert(name.clone());
                let made = ObjectId::new();
                let fields = inserting(node_document(node, number, &name), doc! {});
                updates.push(doc! { "q": { "_id": made }, "u": fields, "upsert": true });
                inserted.push((index, Id::from_bytes(made.bytes())));
            }
            if updates.is_empty() {
                break;
            }
            let command = doc! { "update": HOST_NODES, "updates": updates };
            let (_, faults) = write_each(self.store.database(), command, limit).await?;
            let faults: BTreeMap<usize, (i64, String)> =
                faults.into_iter().map(|(at, code, message)| (at, (code, message))).collect();
            for (at, (index, made)) in inserted.into_iter().enumerate() {
                match faults.get(&at) {
                    None => set(&mut outcomes, index, Ok(made)),
                    Some((code, message)) if is_duplicate(*code) => {
                        // Names in the message may be anything.
                        let own = ["index: node_id_1 ", "index: token_1 "]
                            .iter()
                            .any(|index| message.contains(index));
                        if own {
                            set(&mut outcomes, index, Err(CreateFault::Taken));
                        } else {
                            open.push(index);
                        }
                    }
                    Some((_, message)) => return Err(Failure::unknown(message.clone())),
                }
            }
        }
        Ok(outcomes)
    }

    async fn taken(
        &self,
        nodes: &[NewNode],
        open: &[usize],
        limit: Duration,
    ) -> Result<HashMap<Id, Taken>, Failure> {
        let grids: BTreeSet<Id> =
            open.iter().filter_map(|index| nodes.get(*index)).map(|node| node.grid).collect();
        let filter = doc! { "grid_id": { "$in": oids(grids) } };
        let fields = doc! { "grid_id": 1, "node_number": 1, "name": 1 };
        let mut taken: HashMap<Id, Taken> = HashMap::new();
        for row in self.find(filter, fields, limit).await? {
            let Some(grid) = row.id("grid_id") else { continue };
            let in_grid = taken.entry(grid).or_default();
            in_grid.numbers.extend(number(&row));
            in_grid.names.extend(row.text("name"));
        }
        Ok(taken)
    }

    async fn find(
        &self,
        filter: Document,
        fields: Document,
        limit: Duration,
    ) -> Result<Vec<Document>, Failure> {
        let collection = self.store.database().collection::<Document>(HOST_NODES);
        Ok(collection.find(filter).projection(fields).max_time(limit).await?.try_collect().await?)
    }
}

#[derive(Default)]
struct Taken {
    numbers: BTreeSet<u8>,
    names: BTreeSet<String>,
}

fn set<T>(outcomes: &mut [T], index: usize, outcome: T) {
    if let Some(place) = outcomes.get_mut(index) {
        *place = outcome;
    }
}

/// A node as the original makes it, with its fields in the original's order.
fn node_document(node: &NewNode, number: u8, name: &str) -> Document {
    let NewNode { grid, node_id, token, name: _, yields: _, labels, agent_version } = node;
    let mut document = doc! {
        "labels": labels, "availability": "active", "latest_stats": {}, "name": name,
    };
    // A field of a sparse index is absent rather than null.
    for (key, value) in [("node_id", node_id), ("token", token), ("agent_version", agent_version)] {
        if let Some(value) = value {
            document.insert(key, value);
        }
    }
    document.extend(doc! {
        "grid_id": oid(*grid), "connected": false, "updated": false, "node_number": i32::from(number),
    });
    document
}

fn node_fields() -> Document {
    doc! {
        "grid_id": 1, "node_id": 1, "token": 1, "name": 1, "node_number": 1, "labels": 1, "session_epoch": 1,
        "created_at": 1, "updated_at": 1,
    }
}

fn parse(row: &Document) -> Option<NodeRow> {
    Some(NodeRow {
        known: KnownNode {
            id: row.id("_id")?,
            grid: row.id("grid_id")?,
            node_id: row.text("node_id"),
            has_token: row.text("token").is_some(),
        },
        name: row.text("name")?,
        number: number(row)?,
        labels: row.texts("labels"),
        epoch: integer(row, "session_epoch").unwrap_or(0),
        created_at: row.time("created_at").unwrap_or(0),
        updated_at: row.time("updated_at").unwrap_or(0),
    })
}

fn number(row: &Document) -> Option<u8> {
    integer(row, "node_number").and_then(|number| u8::try_from(number).ok())
}

fn connected(row: &Document) -> bool {
    row.flag("connected").unwrap_or_default()
}

fn stored_id(holder: kontena_core::election::HolderId) -> Bson {
    Bson::String(holder.to_string())
}

/// Who holds the session of this node.
pub(crate) fn master(row: &Document) -> Option<kontena_core::election::HolderId> {
    row.get_str("master_id").ok().and_then(|holder| holder.parse().ok())
}
