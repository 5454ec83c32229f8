//! Taking up deploys: whoever carries out those of a service claims it first. Many services are claimed together, each
//! for itself.

use std::collections::BTreeMap;

use kontena_core::election::HolderId;
use kontena_core::id::Id;
use mongodb::bson::{Bson, Document, doc};

use super::{Claim, DEPLOYS, DeployRow, Deploys, open_of, parse};
use crate::command::{Failure, write};
use crate::document::{Read, oid, oids};
use crate::service_instances::INSTANCES;
use crate::table::{LIMIT, Table};

impl Deploys {
    /// Takes up the oldest open deploy of each of these services, in their order, unless who claimed
    /// the service is alive. `None`: nothing is to be done, or another master does it.
    pub async fn take_up(
        &self,
        services: &[Id],
        me: HolderId,
        is_alive: impl Fn(HolderId) -> bool,
    ) -> Result<Vec<Option<(Claim, DeployRow)>>, Failure> {
        let open = open_of(doc! { "grid_service_id": { "$in": oids(services.iter().copied()) } });
        let rows = Table::new(self.store.database(), DEPLOYS);
        let claims = self.store.claims();
        let (waiting, claimed) = futures_util::try_join!(
            rows.fields(open, doc! {}, doc! { "grid_service_id": 1 }),
            claims.holders(services)
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
        let idle = claims.values().filter(|claim| !next.contains_key(&claim.service));
        self.store.claims().release(idle.map(|claim| (claim.service, claim.epoch))).await?;
        let taken = |service: &Id| Some((*claims.get(service)?, next.remove(service)?));
        Ok(services.iter().map(taken).collect())
    }

    /// Who has the deploys of a service in hand, and under which epoch.
    pub async fn claimed(&self, service: Id) -> Result<(Option<HolderId>, i64), Failure> {
        Ok(self.store.claims().holders(&[service]).await?.remove(&service).unwrap_or_default())
    }

    /// Claims the deploys of a service that was seen claimed under `seen`, and stamps its instances. `None` if somebody
    /// else was faster.
    pub async fn claim(&self, service: Id, seen: i64, me: HolderId) -> Result<Option<Claim>, Failure> {
        Ok(self.claim_all(&BTreeMap::from([(service, seen)]), me).await?.pop())
    }

    /// Those that nobody else claimed since they were seen; their instances are stamped.
    async fn claim_all(&self, seen: &BTreeMap<Id, i64>, me: HolderId) -> Result<Vec<Claim>, Failure> {
        let taken = self.store.claims().take(seen, me).await?;
        let claims: Vec<Claim> = taken.into_iter().map(|(service, epoch)| Claim { service, epoch }).collect();
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

    /// The oldest open one of each service.
    async fn next(&self, services: impl Iterator<Item = Id>) -> Result<BTreeMap<Id, DeployRow>, Failure> {
        let filter = open_of(doc! { "grid_service_id": { "$in": oids(services) } });
        // Asked to sort, the database might go through all deploys in their order.
        let mut rows = Table::new(self.store.database(), DEPLOYS).all(filter, doc! {}).await?;
        // The oldest comes last, and stays.
        rows.sort_by_key(|row| std::cmp::Reverse((row.time("created_at"), row.id("_id"))));
        rows.iter().map(|row| parse(row).map(|deploy| (deploy.service, deploy))).collect()
    }
}
