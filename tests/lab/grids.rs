//! Grids for simulated agents, and what the database says of their nodes.

use anyhow::{Result, anyhow, bail};
use kontena_core::id::Id;
use kontena_core::input::NewGrid;
use kontena_store::{CommandCounter, DatabaseUri, MadeGrid, Purpose, Store};
use kontena_testkit::agent::Grid;
use kontena_testkit::mongod::ReplicaSet;
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};
use secrecy::SecretString;
use serde_json::Map;

/// No user.
const NOBODY: Id = Id::from_bytes([0; 12]);
/// As many nodes as a grid can have.
const NODES_MAX: usize = 254;

/// The database, through our own store and as it is.
pub(crate) struct Grids {
    store: Store,
    database: Database,
}

impl Grids {
    pub(crate) async fn open(set: &ReplicaSet, name: &str) -> Result<Self> {
        let uri = set.uri(name);
        let secret = DatabaseUri::from(SecretString::from(uri.as_str()));
        let store = Store::open(&secret, Purpose::Main, &CommandCounter::default()).await?;
        let database = mongodb::Client::with_uri_str(&uri).await?.database(name);
        Ok(Self { store, database })
    }

    /// As few grids as hold so many agents.
    pub(crate) async fn create(&self, agents: usize) -> Result<Vec<Grid>> {
        self.create_many(agents.div_ceil(NODES_MAX).max(1)).await
    }

    /// So many grids.
    pub(crate) async fn create_many(&self, count: usize) -> Result<Vec<Grid>> {
        let wanted = NewGrid::read(&Map::new()).map_err(|fault| anyhow!("{fault:?}"))?;
        let mut grids = Vec::new();
        for number in 1..=count {
            let token = format!("lab-grid-token-{number}");
            let name = format!("grid-{number}");
            match self.store.grids().create(&wanted, &name, &token, NOBODY).await? {
                MadeGrid::Made(_) => {}
                other => bail!("{name} was not made: {other:?}"),
            }
            grids.push(Grid { token });
        }
        Ok(grids)
    }

    pub(crate) async fn count(&self, collection: &str, filter: Document) -> Result<u64> {
        Ok(self.database.collection::<Document>(collection).count_documents(filter).await?)
    }

    pub(crate) fn collection(&self, name: &str) -> mongodb::Collection<Document> {
        self.database.collection(name)
    }

    /// Nodes that are connected and have reported, to one of these masters.
    pub(crate) async fn online(&self, masters: &[String]) -> Result<u64> {
        let filter = doc! { "connected": true, "updated": true, "master_id": { "$in": masters.to_vec() } };
        self.count("host_nodes", filter).await
    }

    /// Containers that count as deleted, and all.
    pub(crate) async fn containers(&self) -> Result<(u64, u64)> {
        let deleted = self.count("containers", doc! { "deleted_at": { "$ne": Bson::Null } }).await?;
        Ok((deleted, self.count("containers", doc! {}).await?))
    }
}
