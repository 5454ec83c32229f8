//! What leaders leave to their successors about the link to Kontena Cloud: `cloud {_id: "position"}`, how far events
//! were told, `cloud {_id: "link"}`, what the link was last, and `cloud_names {_id: document}`, by what names the cloud
//! knows things, since a deletion tells no more than an id. All is written behind the fence.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::TryStreamExt;
use kontena_core::election::Term;
use kontena_core::id::Id;
use kontena_wire::cluster::CloudState;
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};

use crate::client::Store;
use crate::command::{Failure, counter, find_first, stored};
use crate::document::{Read, oid, oids};
use crate::effect::{Effect, Statement};

pub(crate) const CLOUD: &str = "cloud";
pub(crate) const NAMES: &str = "cloud_names";
const POSITION: &str = "position";
const LINK: &str = "link";
/// For naming everything that there is, once.
const FILL_LIMIT: Duration = Duration::from_secs(60);

/// A place in the database's stream of changes, which only the database understands.
#[derive(Clone, Debug, PartialEq)]
pub struct Token(pub(crate) Bson);

/// How far the cloud has heard, as it stands in the database.
#[derive(Clone, Debug, PartialEq)]
pub struct Position {
    /// Rises with each write, so that a plan that was made from an older one is refused.
    revision: u64,
    /// Everything up to here is confirmed.
    pub token: Token,
    /// How many events behind it may have been told already. They will be told again.
    pub open: u64,
    /// How many events were confirmed so far.
    pub events: u64,
    /// How many events were told again that may have been heard already.
    pub repeated: u64,
    /// How often the database did not remember as far back as this.
    pub gaps: u64,
    /// When it was written, in milliseconds since 1970.
    pub at: Option<i64>,
}

impl Position {
    /// Where events begin when there is no position yet.
    #[must_use]
    pub fn first(token: Token) -> Self {
        Self { revision: 0, token, open: 0, events: 0, repeated: 0, gaps: 0, at: None }
    }

    /// The next position, and what makes it so. Fails as stale unless this one is in force.
    #[must_use]
    pub fn moved(&self, to: Self) -> (Self, Effect) {
        let next = Self { revision: self.revision + 1, at: None, ..to };
        let Self { revision, token, open, events, repeated, gaps, at: _ } = &next;
        let set = doc! {
            "revision": stored(*revision), "token": token.0.clone(), "open": stored(*open),
            "events": stored(*events), "repeated": stored(*repeated), "gaps": stored(*gaps),
        };
        let statement = if self.revision == 0 {
            // There is none, else its id is taken.
            let mut fields = set;
            fields.insert("_id", POSITION);
            Statement::Insert(fields)
        } else {
            let filter = doc! { "_id": POSITION, "revision": stored(self.revision) };
            Statement::Update { filter, change: doc! { "$set": set, "$currentDate": { "at": true } } }
        };
        (next, Effect { collection: CLOUD, statement })
    }

    /// Whether it does not stand in the database yet.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.revision == 0
    }

    /// Whether it is the `wanted` one.
    #[must_use]
    pub fn is(&self, wanted: &Self) -> bool {
        self.revision == wanted.revision && self.token == wanted.token && self.open == wanted.open
    }
}

/// The link, as a leader noted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudLink {
    /// What it is.
    pub state: CloudState,
    /// Why, or to where.
    pub why: String,
    /// The name of the leader.
    pub master: String,
    /// Its term.
    pub term: Term,
    /// How many links were made so far.
    pub links: u64,
    /// Milliseconds since 1970, by the database's clock; not written.
    pub since: Option<i64>,
}

impl CloudLink {
    /// What notes it.
    #[must_use]
    pub fn note(&self) -> Effect {
        let Self { state, why, master, term, links, since: _ } = self;
        let literal = |text: &str| doc! { "$literal": text };
        let pipeline = vec![doc! { "$set": {
            "state": state.name(), "why": literal(why), "master": literal(master), "term": stored(term.0),
            "links": stored(*links), "since": "$$NOW",
        } }];
        Effect { collection: CLOUD, statement: Statement::Compute { filter: doc! { "_id": LINK }, pipeline } }
    }
}

/// By which names the cloud knows a thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// As it is called in the API.
    pub path: String,
    /// Its own name.
    pub name: Option<String>,
    /// Of a user.
    pub email: Option<String>,
    /// The name of the grid that it is in.
    pub grid: Option<String>,
    /// Of a container: the service that it belongs to.
    pub service: Option<Id>,
}

impl Names {
    /// What keeps them for the time when the thing is gone.
    #[must_use]
    pub fn keep(&self, of: Id) -> Effect {
        let Self { path, name, email, grid, service } = self;
        let fields = doc! {
            "path": path, "name": name, "email": email, "grid": grid, "service": service.map(oid),
        };
        let pipeline = vec![doc! { "$set": { "names": { "$literal": fields } } }];
        Effect {
            collection: NAMES,
            statement: Statement::Compute { filter: doc! { "_id": oid(of) }, pipeline },
        }
    }

    /// What forgets them.
    #[must_use]
    pub fn forget(of: Id) -> Effect {
        Effect { collection: NAMES, statement: Statement::Delete { filter: doc! { "_id": oid(of) } } }
    }
}

/// The collections.
#[derive(Clone, Debug)]
pub struct CloudRecords {
    database: Database,
}

impl Store {
    /// What is kept about the link to Kontena Cloud.
    #[must_use]
    pub fn cloud(&self) -> CloudRecords {
        CloudRecords { database: self.database().clone() }
    }
}

impl CloudRecords {
    /// How far the cloud has heard.
    pub async fn position(&self, limit: Duration) -> Result<Option<Position>, Failure> {
        let row = find_first(&self.database, CLOUD, doc! { "_id": POSITION }, "local", limit).await?;
        row.map(|row| {
            let count = |key: &str| counter(&row, key);
            let broken = || Failure::unknown("the position of the cloud's events is not understood");
            Ok(Position {
                revision: count("revision").ok_or_else(broken)?,
                token: Token(row.get("token").cloned().ok_or_else(broken)?),
                open: count("open").unwrap_or(0),
                events: count("events").unwrap_or(0),
                repeated: count("repeated").unwrap_or(0),
                gaps: count("gaps").unwrap_or(0),
                at: row.time("at"),
            })
        })
        .transpose()
    }

    /// What removes the position: the link is not wanted any more, and what happens until it is again is nobody's
    /// business.
    #[must_use]
    pub fn forget_position() -> Effect {
        Effect { collection: CLOUD, statement: Statement::Delete { filter: doc! { "_id": POSITION } } }
    }

    /// The link, as a leader noted it last.
    pub async fn link(&self, limit: Duration) -> Result<Option<CloudLink>, Failure> {
        let row = find_first(&self.database, CLOUD, doc! { "_id": LINK }, "local", limit).await?;
        Ok(row.and_then(|row| {
            Some(CloudLink {
                state: CloudState::from_name(row.get_str("state").ok()?)?,
                why: row.text_or_empty("why"),
                master: row.text_or_empty("master"),
                term: Term(counter(&row, "term").unwrap_or(0)),
                links: counter(&row, "links").unwrap_or(0),
                since: row.time("since"),
            })
        }))
    }

    /// The names of things, also of those that are gone.
    pub async fn names(&self, of: &[Id], limit: Duration) -> Result<HashMap<Id, Names>, Failure> {
        if of.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = self.database.collection::<Document>(NAMES);
        let filter = doc! { "_id": { "$in": oids(of.iter().copied()) } };
        let rows: Vec<Document> = rows.find(filter).max_time(limit).await?.try_collect().await?;
        let names = |row: &Document| {
            let names = row.get_document("names").ok()?;
            let names = Names {
                path: names.text_or_empty("path"),
                name: names.text("name"),
                email: names.text("email"),
                grid: names.text("grid"),
                service: names.id("service"),
            };
            Some((row.id("_id")?, names))
        };
        Ok(rows.iter().filter_map(names).collect())
    }

    /// Keeps the names of all there is, once, when events begin. Not behind the fence: it says the same whoever says
    /// it, of ids that are never given again.
    pub async fn fill_names(&self) -> Result<(), Failure> {
        let looked_up = |from: &str, by: &str| {
            doc! { "$lookup": { "from": from, "localField": by, "foreignField": "_id", "as": from } }
        };
        let of = |list: &str| doc! { "$ifNull": [{ "$first": format!("${list}.name") }, null] };
        let stack = || doc! { "$ifNull": [{ "$first": "$stacks.name" }, "null"] };
        let grid = || doc! { "$ifNull": [{ "$first": "$grids.name" }, ""] };
        let with_service = doc! { "$match": { "grid_service_id": { "$type": "objectId" } } };
        let sources: [(&str, Vec<Document>, Document); 5] = [
            ("grids", vec![], doc! { "path": "$name", "name": "$name", "grid": "$name" }),
            (
                "grid_services",
                vec![looked_up("grids", "grid_id"), looked_up("stacks", "stack_id")],
                doc! {
                    "path": { "$concat": [grid(), "/", stack(), "/", { "$ifNull": ["$name", ""] }] },
                    "name": "$name", "grid": of("grids"),
                },
            ),
            (
                "host_nodes",
                vec![looked_up("grids", "grid_id")],
                doc! {
                    "path": { "$concat": [grid(), "/", { "$ifNull": ["$name", ""] }] },
                    "name": "$name", "grid": of("grids"),
                },
            ),
            ("users", vec![], doc! { "path": { "$toString": "$_id" }, "name": "$name", "email": "$email" }),
            ("containers", vec![with_service], doc! { "path": "", "service": "$grid_service_id" }),
        ];
        for (collection, mut pipeline, names) in sources {
            pipeline.push(doc! { "$project": { "names": names } });
            pipeline.push(doc! { "$merge": {
                "into": NAMES, "on": "_id", "whenMatched": "replace", "whenNotMatched": "insert",
            } });
            let rows = self.database.collection::<Document>(collection);
            let _none: Vec<Document> =
                rows.aggregate(pipeline).max_time(FILL_LIMIT).await?.try_collect().await?;
        }
        Ok(())
    }
}
