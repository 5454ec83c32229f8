//! Taking up deploys: whoever carries out those of a service claims it first. Many services are claimed together, each
//! for itself.

use std::collections::BTreeMap;

use kontena_core::election::HolderId;
use kontena_core::id::Id;
use mongodb::bson::{Bson, Document, doc};

use super::{CLAIMS, Claim, DEPLOYS, DeployRow, Deploys, parse};
use crate::command::{Failure, is_duplicate, write, write_each};
use crate::document::{Read, oid, oids};
use crate::service_instances::INSTANCES;
use crate::table::{LIMIT, Table};

impl Deploys {
    /// Takes up the oldest deploy of each of these services that is not finished, in their order, unless who claimed
    /// the service is alive. `None`: nothing is to be done, or another master does it.
    pub async fn take_up(
        &self,
        services: &[Id],
        me: HolderId,
        is_alive: impl Fn(HolderId) -> bool,
    ) -> Result<Vec<Option<(Claim, DeployRow)>>, Failure> {
        let open =
            doc! { "grid_service_id": { "$in": oids(services.iter().copied()) }, "finished_at": Bson::Null };
        let rows = Table::new(self.store.database(), DEPLOYS);
        let (waiting, claimed) = futures_util::try_join!(
            rows.fields(open, doc! {}, doc! { "grid_service_id": 1 }),
            self.claims_of(services)
        )?;
        let free: BTreeMap<Id, i64> = waiting
            .iter()
            .filter_map(|row| row.id("grid_service_id"))
            .map(|service| (service, claimed.get(&service).copied().unwrap_or_default()))
            .filter(|(_, (master, _))| master.is_none_or(|master| master == me || !is_alive(master)))
            .map(|(service, (_, seen))| (service, seen))
            .collect();
        if free.is_empty() {
            return Ok(services.iter().map(|_| None).collect());
        }
        let claims: BTreeMap<Id, Claim> =
            self.claim_all(&free, me).await?.into_iter().map(|claim| (claim.service, claim)).collect();
        // What an earlier claimer wrote until then counts.
        let mut next = self.next(claims.keys().copied()).await?;
        let idle = claims.values().filter(|claim| !next.contains_key(&claim.service)).copied();
        self.release(idle).await?;
        let taken = |service: &Id| Some((*claims.get(service)?, next.remove(service)?));
        Ok(services.iter().map(taken).collect())
    }

    /// Who has the deploys of a service in hand, and under which epoch.
    pub async fn claimed(&self, service: Id) -> Result<(Option<HolderId>, i64), Failure> {
        Ok(self.claims_of(&[service]).await?.remove(&service).unwrap_or_default())
    }

    /// Claims the deploys of a service that was seen claimed under `seen`, and stamps its instances. `None` if somebody
    /// else was faster.
    pub async fn claim(&self, service: Id, seen: i64, me: HolderId) -> Result<Option<Claim>, Failure> {
        Ok(self.claim_all(&BTreeMap::from([(service, seen)]), me).await?.pop())
    }

    async fn claims_of(&self, services: &[Id]) -> Result<BTreeMap<Id, (Option<HolderId>, i64)>, Failure> {
        let claims = Table::new(self.store.database(), CLAIMS);
        let rows = claims.all(doc! { "_id": { "$in": oids(services.iter().copied()) } }, doc! {}).await?;
        let claim = |row: &Document| {
            let master = row.text("master").and_then(|master| master.parse().ok());
            Some((row.id("_id")?, (master, row.whole("epoch").unwrap_or(0))))
        };
        Ok(rows.iter().filter_map(claim).collect())
    }

    /// Those that nobody else claimed since they were seen.
    async fn claim_all(&self, seen: &BTreeMap<Id, i64>, me: HolderId) -> Result<Vec<Claim>, Failure> {
        let statement = |(service, seen): (&Id, &i64)| {
            let (key, epoch) = (oid(*service), Bson::Int64(seen + 1));
            let found = if *seen == 0 {
                doc! { "$exists": false }
            } else {
                doc! { "$eq": seen }
            };
            doc! {
                "q": { "_id": key, "epoch": found },
                "u": { "$set": { "epoch": epoch, "master": me.to_string() }, "$inc": { "n": 1 } },
                "upsert": *seen == 0,
            }
        };
        let statements: Vec<Document> = seen.iter().map(statement).collect();
        let command = doc! { "update": CLAIMS, "updates": statements };
        let (made, faults) = write_each(self.store.database(), command, LIMIT).await?;
        // Of a key that exists somebody else was faster.
        if let Some((_, _, fault)) = faults.into_iter().find(|(_, code, _)| !is_duplicate(*code)) {
            return Err(Failure::unknown(fault));
        }
        let wanted = seen.iter().map(|(service, seen)| Claim { service: *service, epoch: seen + 1 });
        let claims: Vec<Claim> = if usize::try_from(made).is_ok_and(|made| made == seen.len()) {
            wanted.collect()
        } else {
            let services: Vec<Id> = seen.keys().copied().collect();
            let now = self.claims_of(&services).await?;
            wanted.filter(|claim| now.get(&claim.service) == Some(&(Some(me), claim.epoch))).collect()
        };
        let stamp = |Claim { service, epoch }: &Claim| {
            doc! {
                "q": { "grid_service_id": oid(*service) }, "u": { "$set": { "claim_epoch": Bson::Int64(*epoch) } },
                "multi": true,
            }
        };
        if !claims.is_empty() {
            let stamps: Vec<Document> = claims.iter().map(stamp).collect();
            write(self.store.database(), doc! { "update": INSTANCES, "updates": stamps }, LIMIT).await?;
        }
        Ok(claims)
    }

    /// The oldest of each service that is not finished.
    async fn next(&self, services: impl Iterator<Item = Id>) -> Result<BTreeMap<Id, DeployRow>, Failure> {
        let filter = doc! { "grid_service_id": { "$in": oids(services) }, "finished_at": Bson::Null };
        let rows = Table::new(self.store.database(), DEPLOYS);
        // The oldest comes last, and stays.
        let rows = rows.all(filter, doc! { "created_at": -1, "_id": -1 }).await?;
        rows.iter().map(|row| parse(row).map(|deploy| (deploy.service, deploy))).collect()
    }

    /// Gives claims back. Who finds a deploy after that may claim it.
    async fn release(&self, claims: impl Iterator<Item = Claim>) -> Result<(), Failure> {
        let free = |Claim { service, epoch }: Claim| {
            doc! { "q": { "_id": oid(service), "epoch": epoch }, "u": { "$set": { "master": Bson::Null } } }
        };
        let updates: Vec<Document> = claims.map(free).collect();
        if updates.is_empty() {
            return Ok(());
        }
        write(self.store.database(), doc! { "update": CLAIMS, "updates": updates }, LIMIT).await.map(drop)
    }
}
