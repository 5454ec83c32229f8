//! `grids`, with what every grid owns from the start: the network `kontena` and the stack `null`.

use std::collections::HashMap;

use kontena_core::id::Id;
use kontena_core::input::{GridChange, LogForwarding, NewGrid, Statsd};
use mongodb::bson::{Bson, Document, doc};

use crate::client::Store;
use crate::command::Failure;
use crate::document::{Read, fresh, object_from_json, oid, oids, whole};
use crate::table::Table;
use crate::transaction::{Outcome, Write};
use crate::users::USERS;

pub(crate) const GRIDS: &str = "grids";
/// What goes with a grid. Nodes and services keep it from going.
const OWNED: [&str; 9] = [
    "acme_orders",
    "certificates",
    "containers",
    "grid_domain_authorizations",
    "grid_secrets",
    "networks",
    "registries",
    "stacks",
    "volumes",
];

const KEEPERS: [&str; 2] = ["grid_services", "host_nodes"];

/// A grid.
#[derive(Clone, Debug, PartialEq)]
pub struct GridRow {
    /// Its id.
    pub id: Id,
    /// Unique.
    pub name: String,
    /// With which agents join.
    pub token: String,
    /// How many nodes keep the grid's state.
    pub initial_size: i64,
    /// Where statistics go.
    pub statsd: Option<Statsd>,
    /// For services without an affinity.
    pub default_affinity: Vec<String>,
    /// Between which nodes traffic is not encrypted.
    pub trusted_subnets: Vec<String>,
    /// Of the containers.
    pub subnet: String,
    /// Of the agents' own containers too.
    pub supernet: String,
    /// Where logs go.
    pub logs: Option<LogForwarding>,
    /// Its users.
    pub members: Vec<Id>,
}

/// How much is in a grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GridCounts {
    /// Nodes, connected or not.
    pub nodes: u64,
    /// Services.
    pub services: u64,
    /// Containers that are not deleted, volume containers aside.
    pub containers: u64,
}

/// How the making of a grid went.
#[derive(Clone, Debug, PartialEq)]
pub enum MadeGrid {
    /// It is there.
    Made(Box<GridRow>),
    /// Another has its name.
    NameTaken,
    /// Another has its token.
    TokenTaken,
}

/// The collection.
#[derive(Clone, Debug)]
pub struct Grids {
    store: Store,
    grids: Table,
}

impl Store {
    /// Grids.
    #[must_use]
    pub fn grids(&self) -> Grids {
        Grids { store: self.clone(), grids: Table::new(self.database(), GRIDS) }
    }
}

impl Grids {
    /// All grids, or those with these ids; the oldest first.
    pub async fn list(&self, of: Option<&[Id]>) -> Result<Vec<GridRow>, Failure> {
        let filter = of.map_or_else(|| doc! {}, |ids| doc! { "_id": { "$in": oids(ids.iter().copied()) } });
        self.grids.all(filter, doc! { "_id": 1 }).await?.iter().map(parse).collect()
    }

    /// A grid by its name.
    pub async fn by_name(&self, name: &str) -> Result<Option<GridRow>, Failure> {
        self.grids.one(doc! { "name": name }).await?.as_ref().map(parse).transpose()
    }

    /// A grid by the token that its agents join with.
    pub async fn by_token(&self, token: &str) -> Result<Option<GridRow>, Failure> {
        self.grids.one(doc! { "token": token }).await?.as_ref().map(parse).transpose()
    }

    /// The grids of these tokens, by them.
    pub async fn by_tokens(&self, tokens: &[&str]) -> Result<HashMap<String, GridRow>, Failure> {
        let rows = self.grids.all(doc! { "token": { "$in": tokens.to_vec() } }, doc! {}).await?;
        rows.iter().map(|row| parse(row).map(|grid| (grid.token.clone(), grid))).collect()
    }

    /// The grids of these ids, by them.
    pub async fn by_ids(&self, ids: &[Id]) -> Result<HashMap<Id, GridRow>, Failure> {
        Ok(self.list(Some(ids)).await?.into_iter().map(|grid| (grid.id, grid)).collect())
    }

    /// The names of grids.
    pub async fn names(&self, ids: impl IntoIterator<Item = Id>) -> Result<HashMap<Id, String>, Failure> {
        let rows = self.grids.all(doc! { "_id": { "$in": oids(ids) } }, doc! {}).await?;
        Ok(rows.iter().filter_map(|row| Some((row.id("_id")?, row.text("name")?))).collect())
    }

    /// How much is in each grid. Three questions, however many grids there are.
    pub async fn counts(&self, grids: &[Id]) -> Result<HashMap<Id, GridCounts>, Failure> {
        let ids = || oids(grids.iter().copied());
        let by_grid = |filter: Document| {
            vec![doc! { "$match": filter }, doc! { "$group": { "_id": "$grid_id", "n": { "$sum": 1 } } }]
        };
        let all = || by_grid(doc! { "grid_id": { "$in": ids() } });
        let alive =
            by_grid(doc! { "grid_id": { "$in": ids() }, "deleted_at": null, "container_type": "container" });
        let table = |name| Table::new(self.store.database(), name);
        let (nodes, services, containers) =
            (table("host_nodes"), table("grid_services"), table("containers"));
        let (nodes, services, containers) = futures_util::try_join!(
            nodes.aggregate(all()),
            services.aggregate(all()),
            containers.aggregate(alive),
        )?;
        let mut counts: HashMap<Id, GridCounts> =
            grids.iter().map(|id| (*id, GridCounts::default())).collect();
        let mut add = |rows: Vec<Document>, place: fn(&mut GridCounts) -> &mut u64| {
            for row in rows {
                if let Some(counted) = row.id("_id").and_then(|id| counts.get_mut(&id)) {
                    *place(counted) = row.whole("n").and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
                }
            }
        };
        add(nodes, |counts| &mut counts.nodes);
        add(services, |counts| &mut counts.services);
        add(containers, |counts| &mut counts.containers);
        Ok(counts)
    }

    /// Makes a grid with its network and stack, and its creator a member.
    pub async fn create(
        &self,
        grid: &NewGrid,
        name: &str,
        token: &str,
        creator: Id,
    ) -> Result<MadeGrid, Failure> {
        let id = fresh();
        let NewGrid {
            name: _,
            token: _,
            initial_size,
            subnet,
            supernet,
            default_affinity,
            trusted_subnets,
            statsd,
            logs,
        } = grid;
        let mut fields = doc! {
            "_id": id,
            "initial_size": whole(*initial_size),
            "trusted_subnets": trusted_subnets,
            "stats": stats(statsd.as_ref()),
            "default_affinity": default_affinity,
            "subnet": subnet,
            "supernet": supernet,
            "name": name,
            "token": token,
            "user_ids": [oid(creator)],
        };
        if let Some(logs) = logs {
            fields.insert("grid_logs_opts", forwarding(logs));
        }
        let network = doc! {
            "name": "kontena", "subnet": subnet, "multicast": true, "internal": false, "grid_id": id,
        };
        let membership = doc! { "$addToSet": { "grid_ids": id }, "$currentDate": { "updated_at": true } };
        let writes = [
            Write::Insert { collection: GRIDS, fields },
            Write::Insert { collection: "networks", fields: network },
            Write::Insert {
                collection: "stacks",
                fields: doc! { "labels": [], "name": "null", "grid_id": id },
            },
            Write::ChangeAll { collection: USERS, filter: doc! { "_id": oid(creator) }, change: membership },
        ];
        match self.store.transact(&writes).await {
            Ok(_) => {}
            Err(Failure::Duplicate) if self.grids.one(doc! { "name": name }).await?.is_some() => {
                return Ok(MadeGrid::NameTaken);
            }
            Err(Failure::Duplicate) => return Ok(MadeGrid::TokenTaken),
            Err(failure) => return Err(failure),
        }
        let made = self.by_name(name).await?;
        made.map(|made| MadeGrid::Made(Box::new(made)))
            .ok_or_else(|| Failure::unknown("the grid was removed while it was made"))
    }

    /// Changes what is given. `None` if the grid is gone.
    pub async fn update(&self, grid: Id, change: &GridChange) -> Result<Option<GridRow>, Failure> {
        let GridChange { default_affinity, trusted_subnets, statsd, logs } = change;
        let (mut set, mut unset) = (doc! {}, doc! {});
        if let Some(affinity) = default_affinity {
            set.insert("default_affinity", affinity);
        }
        if let Some(subnets) = trusted_subnets {
            set.insert("trusted_subnets", subnets);
        }
        if let Some(statsd) = statsd {
            set.insert("stats", stats(statsd.as_ref()));
        }
        match logs {
            Some(Some(logs)) => {
                set.insert("grid_logs_opts", forwarding(logs));
            }
            Some(None) => {
                unset.insert("grid_logs_opts", "");
            }
            None => {}
        }
        let mut change = doc! {};
        if !set.is_empty() {
            change.insert("$set", set);
        }
        if !unset.is_empty() {
            change.insert("$unset", unset);
        }
        self.grids.change(doc! { "_id": oid(grid) }, change).await?.as_ref().map(parse).transpose()
    }

    /// Removes a grid with all it owns. Whether it was there.
    pub async fn remove(&self, grid: Id) -> Result<bool, Failure> {
        let grid = oid(grid);
        let mut writes = vec![
            Write::Remove { collection: GRIDS, filter: doc! { "_id": grid } },
            Write::ChangeAll {
                collection: USERS,
                filter: doc! { "grid_ids": grid },
                change: doc! { "$pull": { "grid_ids": grid } },
            },
        ];
        writes.extend(
            OWNED.map(|collection| Write::RemoveAll { collection, filter: doc! { "grid_id": grid } }),
        );
        if self.store.transact(&writes).await? != Outcome::Done {
            return Ok(false);
        }
        // What would have kept the grid, and was made since that was looked for. Whoever makes it later than this
        // finds the grid gone.
        for keeper in KEEPERS {
            let rows = self.store.database().collection::<Document>(keeper);
            rows.delete_many(doc! { "grid_id": grid }).await?;
        }
        Ok(true)
    }
}

fn stats(statsd: Option<&Statsd>) -> Document {
    statsd.map_or_else(
        || doc! {},
        |Statsd { server, port }| doc! { "statsd": { "server": server, "port": whole(*port) } },
    )
}

fn forwarding(LogForwarding { forwarder, opts }: &LogForwarding) -> Document {
    doc! { "_id": fresh(), "forwarder": forwarder, "opts": object_from_json(opts) }
}

pub(crate) fn parse(row: &Document) -> Result<GridRow, Failure> {
    let statsd = row.get_document("stats").and_then(|stats| stats.get_document("statsd")).ok();
    let logs = row.get_document("grid_logs_opts").ok();
    let or = |key: &str, default: &str| row.text(key).unwrap_or_else(|| default.to_owned());
    Ok(GridRow {
        id: row.own_id()?,
        name: row.text_or_empty("name"),
        token: row.text_or_empty("token"),
        initial_size: row.whole("initial_size").unwrap_or(1),
        statsd: statsd.and_then(|statsd| {
            // Old command lines stored the port as text.
            let port =
                statsd.whole("port").or_else(|| statsd.get("port").and_then(Bson::as_str)?.parse().ok());
            Some(Statsd { server: statsd.text("server")?, port: port? })
        }),
        default_affinity: row.texts("default_affinity"),
        trusted_subnets: row.texts("trusted_subnets"),
        subnet: or("subnet", "10.81.0.0/16"),
        supernet: or("supernet", "10.80.0.0/12"),
        logs: logs.and_then(|logs| {
            Some(LogForwarding { forwarder: logs.text("forwarder")?, opts: logs.object("opts") })
        }),
        members: row.ids("user_ids"),
    })
}
