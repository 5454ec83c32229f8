//! Each duty's work: how it is made, and by which change it shows that it was done.

use std::future::{Ready, ready};

use anyhow::Result;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document, doc};

use crate::store::Outside;

/// When a duty is caught.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    /// At the begin of a reign, since it runs seldom.
    Reign,
    /// While a reign lasts: soon after its work was made.
    Change,
}

/// Which documents of a collection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    /// The one that was made.
    Made,
    /// Any.
    Any,
}

impl Which {
    pub(super) fn is(self, found: &Bson, made: &Bson) -> bool {
        match self {
            Self::Made => found == made,
            Self::Any => true,
        }
    }
}

type Make = for<'a> fn(&'a Outside) -> BoxFuture<'a, Result<Bson>>;

/// One duty.
pub(super) struct Row {
    pub(super) duty: &'static str,
    pub(super) start: Start,
    /// Collection, kind of change, and of which documents.
    pub(super) shows: (&'static str, &'static str, Which),
    /// Whether every leader does it for itself, or again and again.
    pub(super) repeats: bool,
    pub(super) make: Make,
}

const fn row(
    duty: &'static str,
    start: Start,
    shows: (&'static str, &'static str, Which),
    make: Make,
) -> Row {
    Row { duty, start, shows, repeats: false, make }
}

const fn repeated(mut row: Row) -> Row {
    row.repeats = true;
    row
}

use Start::{Change, Reign};
use Which::{Any, Made};

pub(super) const DUTIES: &[Row] = &[
    row("seeding", Reign, ("roles", "insert", Any), |outside| role(outside).boxed()),
    repeated(row("history", Reign, ("leader_history", "insert", Any), |_| nothing().boxed())),
    row("masters", Change, ("masters", "delete", Made), |outside| master(outside).boxed()),
    repeated(row("original_lock", Reign, ("distributed_locks", "update", Any), |_| nothing().boxed())),
    row("sessions", Change, ("host_nodes", "update", Made), |outside| lost_node(outside).boxed()),
    row("containers", Reign, ("containers", "delete", Made), |outside| container(outside).boxed()),
    row("ephemeral_nodes", Reign, ("host_nodes", "delete", Made), |outside| old_node(outside).boxed()),
    row("rescheduling", Change, ("grid_service_deploys", "insert", Any), |outside| service(outside).boxed()),
    row("deploy_records", Reign, ("grid_service_deploys", "delete", Made), |outside| {
        deploys(outside).boxed()
    }),
    row("leftovers", Reign, ("volume_instances", "delete", Made), |outside| place(outside).boxed()),
    row("certificates", Reign, ("certificates", "update", Made), |outside| certificate(outside).boxed()),
    // Its other steps need an authority: `tests/api/certificates/losses.rs`.
    row("acme", Change, ("acme_orders", "delete", Made), |outside| orphan(outside).boxed()),
];

fn nothing() -> Ready<Result<Bson>> {
    ready(Ok(Bson::Null))
}

/// So many minutes ago.
fn ago(minutes: i64) -> DateTime {
    DateTime::from_millis(DateTime::now().timestamp_millis() - minutes * 60_000)
}

async fn put(outside: &Outside, collection: &str, document: Document) -> Result<Bson> {
    Ok(outside.collection(collection).insert_one(document).await?.inserted_id)
}

async fn never_ran(outside: &Outside, duty: &str) -> Result<()> {
    outside.collection("duty_schedules").delete_one(doc! { "_id": duty }).await?;
    Ok(())
}

async fn grid(outside: &Outside) -> Result<ObjectId> {
    let id = ObjectId::new();
    let name = format!("grid-{id}");
    let grid = doc! { "_id": id, "name": &name, "token": &name, "initial_size": 1, "default_affinity": [] };
    put(outside, "grids", grid).await?;
    Ok(id)
}

async fn a_service(outside: &Outside, state: &str) -> Result<(ObjectId, ObjectId)> {
    let grid = grid(outside).await?;
    let (stack, service) = (ObjectId::new(), ObjectId::new());
    put(outside, "stacks", doc! { "_id": stack, "grid_id": grid, "name": "null" }).await?;
    let document = doc! {
        "_id": service, "grid_id": grid, "stack_id": stack, "name": "web", "image_name": "busybox:latest",
        "stateful": false, "state": state, "container_count": 1, "strategy": "ha", "revision": 2,
        "deployed_at": ago(60), "updated_at": ago(30), "created_at": ago(90),
    };
    put(outside, "grid_services", document).await?;
    Ok((grid, service))
}

async fn role(outside: &Outside) -> Result<Bson> {
    let removed = outside.collection("roles").delete_one(doc! { "name": "user_admin" }).await?;
    anyhow::ensure!(removed.deleted_count == 1, "there was no such role");
    Ok(Bson::Null)
}

/// One that ended long ago.
async fn master(outside: &Outside) -> Result<Bson> {
    let id = format!("{:0>32}", ObjectId::new().to_hex());
    let row = doc! {
        "_id": id, "name": "former", "url": "http://127.0.0.1:1", "version": "0", "fingerprint": "",
        "seq": 1_i64, "started_at": ago(300), "seen_at": ago(120), "ended": true, "eligible": true,
    };
    put(outside, "masters", row).await
}

async fn node(outside: &Outside, fields: Document) -> Result<Bson> {
    let mut node = doc! {
        "grid_id": grid(outside).await?, "name": "node-9", "node_number": 9, "updated": true,
        "session_epoch": 1_i64, "last_seen_at": ago(7 * 60),
    };
    node.extend(fields);
    put(outside, "host_nodes", node).await
}

async fn lost_node(outside: &Outside) -> Result<Bson> {
    node(outside, doc! { "connected": true, "session_lost_at": ago(1) }).await
}

async fn old_node(outside: &Outside) -> Result<Bson> {
    never_ran(outside, "ephemeral_nodes").await?;
    node(outside, doc! { "connected": false, "labels": ["ephemeral"] }).await
}

async fn container(outside: &Outside) -> Result<Bson> {
    let container = doc! { "name": "old", "container_type": "container", "deleted_at": ago(5) };
    put(outside, "containers", container).await
}

/// One that was changed after it was deployed.
async fn service(outside: &Outside) -> Result<Bson> {
    let (grid, _) = a_service(outside, "running").await?;
    let seen = doc! { "$set": { "default_affinity": ["label!=none"] } };
    outside.collection("grids").update_one(doc! { "_id": grid }, seen).await?;
    Ok(Bson::Null)
}

/// One more than is kept. Returns the oldest.
async fn deploys(outside: &Outside) -> Result<Bson> {
    let (_, service) = a_service(outside, "stopped").await?;
    let deploys = (0..101).map(|number| {
        doc! {
            "grid_service_id": service, "_deploy_state": "success", "created_at": ago(1000 - number),
            "finished_at": ago(1000 - number),
        }
    });
    let made = outside.collection("grid_service_deploys").insert_many(deploys).await?;
    Ok(made.inserted_ids.get(&0).cloned().unwrap_or_default())
}

/// Of a volume on a node, of which neither is there.
async fn place(outside: &Outside) -> Result<Bson> {
    // What is young is left alone.
    let seconds = u32::try_from(ago(5).timestamp_millis() / 1000)?;
    let id = ObjectId::from_parts(seconds, rand::random(), rand::random());
    let place =
        doc! { "_id": id, "name": "data", "volume_id": ObjectId::new(), "host_node_id": ObjectId::new() };
    put(outside, "volume_instances", place).await
}

/// An order whose grid is gone.
async fn orphan(outside: &Outside) -> Result<Bson> {
    let order = doc! {
        "grid_id": ObjectId::new(), "slot": ObjectId::new().to_hex(), "domains": ["gone.example.com"],
        "goal": "issue", "state": "wanted", "directory": "https://127.0.0.1:1/directory", "asked_at": ago(1),
    };
    put(outside, "acme_orders", order).await
}

async fn certificate(outside: &Outside) -> Result<Bson> {
    never_ran(outside, "certificates").await?;
    let certificate = doc! {
        "grid_id": grid(outside).await?, "subject": "shop.example.org", "valid_until": ago(-60 * 24),
        "certificate": "", "chain": "", "encrypted_private_key": "",
    };
    put(outside, "certificates", certificate).await
}
