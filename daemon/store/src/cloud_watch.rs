//! What happens to grids, services, nodes, users and containers, in the order in which it took effect, from a change
//! stream of the whole database that the server filters. Unlike hints it is complete: it goes on from any position that
//! the database remembers, and says so when it does not.

use std::time::Duration;

use kontena_core::id::Id;
use mongodb::bson::{Bson, Document, deserialize_from_bson, doc, serialize_to_bson};
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::event::ResumeToken;
use mongodb::error::{Error, ErrorKind};
use thiserror::Error as ThisError;
use tokio::sync::mpsc;

use crate::client::Store;
use crate::cloud::Token;
use crate::command::Failure;
use crate::containers::CONTAINERS;
use crate::document::Read;
use crate::grid_services::{self, SERVICES, ServiceRow};
use crate::grids::{self, GRIDS, GridRow};
use crate::host_nodes::{self, HOST_NODES, NodeDetails};
use crate::table::Table;
use crate::users::{self, ROLES, USERS, UserRow};

/// How long the server may hold a request for events back while there are none. After each, how far the stream has come
/// is known, though nothing happened.
const AWAIT: Duration = Duration::from_secs(5);
/// `ChangeStreamHistoryLost`, `ChangeStreamFatalError`, `InvalidResumeToken`, and a token of another format.
const LOST: [i32; 4] = [286, 280, 260, 50_795];

/// What changes of each collection are told, by the fields that clients see. Containers only make their services look
/// different.
const WATCHED: [(&str, &[&str]); 5] = [
    (GRIDS, &["name", "initial_size", "stats", "default_affinity", "trusted_subnets"]),
    (
        SERVICES,
        &[
            "image_name",
            "affinity",
            "name",
            "stateful",
            "user",
            "container_count",
            "cmd",
            "entrypoint",
            "net",
            "ports",
            "env",
            "secrets",
            "memory",
            "memory_swap",
            "cpu_shares",
            "volumes",
            "service_volumes",
            "volumes_from",
            "cap_add",
            "cap_drop",
            "state",
            "grid_service_links",
            "log_driver",
            "log_opts",
            "strategy",
            "deploy_opts",
            "pid",
            "hooks",
            "revision",
            "stack_revision",
            "health_check",
        ],
    ),
    (
        HOST_NODES,
        &[
            "node_id",
            "node_number",
            "name",
            "token",
            "connected",
            "updated",
            "availability",
            "connected_at",
            "disconnected_at",
            "os",
            "docker_root_dir",
            "driver",
            "kernel_version",
            "agent_version",
            "docker_version",
            "network_drivers",
            "volume_drivers",
            "labels",
            "mem_total",
            "mem_limit",
            "cpus",
            "public_ip",
            "private_ip",
        ],
    ),
    (USERS, &["email", "name", "role_ids", "grid_ids", "external_id"]),
    (CONTAINERS, &["state", "health_status", "deleted_at", "grid_service_id", "host_node_id"]),
];

/// Something that is there.
#[derive(Clone, Debug, PartialEq)]
pub enum Thing {
    /// A grid.
    Grid(Box<GridRow>),
    /// A service.
    Service(Box<ServiceRow>),
    /// A node, and its grid.
    Node(Box<NodeDetails>, Id),
    /// A user.
    User(Box<UserRow>),
}

/// Which kind of thing it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A grid.
    Grid,
    /// A service.
    Service,
    /// A node.
    Node,
    /// A user.
    User,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Happened {
    /// It was made, and looked like this.
    Made(Thing),
    /// It was changed, and looks like this now.
    Changed(Thing),
    /// It is gone.
    Gone(Kind),
    /// A container came or changed: of this service.
    Container(Id),
    /// A container is gone.
    ContainerGone,
}

/// One event: to which document, and what.
pub type CloudChange = (Id, Happened);

/// How far the stream has come, and what happened there, if that is anything to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// From here on it goes on.
    pub token: Token,
    /// What happened.
    pub change: Option<CloudChange>,
}

/// Why the stream is over.
#[derive(Clone, Debug, ThisError)]
pub enum WatchEnd {
    /// The database does not remember as far back as the position.
    #[error("the database does not remember as far back: {0}")]
    HistoryLost(String),
    /// It may be opened again.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl From<Error> for WatchEnd {
    fn from(error: Error) -> Self {
        match &*error.kind {
            ErrorKind::Command(command) if LOST.contains(&command.code) => {
                Self::HistoryLost(command.message.clone())
            }
            _ => Self::Failed(error.into()),
        }
    }
}

/// An open stream.
#[derive(Debug)]
pub struct CloudWatch {
    stream: ChangeStream<Document>,
    roles: Table,
}

impl CloudWatch {
    /// Opens a stream of what happens behind `token`, or from now on.
    pub async fn open(store: &Store, token: Option<&Token>) -> Result<Self, WatchEnd> {
        let resume: Option<ResumeToken> = match token {
            Some(Token(token)) => Some(
                deserialize_from_bson(token.clone())
                    .map_err(|error| WatchEnd::HistoryLost(error.to_string()))?,
            ),
            None => None,
        };
        let opened = store
            .database()
            .watch()
            .pipeline(pipeline())
            .full_document(mongodb::options::FullDocumentType::UpdateLookup)
            .max_await_time(AWAIT)
            .resume_after(resume)
            .await?;
        Ok(Self { stream: opened.with_type(), roles: Table::new(store.database(), ROLES) })
    }

    /// How far the stream has come. Not while it is read.
    pub fn token(&self) -> Result<Token, Failure> {
        let token =
            self.stream.resume_token().ok_or_else(|| Failure::unknown("the stream has no position"))?;
        serialize_to_bson(&token).map(Token).map_err(|error| Failure::unknown(error.to_string()))
    }

    /// Hands over what the stream tells, until nobody takes it any more or the stream is over; why is told last.
    pub async fn run(mut self, told: mpsc::Sender<Result<Told, WatchEnd>>) {
        loop {
            let next = self.next().await;
            let over = next.is_err();
            if told.send(next).await.is_err() || over {
                return;
            }
        }
    }

    async fn next(&mut self) -> Result<Told, WatchEnd> {
        // In one piece: how far the stream has come is not known while a request is under way.
        let Some(event) = self.stream.next_if_any().await? else {
            if !self.stream.is_alive() {
                return Err(Failure::unknown("the stream has ended").into());
            }
            return Ok(Told { token: self.token()?, change: None });
        };
        let token =
            event.get("_id").cloned().ok_or_else(|| Failure::unknown("an event without a position"))?;
        Ok(Told { token: Token(token), change: change(&self.roles, &event).await? })
    }
}

async fn change(roles: &Table, event: &Document) -> Result<Option<CloudChange>, Failure> {
    let collection = event.get_document("ns").map(|ns| ns.text_or_empty("coll")).unwrap_or_default();
    let Some(id) = event.get_document("documentKey").ok().and_then(|key| key.id("_id")) else {
        return Ok(None);
    };
    let operation = event.get_str("operationType").unwrap_or_default();
    if operation == "delete" {
        let gone = match collection.as_str() {
            GRIDS => Happened::Gone(Kind::Grid),
            SERVICES => Happened::Gone(Kind::Service),
            HOST_NODES => Happened::Gone(Kind::Node),
            USERS => Happened::Gone(Kind::User),
            _ => Happened::ContainerGone,
        };
        return Ok(Some((id, gone)));
    }
    // What was changed and is gone by now is told as that.
    let Ok(row) = event.get_document("fullDocument") else { return Ok(None) };
    if collection == CONTAINERS {
        return Ok(row.id("grid_service_id").map(|service| (id, Happened::Container(service))));
    }
    let thing = match collection.as_str() {
        GRIDS => grids::parse(row).map(|row| Thing::Grid(Box::new(row))),
        SERVICES => grid_services::parse(row).map(|row| Thing::Service(Box::new(row))),
        HOST_NODES => {
            let Some(grid) = row.id("grid_id") else { return Ok(None) };
            host_nodes::parse_details(row).map(|row| Thing::Node(Box::new(row), grid))
        }
        _ => {
            let roles = roles.all(doc! {}, doc! {}).await?;
            users::parse(row, &roles).map(|row| Thing::User(Box::new(row)))
        }
    };
    Ok(match thing {
        Ok(thing) if operation == "insert" => Some((id, Happened::Made(thing))),
        Ok(thing) => Some((id, Happened::Changed(thing))),
        Err(failure) => {
            tracing::warn!(%failure, collection, %id, "the cloud is not told of what is not understood");
            None
        }
    })
}

fn pipeline() -> Vec<Document> {
    let mut wanted: Vec<Document> = WATCHED
        .iter()
        .map(|(collection, fields)| {
            doc! { "ns.coll": collection, "operationType": "update", "$expr": touches(fields) }
        })
        .collect();
    let all: Vec<&str> = WATCHED.iter().map(|(collection, _)| *collection).collect();
    wanted.push(doc! {
        "ns.coll": { "$in": all }, "operationType": { "$in": ["insert", "replace", "delete"] },
    });
    let container = doc! { "$eq": ["$ns.coll", CONTAINERS] };
    let shown = doc! { "$cond": [container, { "grid_service_id": "$fullDocument.grid_service_id" }, "$fullDocument"] };
    vec![
        doc! { "$match": { "$or": wanted } },
        doc! { "$project": { "_id": 1, "ns.coll": 1, "operationType": 1, "documentKey": 1, "fullDocument": shown } },
    ]
}

/// Whether an update touched one of these fields, or anything inside of one.
fn touches(fields: &[&str]) -> Document {
    let description = |part: &str| doc! { "$ifNull": [format!("$updateDescription.{part}"), []] };
    let updated = doc! { "$objectToArray": { "$ifNull": ["$updateDescription.updatedFields", {}] } };
    let names = |of: Document, name: &str| doc! { "$map": { "input": of, "as": "touched", "in": name } };
    let paths: Vec<Bson> = vec![
        names(updated, "$$touched.k").into(),
        description("removedFields").into(),
        names(description("truncatedArrays"), "$$touched.field").into(),
    ];
    // An item of a list is named like `env.2`.
    let first = doc! { "$first": { "$split": ["$$path", "."] } };
    let touched = doc! { "$map": { "input": { "$concatArrays": paths }, "as": "path", "in": first } };
    doc! { "$gt": [{ "$size": { "$setIntersection": [touched, fields.to_vec()] } }, 0] }
}
