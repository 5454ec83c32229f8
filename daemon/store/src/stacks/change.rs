//! Stacks as they are made, changed and asked to be deployed or removed: each in one transaction with its services.

use kontena_core::id::Id;
use kontena_core::input::{NewService, NewStack, ServiceChange, StackDefinition};
use mongodb::bson::{Bson, Document, doc};

use super::{DEPLOYS, REVISIONS, STACKS, StackRevision, StackRow, StackRun, Stacks};
use super::{revision_document, says_the_same};
use crate::command::Failure;
use crate::document::{Read, fresh, oid, whole};
use crate::grid_services::{Resolved, SERVICES, as_seen, differing, document};
use crate::table::Table;
use crate::transaction::{Outcome, Write};

/// A service of a stack that is yet to be made.
#[derive(Clone, Debug)]
pub struct NewMember {
    /// The id that it gets; others may link to it.
    pub id: Id,
    /// What it shall be.
    pub service: NewService,
    /// What it refers to.
    pub resolved: Resolved,
}

/// A service of a stack that is there.
#[derive(Clone, Debug)]
pub struct ChangedMember {
    /// Its id.
    pub id: Id,
    /// What is given of it.
    pub change: ServiceChange,
    /// What that refers to.
    pub resolved: Resolved,
}

impl Stacks {
    /// Makes a stack with its services; [`Failure::Duplicate`] if the grid has one of that name.
    pub async fn create(
        &self,
        grid: Id,
        stack: &NewStack,
        members: &[NewMember],
    ) -> Result<StackRow, Failure> {
        let NewStack { name, parent, labels, definition } = stack;
        let id = Self::fresh_id();
        let fields = doc! {
            "_id": oid(id), "labels": labels.clone().unwrap_or_default(), "name": name,
            "parent_name": parent.as_deref().map_or(Bson::Null, Bson::from), "grid_id": oid(grid),
        };
        let first = StackRevision { revision: 1, created_at: 0, definition: definition.clone() };
        let mut writes = vec![
            Write::Insert { collection: STACKS, fields },
            Write::Insert { collection: REVISIONS, fields: revision_document(id, name, &first) },
        ];
        writes.extend(self.insertions(grid, id, members).await?.map(|(_, write)| write));
        self.store.transact(&writes).await?;
        self.named(grid, name)
            .await?
            .ok_or_else(|| Failure::unknown("the stack was removed while it was made"))
    }

    /// Changes a stack that was seen so, with its `latest` revision. What it consists of makes a new revision if that is
    /// something else, and then its new services are made. False if somebody changed it meanwhile.
    pub async fn update(
        &self,
        seen: &StackRow,
        latest: Option<&StackRevision>,
        (definition, labels): (&StackDefinition, Option<&[String]>),
        members: &[NewMember],
    ) -> Result<bool, Failure> {
        let same = latest.is_some_and(|latest| says_the_same(&latest.definition, definition));
        let mut set = doc! {};
        if let Some(labels) = labels {
            set.insert("labels", labels.to_vec());
        }
        let mut writes = vec![edit(seen, set)];
        if !same {
            let mut definition = definition.clone();
            if let Some(latest) = latest {
                // The original never changes it.
                definition.metadata.clone_from(&latest.definition.metadata);
            }
            let revision = latest.map_or(1, |latest| latest.revision + 1);
            let next = StackRevision { revision, created_at: 0, definition };
            writes.push(Write::Insert {
                collection: REVISIONS,
                fields: revision_document(seen.id, &seen.name, &next),
            });
            writes.extend(self.insertions(seen.grid, seen.id, members).await?.map(|(_, write)| write));
        }
        self.done(&writes).await
    }

    /// Replaces the labels of a stack. False if it is gone.
    pub async fn set_labels(&self, stack: Id, labels: &[String]) -> Result<bool, Failure> {
        let change = doc! { "$set": { "labels": labels.to_vec() } };
        Ok(self.table(STACKS).change(doc! { "_id": oid(stack) }, change).await?.is_some())
    }

    /// Changes and makes the services of a stack that was seen so to what its `revision` says, and asks for their
    /// deploy. A removal that cannot go on is called off. `None` if somebody changed anything of it meanwhile.
    pub async fn request_deploy(
        &self,
        seen: &StackRow,
        revision: i64,
        changed: &[ChangedMember],
        new: &[NewMember],
    ) -> Result<Option<StackRun>, Failure> {
        let deploy = fresh();
        let mut writes = vec![edit(seen, doc! {})];
        if !changed.is_empty() {
            let table = Table::new(self.store.database(), SERVICES);
            let rows =
                table.all(doc! { "stack_id": oid(seen.id), "grid_id": oid(seen.grid) }, doc! {}).await?;
            for member in changed {
                let Some(row) = rows.iter().find(|row| row.id("_id") == Some(member.id)) else {
                    return Ok(None);
                };
                writes.push(apply(row, member, revision));
            }
        }
        let stamped = |(mut fields, _): (Document, Write)| {
            fields.insert("stack_revision", whole(revision));
            Write::Insert { collection: SERVICES, fields }
        };
        writes.extend(self.insertions(seen.grid, seen.id, new).await?.map(stamped));
        writes.push(Write::Insert {
            collection: DEPLOYS,
            fields: doc! {
                "_id": deploy, "_deploy_state": "created", "stack_id": oid(seen.id),
                "stack_revision": whole(revision),
            },
        });
        if !self.done(&writes).await? {
            return Ok(None);
        }
        self.deploy(seen.id, Id::from_bytes(deploy.bytes())).await
    }

    /// Asks for the removal of a stack. False if it is gone. What is asked for already is no other removal.
    pub async fn request_removal(&self, stack: Id) -> Result<bool, Failure> {
        let asked = doc! { "$ifNull": ["$removal", { "asked_at": "$$NOW" }] };
        let change = vec![doc! { "$set": { "removal": asked } }];
        Ok(self.table(STACKS).compute(doc! { "_id": oid(stack) }, change).await?.is_some())
    }

    async fn insertions<'a>(
        &self,
        grid: Id,
        stack: Id,
        members: &'a [NewMember],
    ) -> Result<impl Iterator<Item = (Document, Write)> + use<'a>, Failure> {
        let networks =
            if members.is_empty() { Vec::new() } else { self.store.services().networks(grid).await? };
        Ok(members.iter().map(move |NewMember { id, service, resolved }| {
            let mut fields = doc! { "_id": oid(*id) };
            fields.extend(document(grid, stack, service, resolved, &networks));
            (fields.clone(), Write::Insert { collection: SERVICES, fields })
        }))
    }

    async fn done(&self, writes: &[Write]) -> Result<bool, Failure> {
        match self.store.transact(writes).await {
            Ok(outcome) => Ok(outcome == Outcome::Done),
            // A service of that name was made meanwhile.
            Err(Failure::Duplicate) => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}

/// Changes a stack as it was seen, and no other.
fn edit(seen: &StackRow, set: Document) -> Write {
    let mut filter = doc! { "_id": oid(seen.id), "edits": seen.edits.map_or(Bson::Null, Bson::Int64) };
    let mut change = doc! { "$inc": { "edits": Bson::Int64(1) } };
    if seen.removing {
        filter.insert("removal.blocked", doc! { "$exists": true });
        change.insert("$unset", doc! { "removal": "" });
    } else {
        filter.insert("removal", doc! { "$exists": false });
    }
    if !set.is_empty() {
        change.insert("$set", set);
        change.insert("$currentDate", doc! { "updated_at": true });
    }
    Write::Change { collection: STACKS, filter, change }
}

/// The revision of a service rises if anything makes a difference; that of its stack is noted anyway.
fn apply(row: &Document, member: &ChangedMember, revision: i64) -> Write {
    let mut set = differing(row, &member.change, &member.resolved);
    let mut change = doc! {};
    if !set.is_empty() {
        change.insert("$inc", doc! { "revision": 1 });
        change.insert("$currentDate", doc! { "updated_at": true });
    }
    set.insert("stack_revision", whole(revision));
    change.insert("$set", set);
    Write::Change { collection: SERVICES, filter: as_seen(row), change }
}
