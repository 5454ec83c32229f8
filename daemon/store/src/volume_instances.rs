//! Which volume has a place on which node: `volume_instances`, with what engines and people must know of it.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::TryStreamExt;
use kontena_core::id::Id;
use kontena_wire::agent::VolumeState;
use mongodb::Database;
use mongodb::bson::{Bson, DateTime, Document, doc};

use crate::command::{Failure, find_first, write};
use crate::document::{Read, oid, oids};
use crate::host_nodes::HOST_NODES;
use crate::service_instances::certain;
use crate::service_references::named;
use crate::table::Table;

pub(crate) const VOLUME_INSTANCES: &str = "volume_instances";
const VOLUMES: &str = "volumes";

/// A volume as its node must have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedVolume {
    /// Its place on the node.
    pub instance: Id,
    /// The node.
    pub node: Id,
    /// The volume.
    pub volume: Id,
    /// Its name in the engine.
    pub name: String,
    /// The driver, with its version behind a colon if the node told one.
    pub driver: String,
    /// The driver's options.
    pub options: Vec<(String, String)>,
}

/// A volume on a node, as people read of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeInstance {
    /// Its name in the engine.
    pub name: String,
    /// The node's name.
    pub node: String,
}

/// The collection.
#[derive(Clone, Debug)]
pub struct VolumeInstances {
    database: Database,
}

impl VolumeInstances {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// All volumes of these nodes, from a primary that made sure of being one: what is missing in the answer
    /// will be removed. A place whose volume is gone is an error.
    pub async fn of_nodes(&self, nodes: &[Id], limit: Duration) -> Result<Vec<PlacedVolume>, Failure> {
        let filter = doc! { "host_node_id": { "$in": oids(nodes.iter().copied()) } };
        let places = certain(&self.database, VOLUME_INSTANCES, filter, limit).await?;
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Id> = places.iter().filter_map(|place| place.id("volume_id")).collect();
        let volumes = self.find(VOLUMES, doc! { "_id": { "$in": oids(ids) } }, limit).await?;
        let volumes: HashMap<Id, &Document> =
            volumes.iter().filter_map(|volume| Some((volume.id("_id")?, volume))).collect();
        let nodes: Vec<Id> = places.iter().filter_map(|place| place.id("host_node_id")).collect();
        let drivers = self.drivers(nodes, limit).await?;
        let row = |place: &Document| {
            let (node, volume) = (place.id("host_node_id")?, place.id("volume_id")?);
            let definition = volumes.get(&volume)?;
            let driver = definition.text("driver")?;
            let version = drivers.get(&node).and_then(|drivers| drivers.get(&driver));
            let options = definition.get_document("driver_opts").ok();
            let option = |(key, value): (&String, &Bson)| {
                Some((key.replace('|', "."), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            };
            Some(PlacedVolume {
                instance: place.id("_id")?,
                node,
                volume,
                name: place.text("name")?,
                driver: version.map_or_else(|| driver.clone(), |version| format!("{driver}:{version}")),
                options: options
                    .map(|options| options.iter().filter_map(option).collect())
                    .unwrap_or_default(),
            })
        };
        let rows: Option<Vec<PlacedVolume>> = places.iter().map(row).collect();
        rows.ok_or_else(|| {
            Failure::unknown("a volume on a node is not understood, or its definition is gone")
        })
    }

    /// Where volumes are, by volume, the oldest places first. What was on a node that is gone is gone.
    pub async fn of_volumes(&self, volumes: &[Id]) -> Result<HashMap<Id, Vec<VolumeInstance>>, Failure> {
        let table = |name| Table::new(&self.database, name);
        let filter = doc! { "volume_id": { "$in": oids(volumes.iter().copied()) } };
        let places = table(VOLUME_INSTANCES).all(filter, doc! { "_id": 1 }).await?;
        let nodes =
            named(&table(HOST_NODES), places.iter().filter_map(|place| place.id("host_node_id"))).await?;
        let mut found: HashMap<Id, Vec<VolumeInstance>> = HashMap::new();
        for place in &places {
            let node = place.id("host_node_id").and_then(|id| nodes.get(&id));
            if let (Some(volume), Some(node)) = (place.id("volume_id"), node) {
                let instance = VolumeInstance { name: place.text_or_empty("name"), node: node.clone() };
                found.entry(volume).or_default().push(instance);
            }
        }
        Ok(found)
    }

    /// Notes that a managed volume exists on a node of this grid, under the id that it carries there. False if the grid
    /// has no such volume: of another's an agent must learn nothing.
    pub async fn set_state(
        &self,
        (grid, node): (Id, Id),
        state: &VolumeState,
        limit: Duration,
    ) -> Result<bool, Failure> {
        let VolumeState { name, volume_id, volume_instance_id } = state;
        let (Ok(volume), Ok(instance)) = (volume_id.parse::<Id>(), volume_instance_id.parse::<Id>()) else {
            return Ok(false);
        };
        let volume = oid(volume);
        let own = doc! { "_id": volume, "grid_id": oid(grid) };
        if find_first(&self.database, VOLUMES, own, "local", limit).await?.is_none() {
            return Ok(false);
        }
        let now = DateTime::now();
        let place = doc! {
            "name": name, "host_node_id": oid(node), "volume_id": volume, "updated_at": now,
            "created_at": now,
        };
        let update = doc! {
            "q": { "_id": oid(instance) }, "u": { "$setOnInsert": place }, "upsert": true,
        };
        write(&self.database, doc! { "update": VOLUME_INSTANCES, "updates": [update] }, limit).await?;
        Ok(true)
    }

    /// The versions of the volume drivers of these nodes, by name.
    async fn drivers(
        &self,
        nodes: Vec<Id>,
        limit: Duration,
    ) -> Result<HashMap<Id, HashMap<String, String>>, Failure> {
        let filter = doc! { "_id": { "$in": oids(nodes) } };
        let rows = self.find(HOST_NODES, filter, limit).await?;
        let drivers = |row: &Document| {
            row.documents("volume_drivers")
                .into_iter()
                .filter_map(|driver| Some((driver.text("name")?, driver.text("version")?)))
                .collect()
        };
        Ok(rows.iter().filter_map(|row| Some((row.id("_id")?, drivers(row)))).collect())
    }

    async fn find(&self, name: &str, filter: Document, limit: Duration) -> Result<Vec<Document>, Failure> {
        Ok(self.database.collection(name).find(filter).max_time(limit).await?.try_collect().await?)
    }
}
