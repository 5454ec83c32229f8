//! The deploys and removals of stacks as they are carried out: what is known of one stack, and the moves that change
//! it. Each move is one transaction with the claim, and takes effect only if nobody moved since the look.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use kontena_core::deploy::DeployState;
use kontena_core::election::HolderId;
use kontena_core::id::Id;
use kontena_core::stack::{Member, MemberDeploy};
use mongodb::bson::{Bson, Document, doc};

use super::{DEPLOYS, REVISIONS, STACKS, Stacks};
use crate::claims::STACK_CLAIMS;
use crate::command::Failure;
use crate::deploys::requesting;
use crate::document::{Read, fresh, oid, oids};
use crate::grid_services::{SERVICES, removing, turning};
use crate::transaction::{Outcome, Write};

/// A stack in one master's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackClaim {
    /// Which.
    pub stack: Id,
    /// Rises with every claim.
    pub epoch: i64,
}

/// A stack with something to be carried out, and who has it in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenStack {
    /// Which.
    pub stack: Id,
    /// The master that claimed it.
    pub master: Option<HolderId>,
}

/// The deploy of a stack that is next to be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextDeploy {
    /// Which.
    pub id: Id,
    /// Whether it has begun.
    pub begun: bool,
    /// The services of the revision that is deployed.
    pub wanted: Vec<String>,
    /// Those of the latest revision.
    pub latest: Vec<String>,
    /// What of them was asked to be deployed.
    pub deploys: BTreeMap<Id, MemberDeploy>,
}

/// What is known of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackLook {
    /// Its grid.
    pub grid: Id,
    /// `grid/stack`.
    pub path: String,
    /// Whether it is to be removed, and then whether its services were told to stop.
    pub removal: Option<bool>,
    /// Why its removal waits.
    pub blocked: Option<String>,
    /// Its services, the oldest first.
    pub members: Vec<Member>,
    /// The oldest deploy that is not over.
    pub deploy: Option<NextDeploy>,
    moves: i64,
    /// The stack as it was seen before anything else of it.
    edits: Bson,
}

/// One move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StackMove {
    /// A deploy begins.
    Begin {
        /// Which.
        deploy: Id,
    },
    /// A service is asked to be deployed.
    Deploy {
        /// By which deploy.
        deploy: Id,
        /// Which service.
        service: Id,
    },
    /// A service that the stack has no more is removed.
    Drop {
        /// By which deploy.
        deploy: Id,
        /// Which service.
        service: Id,
    },
    /// A deploy is over.
    End {
        /// Which.
        deploy: Id,
        /// How it went.
        outcome: Result<(), String>,
    },
    /// All services of a stack that is to be removed are told to stop.
    Stop {
        /// They.
        services: Vec<Id>,
    },
    /// A service of a stack that is to be removed is removed.
    Remove {
        /// Which service.
        service: Id,
    },
    /// The removal waits.
    Blocked {
        /// Why.
        why: String,
    },
    /// The stack itself is removed.
    Finish,
}

impl Stacks {
    /// The stacks with something to be carried out.
    pub async fn open(&self) -> Result<Vec<OpenStack>, Failure> {
        let deploys = self.table(DEPLOYS).all(unfinished(), doc! { "_id": 1 }).await?;
        let removals =
            self.table(STACKS).all(doc! { "removal.asked_at": { "$exists": true } }, doc! {}).await?;
        let mut stacks: Vec<Id> = deploys.iter().filter_map(|row| row.id("stack_id")).collect();
        stacks.extend(removals.iter().filter_map(|row| row.id("_id")));
        if stacks.is_empty() {
            return Ok(Vec::new());
        }
        stacks.sort_unstable();
        stacks.dedup();
        let masters = self.store.stack_claims().holders(&stacks).await?;
        let open =
            |stack: Id| OpenStack { stack, master: masters.get(&stack).and_then(|(master, _)| *master) };
        Ok(stacks.into_iter().map(open).collect())
    }

    /// Who has a stack in hand, and under which epoch.
    pub async fn claimed(&self, stack: Id) -> Result<(Option<HolderId>, i64), Failure> {
        Ok(self.store.stack_claims().holders(&[stack]).await?.remove(&stack).unwrap_or_default())
    }

    /// Claims a stack that was seen claimed under `seen`. `None` if somebody else was faster.
    pub async fn claim(&self, stack: Id, seen: i64, me: HolderId) -> Result<Option<StackClaim>, Failure> {
        let taken = self.store.stack_claims().take(&BTreeMap::from([(stack, seen)]), me).await?;
        Ok(taken.get(&stack).map(|epoch| StackClaim { stack, epoch: *epoch }))
    }

    /// Gives a claim back.
    pub async fn release(&self, claim: StackClaim) -> Result<(), Failure> {
        self.store.stack_claims().release([(claim.stack, claim.epoch)].into_iter()).await
    }

    /// What is known of a stack; `None` if it is gone, or nothing of it is to be carried out.
    pub async fn look(&self, stack: Id) -> Result<Option<StackLook>, Failure> {
        // What is read after this may be newer, and then a move that follows from it is in vain.
        let moves = self.store.stack_claims().moves(stack).await?;
        let Some(row) = self.table(STACKS).one(doc! { "_id": oid(stack) }).await? else { return Ok(None) };
        let mut filter = unfinished();
        filter.insert("stack_id", oid(stack));
        let deploys = self.table(DEPLOYS).some(filter, doc! { "created_at": 1, "_id": 1 }, 1).await?;
        let removal = row.get_document("removal").ok();
        if removal.is_none() && deploys.is_empty() {
            return Ok(None);
        }
        let grid = row.id("grid_id").ok_or_else(|| Failure::unknown("a stack of no grid"))?;
        let grids = self.store.grids().names([grid]).await?;
        // Before the latest revision: what is there belongs to none that is later than that.
        let members = self.members(grid, stack).await?;
        let deploy = match deploys.first() {
            Some(deploy) => Some(self.next_deploy(stack, deploy).await?),
            None => None,
        };
        let named = grids.get(&grid).map_or("", String::as_str);
        Ok(Some(StackLook {
            grid,
            path: format!("{named}/{}", row.text_or_empty("name")),
            removal: removal.map(|removal| removal.flag("stopped").unwrap_or_default()),
            blocked: removal.and_then(|removal| removal.text("blocked")),
            members,
            deploy,
            moves,
            edits: row.get("edits").cloned().unwrap_or(Bson::Null),
        }))
    }

    async fn next_deploy(&self, stack: Id, row: &Document) -> Result<NextDeploy, Failure> {
        let id = row.own_id()?;
        let of_stack = doc! { "stack_id": oid(stack) };
        let deployed = doc! { "stack_id": oid(stack), "revision": row.get("stack_revision").cloned() };
        let revisions = self.table(REVISIONS);
        let (revision, latest) = futures_util::try_join!(
            revisions.one(deployed),
            revisions.some(of_stack, doc! { "revision": -1 }, 1)
        )?;
        let services = |revision: Option<&Document>| -> Vec<String> {
            let services = revision.map(|revision| revision.documents("services")).unwrap_or_default();
            services.iter().filter_map(|row| row.text("name")).collect()
        };
        let pipeline = vec![
            doc! { "$match": { "stack_deploy_id": oid(id) } },
            doc! { "$project": {
                "grid_service_id": 1, "_deploy_state": 1, "finished_at": 1, "reason": 1,
                "age": { "$toLong": { "$subtract": ["$$NOW", { "$ifNull": ["$created_at", "$$NOW"] }] } },
            } },
        ];
        let deploys = self.table(crate::deploys::DEPLOYS).aggregate(pipeline).await?;
        let deploy = |row: &Document| {
            let age = row.whole("age").and_then(|age| u64::try_from(age).ok()).unwrap_or(0);
            let deploy = MemberDeploy {
                state: DeployState::named(&row.text_or_empty("_deploy_state")),
                finished: row.time("finished_at").is_some(),
                reason: row.text("reason"),
                age: Duration::from_millis(age),
            };
            Some((row.id("grid_service_id")?, deploy))
        };
        Ok(NextDeploy {
            id,
            begun: DeployState::named(&row.text_or_empty("_deploy_state")) == DeployState::Ongoing,
            wanted: services(revision.as_ref()),
            latest: services(latest.first()),
            deploys: deploys.iter().filter_map(deploy).collect(),
        })
    }

    /// The services of a stack, with who links to them.
    pub async fn members(&self, grid: Id, stack: Id) -> Result<Vec<Member>, Failure> {
        let services = self.table(SERVICES);
        let own = doc! { "grid_id": oid(grid), "stack_id": oid(stack) };
        let rows = services.all(own, doc! { "_id": 1 }).await?;
        let ids: Vec<Id> = rows.iter().filter_map(|row| row.id("_id")).collect();
        let mut users: HashMap<Id, Vec<(Id, String)>> = HashMap::new();
        if !ids.is_empty() {
            let linking = doc! { "grid_service_links.linked_grid_service_id": { "$in": oids(ids) } };
            let linking = services.all(linking, doc! { "_id": 1 }).await?;
            let stacks = linking.iter().filter_map(|row| row.id("stack_id"));
            let stacks = self.store.service_references().stack_names(stacks).await?;
            for row in &linking {
                let Some(user) = row.id("_id") else { continue };
                let named = row.id("stack_id").and_then(|stack| stacks.get(&stack));
                let path = format!("{}/{}", named.map_or("null", String::as_str), row.text_or_empty("name"));
                for target in links(row) {
                    let users = users.entry(target).or_default();
                    if users.iter().all(|(known, _)| *known != user) {
                        users.push((user, path.clone()));
                    }
                }
            }
        }
        let mut member = |row: &Document| {
            let id = row.id("_id")?;
            let users = users.remove(&id).unwrap_or_default();
            Some(Member { id, name: row.text_or_empty("name"), links: links(row), users })
        };
        Ok(rows.iter().filter_map(&mut member).collect())
    }

    /// Makes a move that follows from a look. False if somebody moved since, or the claim is another's.
    pub async fn make(&self, claim: StackClaim, look: &StackLook, step: &StackMove) -> Result<bool, Failure> {
        let StackClaim { stack, epoch } = claim;
        let mut claimed = doc! { "$inc": { "n": 1 } };
        if matches!(step, StackMove::End { .. } | StackMove::Blocked { .. }) {
            claimed.insert("$set", doc! { "master": Bson::Null });
        }
        let seen = doc! { "_id": oid(stack), "epoch": epoch, "n": look.moves };
        let mut writes = vec![match step {
            StackMove::Finish => Write::Remove { collection: STACK_CLAIMS, filter: seen },
            _ => Write::Change { collection: STACK_CLAIMS, filter: seen, change: claimed },
        }];
        let of_stack = || doc! { "stack_id": oid(stack) };
        let wanted = doc! { "_id": oid(stack), "removal": { "$exists": true } };
        let removal = |set: Document| {
            let change = doc! { "$inc": { "removal.moves": 1 }, "$set": set };
            Write::Change { collection: STACKS, filter: wanted.clone(), change }
        };
        match step {
            StackMove::Begin { deploy } => {
                writes.push(progress(*deploy, doc! { "_deploy_state": DeployState::Ongoing.name() }));
            }
            StackMove::Deploy { deploy, service } => {
                writes.push(progress(*deploy, doc! {}));
                let mut asked = requesting(fresh(), *service, false, None);
                for write in &mut asked {
                    if let Write::Insert { fields, .. } = write {
                        fields.insert("stack_deploy_id", oid(*deploy));
                    }
                }
                writes.extend(asked);
            }
            StackMove::Drop { deploy, service } => {
                writes.push(progress(*deploy, doc! {}));
                // A later revision may have it again: not if the stack was changed since. And who changes the stack at
                // the same time counts on a service that goes.
                writes.push(Write::Change {
                    collection: STACKS,
                    filter: doc! { "_id": oid(stack), "edits": look.edits.clone() },
                    change: doc! { "$inc": { "edits": Bson::Int64(1) } },
                });
                writes.extend(removing(*service));
            }
            StackMove::End { deploy, outcome } => {
                let state = if outcome.is_ok() { DeployState::Success } else { DeployState::Error };
                let mut set = doc! { "_deploy_state": state.name() };
                if let Err(reason) = outcome {
                    set.insert("reason", reason);
                }
                writes.push(progress(*deploy, set));
            }
            StackMove::Stop { services } => {
                writes.push(removal(doc! { "removal.stopped": true }));
                let stopped = doc! { "$set": { "state": "stopped" } };
                let filter = doc! { "_id": { "$in": oids(services.iter().copied()) } };
                writes.push(Write::ChangeAll { collection: SERVICES, filter, change: stopped });
                writes.extend(turning(services, "stopped"));
            }
            StackMove::Remove { service } => {
                writes.push(removal(doc! { "removal.stopped": true }));
                writes.extend(removing(*service));
            }
            StackMove::Blocked { why } => writes.push(removal(doc! { "removal.blocked": why })),
            StackMove::Finish => {
                writes.push(Write::Remove { collection: STACKS, filter: wanted.clone() });
                writes.push(Write::RemoveAll { collection: REVISIONS, filter: of_stack() });
                writes.push(Write::RemoveAll { collection: DEPLOYS, filter: of_stack() });
            }
        }
        Ok(self.store.transact(&writes).await? == Outcome::Done)
    }
}

fn unfinished() -> Document {
    let open = [DeployState::Created.name(), DeployState::Ongoing.name()];
    doc! { "_deploy_state": { "$in": open.to_vec() }, "stack_revision": { "$exists": true } }
}

fn progress(deploy: Id, set: Document) -> Write {
    let mut filter = unfinished();
    filter.insert("_id", oid(deploy));
    let mut change = doc! { "$currentDate": { "updated_at": true } };
    if !set.is_empty() {
        change.insert("$set", set);
    }
    Write::Change { collection: DEPLOYS, filter, change }
}

fn links(row: &Document) -> Vec<Id> {
    row.documents("grid_service_links").iter().filter_map(|link| link.id("linked_grid_service_id")).collect()
}
