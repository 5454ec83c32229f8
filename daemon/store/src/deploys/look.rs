//! What carrying out a deploy looks at again and again; for many deploys together.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use kontena_core::deploy::{Host, Row};
use kontena_core::election::HolderId;
use kontena_core::id::Id;
use mongodb::bson::{DateTime, Document, doc};

use super::Deploys;
use crate::command::Failure;
use crate::document::{Read, oids};
use crate::host_nodes;
use crate::service_instances::INSTANCES;
use crate::table::Table;

/// What a deploy wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Of which service.
    pub service: Id,
    /// The nodes that it has to do with.
    pub nodes: Vec<Id>,
}

/// What it sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The instances of the service, by number, with their documents.
    pub instances: BTreeMap<i64, (Id, Row)>,
    /// What they are made of, as far as it was frozen. Of two with one number both count.
    pub frozen: BTreeSet<Id>,
    /// Those of the nodes that exist.
    pub hosts: BTreeMap<Id, Host>,
    /// Which masters hold the sessions of these nodes.
    pub owners: BTreeMap<Id, HolderId>,
}

type Instances = BTreeMap<i64, (Id, Row)>;
/// Instances, and what they are made of.
type Made = (Instances, BTreeSet<Id>);

impl Deploys {
    /// Looks, for each in their order.
    pub async fn look(&self, sights: &[Sight]) -> Result<Vec<Seen>, Failure> {
        let services: Vec<Id> = sights.iter().map(|sight| sight.service).collect();
        let nodes: BTreeSet<Id> = sights.iter().flat_map(|sight| sight.nodes.iter().copied()).collect();
        let (mut instances, nodes) =
            futures_util::try_join!(self.instances_of(&services), self.nodes(nodes))?;
        let seen = |sight: &Sight| {
            let concerned = sight.nodes.iter().filter_map(|id| Some((*id, nodes.get(id)?)));
            let (mut hosts, mut owners) = (BTreeMap::new(), BTreeMap::new());
            for (id, (host, owner)) in concerned {
                hosts.insert(id, host.clone());
                owners.extend(owner.map(|owner| (id, owner)));
            }
            let (instances, frozen) = instances.remove(&sight.service).unwrap_or_default();
            Seen { instances, frozen, hosts, owners }
        };
        Ok(sights.iter().map(seen).collect())
    }

    /// The instances of a service, by number. Of two with one number the older counts.
    pub async fn instances(&self, service: Id) -> Result<Instances, Failure> {
        Ok(self.instances_of(&[service]).await?.remove(&service).unwrap_or_default().0)
    }

    async fn instances_of(&self, services: &[Id]) -> Result<HashMap<Id, Made>, Failure> {
        let rows = Table::new(self.store.database(), INSTANCES);
        let shown = doc! {
            "grid_service_id": 1, "instance_number": 1, "host_node_id": 1, "desired_state": 1, "deploy_rev": 1, "rev": 1,
            "state": 1, "error": 1, "frozen_id": 1,
        };
        let filter = doc! { "grid_service_id": { "$in": oids(services.iter().copied()) } };
        let mut rows = rows.fields(filter, doc! {}, shown).await?;
        // The oldest comes last, and stays.
        rows.sort_by_key(|row| std::cmp::Reverse(row.id("_id")));
        let mut found: HashMap<Id, Made> = HashMap::new();
        for row in &rows {
            let Some(service) = row.id("grid_service_id") else { continue };
            let (instances, frozen) = found.entry(service).or_default();
            frozen.extend(row.id("frozen_id"));
            if let (Some(number), Some(id)) = (row.whole("instance_number"), row.id("_id")) {
                instances.insert(number, (id, instance(row)));
            }
        }
        Ok(found)
    }

    async fn nodes(&self, nodes: BTreeSet<Id>) -> Result<HashMap<Id, (Host, Option<HolderId>)>, Failure> {
        if nodes.is_empty() {
            return Ok(HashMap::new());
        }
        let table = Table::new(self.store.database(), "host_nodes");
        // Its agent was heard of at the latest when its session ended.
        let heard = doc! { "$max": ["$last_seen_at", "$session_lost_at", DateTime::from_millis(0)] };
        let away = doc! { "$subtract": ["$$NOW", heard] };
        let shown = doc! { "connected": 1, "session_epoch": 1, "master_id": 1, "away": away };
        let rows = table.fields(doc! { "_id": { "$in": oids(nodes) } }, doc! {}, shown).await?;
        let node = |row: &Document| {
            let connected = row.flag("connected").unwrap_or_default();
            let owner = host_nodes::master(row);
            let away = row.whole("away").and_then(|away| u64::try_from(away).ok()).unwrap_or(0);
            let away = Duration::from_millis(away);
            Some((row.id("_id")?, (Host { connected, away, epoch: row.whole("session_epoch") }, owner)))
        };
        Ok(rows.iter().filter_map(node).collect())
    }
}

fn instance(row: &Document) -> Row {
    Row {
        node: row.id("host_node_id"),
        desired_state: row.text("desired_state").unwrap_or_else(|| "initialized".to_owned()),
        deploy_rev: row.text("deploy_rev"),
        rev: row.text("rev"),
        state: row.text("state").unwrap_or_else(|| "initialized".to_owned()),
        error: row.text("error"),
    }
}
