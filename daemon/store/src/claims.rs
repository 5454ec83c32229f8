//! Who carries out what outlives a master: `deploy_claims {_id, epoch, master, n}`, where the id is that of a service or
//! of a stack.
//!
//! Each claim raises the epoch. Whoever acts under a claim changes its document in the same transaction, under the own
//! epoch: of an earlier claimer nothing takes effect.

use std::collections::BTreeMap;

use kontena_core::election::HolderId;
use kontena_core::id::Id;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReturnDocument;

use crate::client::Store;
use crate::command::{Failure, write};
use crate::document::{Read, oid, oids};
use crate::table::{LIMIT, Table};

pub(crate) const CLAIMS: &str = "deploy_claims";

/// How a claim stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Who has it in hand.
    pub(crate) master: Option<HolderId>,
    /// Rises with every claim; 0 if there was none.
    pub(crate) epoch: i64,
    /// Rises with everything that is done under a claim.
    pub(crate) moves: i64,
}

/// The collection.
#[derive(Clone, Debug)]
pub(crate) struct Claims {
    store: Store,
}

impl Store {
    /// Who carries out what.
    pub(crate) fn claims(&self) -> Claims {
        Claims { store: self.clone() }
    }
}

impl Claims {
    fn rows(&self) -> Table {
        Table::new(self.store.database(), CLAIMS)
    }

    /// How the claim on this stands.
    pub(crate) async fn standing(&self, of: Id) -> Result<Standing, Failure> {
        let row = self.rows().one(doc! { "_id": oid(of) }).await?.unwrap_or_default();
        Ok(Standing {
            master: row.text("master").and_then(|master| master.parse().ok()),
            epoch: row.whole("epoch").unwrap_or(0),
            moves: row.whole("n").unwrap_or(0),
        })
    }

    /// The masters that have these in hand.
    pub(crate) async fn masters(&self, of: &[Id]) -> Result<BTreeMap<Id, HolderId>, Failure> {
        let rows = self.rows().all(doc! { "_id": { "$in": oids(of.iter().copied()) } }, doc! {}).await?;
        let master = |row: &Document| Some((row.id("_id")?, row.text("master")?.parse().ok()?));
        Ok(rows.iter().filter_map(master).collect())
    }

    /// Claims what was seen claimed under `seen`; the new epoch, or `None` if somebody else was faster.
    pub(crate) async fn take(&self, of: Id, seen: i64, me: HolderId) -> Result<Option<i64>, Failure> {
        let epoch = seen + 1;
        let claims = self.store.database().collection::<Document>(CLAIMS);
        let filter = if seen == 0 {
            doc! { "_id": oid(of), "epoch": { "$exists": false } }
        } else {
            doc! { "_id": oid(of), "epoch": seen }
        };
        let change =
            doc! { "$set": { "epoch": Bson::Int64(epoch), "master": me.to_string() }, "$inc": { "n": 1 } };
        let made = claims
            .find_one_and_update(filter, change)
            .upsert(seen == 0)
            .return_document(ReturnDocument::After)
            .max_time(LIMIT)
            .await;
        match made.map_err(Failure::from) {
            Ok(None) | Err(Failure::Duplicate) => Ok(None),
            Ok(Some(_)) => Ok(Some(epoch)),
            Err(failure) => Err(failure),
        }
    }

    /// Gives a claim back.
    pub(crate) async fn release(&self, of: Id, epoch: i64) -> Result<(), Failure> {
        let update = doc! {
            "q": { "_id": oid(of), "epoch": epoch }, "u": { "$set": { "master": Bson::Null } },
        };
        write(self.store.database(), doc! { "update": CLAIMS, "updates": [update] }, LIMIT).await.map(drop)
    }
}
