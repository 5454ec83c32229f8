//! `grid_service_deploys` and who carries them out (`claims.rs`).
//!
//! Whoever claims the deploys of a service raises its epoch and stamps its instances with it. Every batch of writes of
//! a deploy is a transaction that changes the claim under the own epoch: of an earlier claimer nothing takes effect.

mod claims;
mod events;
mod look;
mod progress;

use std::collections::{BTreeMap, BTreeSet};

use kontena_core::deploy::{DeployState, StepState};
use kontena_core::election::HolderId;
use kontena_core::id::Id;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, doc};
use serde_json::{Map, Value};

use crate::claims::unclaimed;
use crate::client::Store;
use crate::command::Failure;
use crate::document::{Read, oid, oids, whole};
use crate::grid_services::{SERVICES, deploying};
use crate::table::Table;
use crate::transaction::{Outcome, Write};

pub use events::DeployEvent;
pub use look::{Seen, Sight};
pub use progress::{Begin, DeployBatch, InstanceWrite, Progress, VolumePlace};

pub(crate) const DEPLOYS: &str = "grid_service_deploys";

/// The deploys of a service in one master's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whose deploys.
    pub service: Id,
    /// Rises with every claim.
    pub epoch: i64,
}

/// The deploy of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRow {
    /// Its id.
    pub id: Id,
    /// Counts from 1.
    pub number: i64,
    /// Where it goes.
    pub node: Id,
    /// How far it is.
    pub state: StepState,
    /// The session that was told.
    pub epoch: Option<i64>,
    /// What went wrong.
    pub error: Option<String>,
}

/// A deploy.
#[derive(Clone, Debug, PartialEq)]
pub struct DeployRow {
    /// Its id.
    pub id: Id,
    /// Of which service.
    pub service: Id,
    /// How far it is.
    pub state: DeployState,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub queued_at: Option<i64>,
    /// Milliseconds since 1970.
    pub started_at: Option<i64>,
    /// Milliseconds since 1970.
    pub finished_at: Option<i64>,
    /// What went wrong.
    pub reason: Option<String>,
    /// Instance by instance.
    pub steps: Vec<StepRow>,
    /// The service as it was when the deploy began.
    pub frozen: Option<Id>,
    /// The plan: a node or a reason for each instance, by number.
    pub plan: Vec<(i64, Result<Id, String>)>,
    /// Why each node was chosen or refused.
    pub report: Option<Map<String, Value>>,
    /// Why it is called off.
    pub cancelled: Option<String>,
}

/// A deploy that is to be carried out, and who has it in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenDeploy {
    /// Which.
    pub deploy: Id,
    /// Of which service.
    pub service: Id,
    /// The master that claimed the service.
    pub master: Option<HolderId>,
}

/// The collections.
#[derive(Clone, Debug)]
pub struct Deploys {
    store: Store,
}

impl Store {
    /// Deploys.
    #[must_use]
    pub fn deploys(&self) -> Deploys {
        Deploys { store: self.clone() }
    }
}

impl Deploys {
    fn rows(&self) -> Table {
        Table::new(self.store.database(), DEPLOYS)
    }

    /// Asks for a deploy of a service, which shall run from now on. `None` if the service is gone.
    pub async fn request(
        &self,
        service: Id,
        force: bool,
        instances: Option<i64>,
    ) -> Result<Option<DeployRow>, Failure> {
        let id = crate::document::fresh();
        let writes = requesting(id, service, force, instances);
        match self.store.transact(&writes).await? {
            Outcome::Unmatched => Ok(None),
            Outcome::Done => self.by_id(service, Id::from_bytes(id.bytes())).await,
        }
    }

    /// Those that belong to the deploy of a stack, the oldest first.
    pub async fn of_stack_deploy(&self, deploy: Id) -> Result<Vec<DeployRow>, Failure> {
        let rows = self.rows().all(doc! { "stack_deploy_id": oid(deploy) }, doc! { "_id": 1 }).await?;
        rows.iter().map(parse).collect()
    }

    /// Which of these services have a deploy that is not finished.
    pub async fn under_way(&self, services: &[Id]) -> Result<BTreeSet<Id>, Failure> {
        let filter = open_of(doc! { "grid_service_id": { "$in": oids(services.iter().copied()) } });
        let pipeline = vec![doc! { "$match": filter }, doc! { "$group": { "_id": "$grid_service_id" } }];
        Ok(self.rows().aggregate(pipeline).await?.iter().filter_map(|row| row.id("_id")).collect())
    }

    /// One of a service.
    pub async fn by_id(&self, service: Id, deploy: Id) -> Result<Option<DeployRow>, Failure> {
        let filter = doc! { "_id": oid(deploy), "grid_service_id": oid(service) };
        self.rows().one(filter).await?.as_ref().map(parse).transpose()
    }

    /// The latest of each of these services.
    pub async fn latest(&self, services: &[Id]) -> Result<BTreeMap<Id, DeployRow>, Failure> {
        let filter = doc! { "grid_service_id": { "$in": oids(services.iter().copied()) } };
        let pipeline = vec![
            doc! { "$match": filter },
            doc! { "$sort": { "_id": -1 } },
            doc! { "$group": { "_id": "$grid_service_id", "deploy": { "$first": "$$ROOT" } } },
        ];
        let rows = self.rows().aggregate(pipeline).await?;
        let found = rows.iter().filter_map(|row| row.get_document("deploy").ok());
        found.map(|row| parse(row).map(|deploy| (deploy.service, deploy))).collect()
    }

    /// All that are to be carried out, with who has them in hand.
    pub async fn open(&self) -> Result<Vec<OpenDeploy>, Failure> {
        let shown = doc! { "grid_service_id": 1, "created_at": 1 };
        let mut rows = self.rows().fields(open_of(doc! {}), doc! {}, shown).await?;
        rows.sort_by_key(|row| row.time("created_at"));
        let services: Vec<Id> = rows.iter().filter_map(|row| row.id("grid_service_id")).collect();
        if services.is_empty() {
            return Ok(Vec::new());
        }
        let masters = self.store.claims().holders(&services).await?;
        let open = |row: &Document| {
            let (deploy, service) = (row.id("_id")?, row.id("grid_service_id")?);
            Some(OpenDeploy {
                deploy,
                service,
                master: masters.get(&service).and_then(|(master, _)| *master),
            })
        };
        Ok(rows.iter().filter_map(open).collect())
    }

    /// Calls a deploy off: what is under way comes to its end, nothing more is begun. Whether it was not finished.
    pub async fn cancel(&self, service: Id, deploy: Id, why: &str) -> Result<bool, Failure> {
        let writes = [
            Write::Change {
                collection: DEPLOYS,
                filter: doc! { "_id": oid(deploy), "grid_service_id": oid(service), "finished_at": Bson::Null },
                change: doc! { "$set": { "cancel_reason": why }, "$currentDate": { "updated_at": true } },
            },
            unclaimed(&[service]),
        ];
        Ok(self.store.transact(&writes).await? == Outcome::Done)
    }
}

/// Which deploys of these services are to be carried out, or on. One that an original master had begun is nobody's, as
/// with the original itself: it had no plan from which to go on. If it is called off, it is ended.
pub(crate) fn open_of(mut services: Document) -> Document {
    services.insert("finished_at", Bson::Null);
    let abandoned =
        doc! { "started_at": { "$ne": Bson::Null }, "frozen_id": Bson::Null, "cancel_reason": Bson::Null };
    services.insert("$nor", [abandoned]);
    services
}

/// What asks for a deploy of a service.
pub(crate) fn requesting(id: ObjectId, service: Id, force: bool, instances: Option<i64>) -> [Write; 2] {
    [
        Write::Change {
            collection: SERVICES,
            filter: doc! { "_id": oid(service) },
            change: deploying(force, instances),
        },
        Write::Insert {
            collection: DEPLOYS,
            fields: doc! { "_id": id, "_deploy_state": "created", "grid_service_id": oid(service) },
        },
    ]
}

fn parse(row: &Document) -> Result<DeployRow, Failure> {
    let planned = |row: &&Document| {
        let node = row.id("host_node_id").ok_or_else(|| row.text_or_empty("error"));
        Some((row.whole("instance_number")?, node))
    };
    Ok(DeployRow {
        id: row.own_id()?,
        service: row.id("grid_service_id").ok_or_else(|| Failure::unknown("a deploy of no service"))?,
        state: DeployState::named(&row.text_or_empty("_deploy_state")),
        created_at: row.time("created_at").unwrap_or_default(),
        queued_at: row.time("queued_at"),
        started_at: row.time("started_at"),
        finished_at: row.time("finished_at"),
        reason: row.text("reason"),
        steps: row.documents("grid_service_instance_deploys").into_iter().filter_map(step).collect(),
        frozen: row.id("frozen_id"),
        plan: row.documents("plan").iter().filter_map(planned).collect(),
        report: row.get_document("report").is_ok().then(|| row.object("report")),
        cancelled: row.text("cancel_reason"),
    })
}

fn step(row: &Document) -> Option<StepRow> {
    let state = match (DeployState::named(&row.text_or_empty("_deploy_state")), row.id("stopping_on")) {
        (settled @ (DeployState::Success | DeployState::Error), _) => StepState::Settled(settled),
        (DeployState::Created | DeployState::Ongoing, Some(on)) => StepState::Stopping { on },
        (DeployState::Created | DeployState::Ongoing, None) => StepState::Applying,
    };
    Some(StepRow {
        id: row.id("_id")?,
        number: row.whole("instance_number")?,
        node: row.id("host_node_id")?,
        state,
        epoch: row.whole("session_epoch"),
        error: row.text("error"),
    })
}

fn step_document(step: &StepRow) -> Bson {
    let StepRow { id, number, node, state, epoch, error } = step;
    let (named, on) = match state {
        StepState::Stopping { on } => (DeployState::Ongoing, Some(*on)),
        StepState::Applying => (DeployState::Ongoing, None),
        StepState::Settled(state) => (*state, None),
    };
    let mut row = doc! {
        "_id": oid(*id), "_deploy_state": named.name(), "instance_number": whole(*number), "host_node_id": oid(*node),
    };
    if let Some(error) = error {
        row.insert("error", error);
    }
    if let Some(on) = on {
        row.insert("stopping_on", oid(on));
    }
    if let Some(epoch) = epoch {
        row.insert("session_epoch", *epoch);
    }
    row.into()
}
