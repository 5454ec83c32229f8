//! Who carries out what outlives a master: `deploy_claims {_id: service, epoch, master, n}`, and `stack_claims` with the
//! same for stacks.
//!
//! Each claim raises the epoch. Whoever acts under a claim changes its document in the same transaction, under the own
//! epoch: of an earlier claimer nothing takes effect.

use std::collections::{BTreeMap, BTreeSet};

use kontena_core::election::HolderId;
use kontena_core::id::Id;
use mongodb::bson::{Bson, Document, doc};

use crate::client::Store;
use crate::command::{Failure, is_duplicate, write, write_each};
use crate::document::{Read, oid, oids};
use crate::table::{LIMIT, Table};
use crate::transaction::Write;

pub(crate) const CLAIMS: &str = "deploy_claims";
pub(crate) const STACK_CLAIMS: &str = "stack_claims";

/// One of the collections.
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    store: Store,
    collection: &'static str,
}

impl Store {
    /// Who carries out the deploys of services.
    pub(crate) fn claims(&self) -> Claims {
        Claims { store: self.clone(), collection: CLAIMS }
    }

    /// Who carries out the deploys and removals of stacks.
    pub(crate) fn stack_claims(&self) -> Claims {
        Claims { store: self.clone(), collection: STACK_CLAIMS }
    }

    /// The masters that have something in hand.
    pub async fn claimers(&self) -> Result<BTreeSet<HolderId>, Failure> {
        let held = || doc! { "master": { "$ne": Bson::Null } };
        let (services, stacks) = (self.claims().rows(), self.stack_claims().rows());
        let shown = || doc! { "master": 1 };
        let (services, stacks) = futures_util::try_join!(
            services.fields(held(), doc! {}, shown()),
            stacks.fields(held(), doc! {}, shown())
        )?;
        let claimer = |row: &Document| row.text("master").and_then(|master| master.parse().ok());
        Ok(services.iter().chain(&stacks).filter_map(claimer).collect())
    }
}

/// Takes the claims of services from whoever has them. Whoever carries out a deploy has looked before; what was decided
/// then must not take effect after this, and whoever claims the service next sees why.
pub(crate) fn unclaimed(services: &[Id]) -> Write {
    Write::ChangeAll {
        collection: CLAIMS,
        filter: doc! { "_id": { "$in": oids(services.iter().copied()) } },
        change: doc! { "$inc": { "epoch": 1, "n": 1 }, "$set": { "master": Bson::Null } },
    }
}

impl Claims {
    fn rows(&self) -> Table {
        Table::new(self.store.database(), self.collection)
    }

    /// How often something was done under claims on this.
    pub(crate) async fn moves(&self, of: Id) -> Result<i64, Failure> {
        let row = self.rows().one(doc! { "_id": oid(of) }).await?.unwrap_or_default();
        Ok(row.whole("n").unwrap_or(0))
    }

    /// Who has each of these in hand, and under which epoch; those that were ever claimed.
    pub(crate) async fn holders(&self, of: &[Id]) -> Result<BTreeMap<Id, (Option<HolderId>, i64)>, Failure> {
        let rows = self.rows().all(doc! { "_id": { "$in": oids(of.iter().copied()) } }, doc! {}).await?;
        let claim = |row: &Document| {
            let master = row.text("master").and_then(|master| master.parse().ok());
            Some((row.id("_id")?, (master, row.whole("epoch").unwrap_or(0))))
        };
        Ok(rows.iter().filter_map(claim).collect())
    }

    /// Claims what was seen claimed under these epochs, each for itself; the new epochs of what nobody else claimed
    /// since.
    pub(crate) async fn take(
        &self,
        seen: &BTreeMap<Id, i64>,
        me: HolderId,
    ) -> Result<BTreeMap<Id, i64>, Failure> {
        let statement = |(of, seen): (&Id, &i64)| {
            let found = if *seen == 0 {
                doc! { "$exists": false }
            } else {
                doc! { "$eq": seen }
            };
            doc! {
                "q": { "_id": oid(*of), "epoch": found },
                "u": { "$set": { "epoch": Bson::Int64(seen + 1), "master": me.to_string() }, "$inc": { "n": 1 } },
                "upsert": *seen == 0,
            }
        };
        let statements: Vec<Document> = seen.iter().map(statement).collect();
        let command = doc! { "update": self.collection, "updates": statements };
        let (made, faults) = write_each(self.store.database(), command, LIMIT).await?;
        // Of a key that exists somebody else was faster.
        if let Some((_, _, fault)) = faults.into_iter().find(|(_, code, _)| !is_duplicate(*code)) {
            return Err(Failure::unknown(fault));
        }
        let wanted = seen.iter().map(|(of, seen)| (*of, seen + 1));
        if usize::try_from(made).is_ok_and(|made| made == seen.len()) {
            return Ok(wanted.collect());
        }
        let of: Vec<Id> = seen.keys().copied().collect();
        let now = self.holders(&of).await?;
        Ok(wanted.filter(|(of, epoch)| now.get(of) == Some(&(Some(me), *epoch))).collect())
    }

    /// Gives claims back. Who finds something to be done after that may claim it.
    pub(crate) async fn release(&self, claims: impl Iterator<Item = (Id, i64)>) -> Result<(), Failure> {
        let free = |(of, epoch): (Id, i64)| {
            doc! { "q": { "_id": oid(of), "epoch": epoch }, "u": { "$set": { "master": Bson::Null } } }
        };
        let updates: Vec<Document> = claims.map(free).collect();
        if updates.is_empty() {
            return Ok(());
        }
        write(self.store.database(), doc! { "update": self.collection, "updates": updates }, LIMIT)
            .await
            .map(drop)
    }
}
