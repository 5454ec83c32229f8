//! `volumes`: what is declared. Where they are is in `volume_instances`.

use kontena_core::id::Id;
use kontena_core::input::NewVolume;
use mongodb::bson::{Document, doc};
use serde_json::{Map, Value};

use crate::client::Store;
use crate::command::Failure;
use crate::document::{Read, from_json, oid};
use crate::table::Table;
use crate::transaction::{Outcome, Write};
use crate::volume_instances::VOLUME_INSTANCES;

const VOLUMES: &str = "volumes";

/// A volume.
#[derive(Clone, Debug, PartialEq)]
pub struct VolumeRow {
    /// Its id.
    pub id: Id,
    /// Unique in its grid.
    pub name: String,
    /// `instance`, `stack` or `grid`.
    pub scope: String,
    /// Of the engine.
    pub driver: String,
    /// Of the driver.
    pub driver_opts: Map<String, Value>,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub updated_at: i64,
}

/// The collection.
#[derive(Clone, Debug)]
pub struct Volumes {
    store: Store,
    rows: Table,
    places: Table,
}

impl Store {
    /// Volumes.
    #[must_use]
    pub fn volumes(&self) -> Volumes {
        let table = |name| Table::new(self.database(), name);
        Volumes { store: self.clone(), rows: table(VOLUMES), places: table(VOLUME_INSTANCES) }
    }
}

impl Volumes {
    /// All of a grid, the oldest first.
    pub async fn of_grid(&self, grid: Id) -> Result<Vec<VolumeRow>, Failure> {
        let rows = self.rows.all(doc! { "grid_id": oid(grid) }, doc! { "_id": 1 }).await?;
        rows.iter().map(parse).collect()
    }

    /// One by its name.
    pub async fn by_name(&self, grid: Id, name: &str) -> Result<Option<VolumeRow>, Failure> {
        let filter = doc! { "grid_id": oid(grid), "name": name };
        self.rows.one(filter).await?.as_ref().map(parse).transpose()
    }

    /// Declares a volume; [`Failure::Duplicate`] if the name is taken.
    pub async fn create(&self, grid: Id, volume: &NewVolume) -> Result<VolumeRow, Failure> {
        let NewVolume { name, scope, driver, driver_opts } = volume;
        // In a database with old duplicates there is no index to refuse it.
        if self.by_name(grid, name).await?.is_some() {
            return Err(Failure::Duplicate);
        }
        let opts: Document =
            driver_opts.iter().map(|(key, value)| (key.replace('.', "|"), from_json(value))).collect();
        let fields = doc! {
            "driver_opts": opts, "name": name, "scope": scope, "driver": driver, "grid_id": oid(grid),
        };
        parse(&self.rows.insert(fields).await?)
    }

    /// Removes a volume with its places, of which the nodes are returned: a place without its volume would fail all
    /// volumes of its node. `None` if there was none.
    pub async fn remove(&self, volume: Id) -> Result<Option<Vec<Id>>, Failure> {
        let of_volume = doc! { "volume_id": oid(volume) };
        let places = self.places.all(of_volume.clone(), doc! {}).await?;
        let writes = [
            Write::Remove { collection: VOLUMES, filter: doc! { "_id": oid(volume) } },
            Write::RemoveAll { collection: VOLUME_INSTANCES, filter: of_volume },
        ];
        let mut nodes: Vec<Id> = places.iter().filter_map(|place| place.id("host_node_id")).collect();
        nodes.sort_unstable();
        nodes.dedup();
        Ok((self.store.transact(&writes).await? == Outcome::Done).then_some(nodes))
    }
}

fn parse(row: &Document) -> Result<VolumeRow, Failure> {
    let created_at = row.time("created_at").unwrap_or_default();
    let opts = row.object("driver_opts");
    Ok(VolumeRow {
        id: row.own_id()?,
        name: row.text_or_empty("name"),
        scope: row.text_or_empty("scope"),
        driver: row.text_or_empty("driver"),
        driver_opts: opts.into_iter().map(|(key, value)| (key.replace('|', "."), value)).collect(),
        created_at,
        updated_at: row.time("updated_at").unwrap_or(created_at),
    })
}
