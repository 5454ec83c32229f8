//! The sessions of the agents. Whoever ends or changes one names its master and epoch, so that nothing done for
//! an old session touches a newer one.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::TryStreamExt;
use kontena_core::agents::Refusal;
use kontena_core::agents::keepalive::Record;
use kontena_core::election::HolderId;
use kontena_core::id::Id;
use mongodb::bson::{Bson, DateTime, Document, doc};

use super::{HOST_NODES, HostNodes, connected, stored_id};
use crate::command::{Failure, find_first, integer, millis, write, write_each};
use crate::containers::CONTAINERS;
use crate::document::{Read, oid, oids};
use crate::effect::{Effect, Statement};

/// A session to be begun.
#[derive(Clone, Debug)]
pub struct Plug {
    /// The node's document.
    pub node: Id,
    /// The epoch that its record had when its admission was decided.
    pub observed: i64,
    /// By the agent's clock, in milliseconds since 1970.
    pub connected_at: i64,
    /// For a node that is taken by its token: its node id, version and labels.
    pub claim: Option<(String, String, Vec<String>)>,
}

/// A session that is in force, or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    /// The node's document.
    pub node: Id,
    /// Which of its sessions.
    pub epoch: i64,
}

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The agent is gone.
    Gone,
    /// The agent was sent elsewhere: its node counts as connected until it had time to come back.
    Released,
}

/// A session that ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Which.
    pub session: Session,
    /// How.
    pub ending: Ending,
    /// The close frame, ours or the agent's.
    pub close: Refusal,
}

/// Who holds a node's session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeOwner {
    /// The process, if any.
    pub master: Option<HolderId>,
    /// Which session.
    pub epoch: i64,
    /// Whether the node counts as connected.
    pub connected: bool,
    /// Its name.
    pub name: String,
}

/// A node that counts as connected, or did until lately, and that nobody holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostNode {
    /// Its last session.
    pub session: Session,
    /// Its name.
    pub name: String,
}

impl HostNodes {
    /// Begins sessions of `master`; returns those nodes whose record is now of the session that was asked for.
    /// A node whose record changed since it was observed is not among them, nor one that is connected by a
    /// connection which its agent made later.
    pub async fn plug(&self, plugs: &[Plug], master: HolderId, limit: Duration) -> Result<Vec<Id>, Failure> {
        let updates: Vec<Document> = plugs.iter().map(|plug| plug_statement(plug, master)).collect();
        if updates.is_empty() {
            return Ok(Vec::new());
        }
        // Statements that fail, such as for a node id that another node took, show in what is read below.
        write_each(self.store.database(), doc! { "update": HOST_NODES, "updates": updates }, limit).await?;
        let records = self.owners(plugs.iter().map(|plug| plug.node), limit).await?;
        let won = |plug: &&Plug| {
            records
                .get(&plug.node)
                .is_some_and(|owner| owner.master == Some(master) && owner.epoch == plug.observed + 1)
        };
        Ok(plugs.iter().filter(won).map(|plug| plug.node).collect())
    }

    /// Notes that an agent was refused for its clock, if its node is not connected.
    pub async fn reject(
        &self,
        node: Id,
        connected_at: i64,
        refusal: &Refusal,
        limit: Duration,
    ) -> Result<(), Failure> {
        let set = doc! {
            "connected_at": DateTime::from_millis(connected_at), "connected": false, "updated": false,
            "websocket_connection": closed(false, refusal),
        };
        let filter = doc! { "_id": oid(node), "connected": { "$ne": true } };
        let update = doc! { "q": filter, "u": { "$set": set } };
        write(self.store.database(), doc! { "update": HOST_NODES, "updates": [update] }, limit)
            .await
            .map(drop)
    }

    /// Ends sessions of `master`.
    pub async fn unplug(&self, ended: &[Ended], master: HolderId, limit: Duration) -> Result<(), Failure> {
        let statement = |ended: &Ended| {
            let Ended { session, ending, close } = ended;
            let mut dates = doc! { "session_lost_at": true };
            let mut set = doc! { "websocket_connection": closed(true, close) };
            if *ending == Ending::Gone {
                set.insert("connected", false);
                dates.insert("disconnected_at", true);
            }
            doc! {
                "q": filter(*session, master),
                "u": { "$set": set, "$currentDate": dates, "$unset": { "master_id": "" } },
            }
        };
        let updates: Vec<Document> = ended.iter().map(statement).collect();
        if updates.is_empty() {
            return Ok(());
        }
        write_each(self.store.database(), doc! { "update": HOST_NODES, "updates": updates }, limit)
            .await
            .map(drop)
    }

    /// Notes that these nodes were heard of.
    pub async fn seen(&self, nodes: &[Id], master: HolderId, limit: Duration) -> Result<(), Failure> {
        let filter = doc! { "_id": { "$in": oids(nodes.iter().copied()) }, "master_id": stored_id(master) };
        let update = doc! { "q": filter, "u": { "$currentDate": { "last_seen_at": true } }, "multi": true };
        write(self.store.database(), doc! { "update": HOST_NODES, "updates": [update] }, limit)
            .await
            .map(drop)
    }

    /// What the records of these nodes say. Nodes without a record are missing.
    pub async fn records(&self, nodes: &[Id], limit: Duration) -> Result<HashMap<Id, Record>, Failure> {
        let filter = doc! { "_id": { "$in": oids(nodes.iter().copied()) } };
        let rows = self.find(filter, record_fields(), limit).await?;
        Ok(rows.iter().filter_map(|row| Some((row.id("_id")?, record(row)))).collect())
    }

    /// The same for one node, from a primary that made sure of being one.
    pub async fn record_for_certain(&self, node: Id, limit: Duration) -> Result<Option<Record>, Failure> {
        let filter = doc! { "_id": oid(node) };
        let row = find_first(self.store.database(), HOST_NODES, filter, "linearizable", limit).await?;
        Ok(row.as_ref().map(record))
    }

    /// Claims a session anew that was ended by mistake, under the next epoch; whether it did. Nobody else claimed it then.
    pub async fn reclaim(
        &self,
        session: Session,
        master: HolderId,
        limit: Duration,
    ) -> Result<bool, Failure> {
        let Session { node, epoch } = session;
        let update = doc! {
            "q": { "_id": oid(node), "session_epoch": epoch, "session_lost_at": { "$ne": Bson::Null } },
            "u": {
                "$set": {
                    "session_epoch": epoch + 1, "master_id": stored_id(master), "connected": true,
                    "websocket_connection": { "opened": true },
                },
                "$currentDate": { "last_seen_at": true },
                "$unset": { "session_lost_at": "" },
            },
        };
        let matched =
            write(self.store.database(), doc! { "update": HOST_NODES, "updates": [update] }, limit).await?;
        Ok(matched == 1)
    }

    /// Who holds the session of a node. None if there is no such node.
    pub async fn owner(&self, node: Id, limit: Duration) -> Result<Option<NodeOwner>, Failure> {
        Ok(self.owners([node], limit).await?.remove(&node))
    }

    /// The nodes of a grid that count as connected, with who holds their sessions.
    pub async fn connected_in(&self, grid: Id, limit: Duration) -> Result<Vec<(Id, NodeOwner)>, Failure> {
        let filter = doc! { "grid_id": oid(grid), "connected": true };
        let rows = self.find(filter, owner_fields(), limit).await?;
        Ok(rows.iter().filter_map(|row| Some((row.id("_id")?, owner(row)))).collect())
    }

    async fn owners(
        &self,
        nodes: impl IntoIterator<Item = Id>,
        limit: Duration,
    ) -> Result<HashMap<Id, NodeOwner>, Failure> {
        let filter = doc! { "_id": { "$in": oids(nodes) } };
        let rows = self.find(filter, owner_fields(), limit).await?;
        Ok(rows.iter().filter_map(|row| Some((row.id("_id")?, owner(row)))).collect())
    }

    /// The processes that hold sessions.
    pub async fn holders(&self, limit: Duration) -> Result<Vec<HolderId>, Failure> {
        let collection = self.store.database().collection::<Document>(HOST_NODES);
        let found =
            collection.distinct("master_id", doc! { "master_id": { "$gt": "" } }).max_time(limit).await?;
        Ok(found.iter().filter_map(|holder| holder.as_str()?.parse().ok()).collect())
    }

    /// At most `count` nodes that nobody holds: whose session was lost `grace` ago by the database's clock, those
    /// of `dead` masters, and those of an original master that were not seen for `stale`.
    pub async fn lost(
        &self,
        dead: &[HolderId],
        grace: Duration,
        stale: Duration,
        count: i64,
        limit: Duration,
    ) -> Result<Vec<LostNode>, Failure> {
        let dead: Vec<Bson> = dead.iter().copied().map(stored_id).collect();
        let filter = doc! { "$or": [
            { "$and": [{ "session_lost_at": { "$type": "date" } }, before("session_lost_at", grace)] },
            { "connected": true, "master_id": { "$in": dead } },
            { "$and": [
                { "connected": true, "master_id": Bson::Null, "session_lost_at": Bson::Null },
                { "last_seen_at": { "$type": "date" } },
                before("last_seen_at", stale),
            ] },
        ] };
        let collection = self.store.database().collection::<Document>(HOST_NODES);
        let rows = collection.find(filter).projection(doc! { "session_epoch": 1, "name": 1 });
        let rows: Vec<Document> = rows.limit(count).max_time(limit).await?.try_collect().await?;
        let lost = |row: &Document| {
            let epoch = integer(row, "session_epoch").unwrap_or(0);
            let session = Session { node: row.id("_id")?, epoch };
            Some(LostNode { session, name: row.text("name").unwrap_or_default() })
        };
        Ok(rows.iter().filter_map(lost).collect())
    }

    /// At most `count` sessions of `master` that were not heard of for `quiet` by the database's clock.
    pub async fn unseen(
        &self,
        master: HolderId,
        quiet: Duration,
        count: i64,
        limit: Duration,
    ) -> Result<Vec<Session>, Failure> {
        let filter = doc! { "$and": [
            { "master_id": stored_id(master) },
            before("last_seen_at", quiet),
        ] };
        let collection = self.store.database().collection::<Document>(HOST_NODES);
        let rows = collection.find(filter).projection(doc! { "session_epoch": 1 }).limit(count);
        let rows: Vec<Document> = rows.max_time(limit).await?.try_collect().await?;
        let session =
            |row: &Document| Some(Session { node: row.id("_id")?, epoch: integer(row, "session_epoch")? });
        Ok(rows.iter().filter_map(session).collect())
    }

    /// Ends the session of a lost node, unless it came back, and marks its containers as deleted.
    #[must_use]
    pub fn give_up(lost: &LostNode) -> [Effect; 2] {
        let Session { node, epoch } = lost.session;
        let node = oid(node);
        let now = DateTime::now();
        let change = doc! {
            "$set": { "connected": false, "disconnected_at": now },
            "$unset": { "master_id": "", "session_lost_at": "" },
        };
        let filter = doc! { "_id": node, "session_epoch": observed(epoch) };
        let containers =
            doc! { "host_node_id": node, "container_type": { "$ne": "volume" }, "deleted_at": Bson::Null };
        let deleted = doc! { "$set": { "deleted_at": now } };
        [
            Effect { collection: HOST_NODES, statement: Statement::Update { filter, change } },
            Effect {
                collection: CONTAINERS,
                statement: Statement::UpdateMany { filter: containers, change: deleted },
            },
        ]
    }
}

/// That a time lies `age` back by the database's clock.
fn before(field: &str, age: Duration) -> Document {
    doc! { "$expr": { "$lt": [format!("${field}"), { "$subtract": ["$$NOW", millis(age)] }] } }
}

fn plug_statement(plug: &Plug, master: HolderId) -> Document {
    let Plug { node, observed: epoch, connected_at, claim } = plug;
    let connected_at = DateTime::from_millis(*connected_at);
    // An agent makes one connection after the other. One that it made earlier and that comes only now, from a host
    // that was cut off, is dead, and must not supersede the one that lives.
    let latest =
        [doc! { "connected": { "$ne": true } }, doc! { "connected_at": { "$not": { "$gt": connected_at } } }];
    let mut filter = doc! { "_id": oid(*node), "session_epoch": observed(*epoch), "$or": latest };
    let mut set = doc! {
        "connected_at": connected_at, "connected": true, "updated": false,
        "websocket_connection": { "opened": true }, "master_id": stored_id(master), "session_epoch": epoch + 1,
    };
    let mut change = doc! {
        "$currentDate": { "last_seen_at": true },
        "$unset": { "session_lost_at": "" },
    };
    if let Some((node_id, version, labels)) = claim {
        filter.insert("node_id", Bson::Null);
        set.insert("node_id", node_id);
        set.insert("agent_version", version);
        change.insert("$addToSet", doc! { "labels": { "$each": labels } });
    }
    change.insert("$set", set);
    doc! { "q": filter, "u": change }
}

/// A record without an epoch never had a session of ours.
pub(super) fn observed(epoch: i64) -> Bson {
    if epoch == 0 { Bson::Document(doc! { "$in": [Bson::Null, 0_i64] }) } else { Bson::Int64(epoch) }
}

pub(super) fn filter(session: Session, master: HolderId) -> Document {
    let Session { node, epoch } = session;
    doc! { "_id": oid(node), "master_id": stored_id(master), "session_epoch": epoch }
}

fn closed(opened: bool, close: &Refusal) -> Document {
    let Refusal { code, reason } = close;
    doc! { "opened": opened, "close_code": i32::from(*code), "close_reason": reason }
}

fn owner_fields() -> Document {
    doc! { "master_id": 1, "session_epoch": 1, "connected": 1, "name": 1 }
}

fn owner(row: &Document) -> NodeOwner {
    NodeOwner {
        master: super::master(row),
        epoch: integer(row, "session_epoch").unwrap_or(0),
        connected: connected(row),
        name: row.text("name").unwrap_or_default(),
    }
}

fn record_fields() -> Document {
    doc! { "session_epoch": 1, "connected": 1, "session_lost_at": 1, "name": 1, "connected_at": 1, "master_id": 1 }
}

fn record(row: &Document) -> Record {
    let at = row.time("connected_at").map(DateTime::from_millis);
    let text = at.and_then(|at| at.try_to_rfc3339_string().ok()).unwrap_or_default();
    let seconds = text.split(['.', 'Z']).next().unwrap_or_default().replace('T', " ");
    Record {
        epoch: integer(row, "session_epoch").unwrap_or(0),
        master: super::master(row),
        connected: connected(row),
        orphaned: row.get_datetime("session_lost_at").is_ok(),
        name: row.text("name").unwrap_or_default(),
        connected_at: format!("{seconds} UTC"),
    }
}
