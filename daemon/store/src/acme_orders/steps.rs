//! What a leader writes of an order: each step behind the fence, and only if the order still is as it was seen.

use std::collections::BTreeMap;

use kontena_core::acme::{Fault, Method};
use kontena_core::id::Id;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, doc};

use super::{ORDERS, OrderRow, OrderState};
use crate::certificates::{AUTHORIZATIONS, CERTIFICATES};
use crate::deploys::DEPLOYS;
use crate::document::{date, fresh, oid};
use crate::effect::{Effect, Statement};
use crate::grid_services::{SERVICES, deploying};
use crate::table::inserting;

/// A challenge that is written into the authorization of its domain.
pub struct Presented<'a> {
    /// Which.
    pub domain: &'a str,
    /// How it is proven.
    pub method: Method,
    /// The service that answers, if one does.
    pub service: Option<Id>,
    /// Whether the authority takes it for proven already.
    pub proven: bool,
    /// Where the authority is told that the answer is there.
    pub url: &'a str,
    /// Names the challenge.
    pub token: &'a str,
    /// What answers it: the content of the file or of the record.
    pub answer: &'a str,
    /// The name of the record, if it is answered by one.
    pub record: Option<&'a str>,
}

/// A certificate that was issued.
pub struct Issued<'a> {
    /// PEM.
    pub certificate: &'a str,
    /// PEM of the issuers.
    pub chain: &'a str,
    /// Encrypted PEM.
    pub private_key: &'a str,
    /// Milliseconds since 1970.
    pub valid_until: i64,
}

/// The steps of one order.
pub struct OrderSteps<'a>(pub &'a OrderRow);

impl OrderSteps<'_> {
    fn seen(&self, state: OrderState) -> Document {
        let OrderRow { id, asked_at, .. } = self.0;
        doc! { "_id": oid(*id), "state": state.name(), "asked_at": asked_at }
    }

    fn change(&self, change: Document) -> Effect {
        update(ORDERS, self.seen(OrderState::Open), change)
    }

    /// It is begun: what is wanted is going to be asked of the authority.
    #[must_use]
    pub fn begin(&self) -> Effect {
        update(ORDERS, self.seen(OrderState::Wanted), doc! { "$set": { "state": OrderState::Open.name() } })
    }

    /// Where the authority has it. What was kept of an earlier one is of no use any more.
    #[must_use]
    pub fn located(&self, url: &str) -> Effect {
        let mut filter = self.seen(OrderState::Open);
        filter.insert("url", self.0.url.as_deref().map_or(Bson::Null, Bson::from));
        let change = doc! {
            "$set": { "url": url }, "$unset": { "encrypted_key": "", "answered_at": "" },
        };
        update(ORDERS, filter, change)
    }

    /// Writes challenges into the authorizations of their domains, and asks for the deploys of the services that
    /// answer them. Which services these are.
    #[must_use]
    pub fn present(&self, presented: &[Presented<'_>]) -> (Vec<Effect>, Vec<Id>) {
        let mut deploys: BTreeMap<Id, ObjectId> = BTreeMap::new();
        let mut effects = Vec::new();
        for one in presented {
            let deploy = match one.service {
                Some(service) if !one.proven => Some(*deploys.entry(service).or_insert_with(fresh)),
                _ => None,
            };
            effects.push(self.authorization(one, deploy));
        }
        for (service, deploy) in &deploys {
            effects.push(update(SERVICES, doc! { "_id": oid(*service) }, deploying(true, None)));
            let fields = doc! { "_deploy_state": "created", "grid_service_id": oid(*service) };
            let statement =
                Statement::Compute { filter: doc! { "_id": *deploy }, pipeline: inserting(fields, doc! {}) };
            effects.push(Effect { collection: DEPLOYS, statement });
        }
        (effects, deploys.into_keys().collect())
    }

    fn authorization(&self, one: &Presented<'_>, deploy: Option<ObjectId>) -> Effect {
        let Presented { domain, method, service, proven, url, token, answer, record } = *one;
        let opts = record.map_or_else(
            || doc! { "token": token, "content": answer },
            |record| doc! { "record_name": record, "record_type": "TXT", "record_content": answer },
        );
        let mut set = doc! {
            "authorization_type": method.name(),
            "_state": if proven { "validated" } else { "created" },
            "challenge": { "type": method.name(), "token": token, "uri": url },
            "challenge_opts": opts,
            "acme_order_id": oid(self.0.id),
        };
        let mut gone = vec!["expires_at", "encrypted_tls_sni_certificate"];
        for (field, value) in [("grid_service_id", service.map(oid)), ("grid_service_deploy_id", deploy)] {
            match value {
                Some(id) => drop(set.insert(field, id)),
                None => gone.push(field),
            }
        }
        let filter = doc! { "grid_id": oid(self.0.grid), "domain": domain };
        let dates = doc! {
            "updated_at": "$$NOW", "created_at": { "$ifNull": ["$created_at", "$$NOW"] },
        };
        let set: Document =
            set.into_iter().map(|(key, value)| (key, doc! { "$literal": value }.into())).collect();
        let pipeline = vec![doc! { "$set": set }, doc! { "$set": dates }, doc! { "$unset": gone }];
        Effect { collection: AUTHORIZATIONS, statement: Statement::Compute { filter, pipeline } }
    }

    /// These domains are proven.
    #[must_use]
    pub fn proven(&self, domains: &[&str]) -> Effect {
        self.authorizations(domains, "validated")
    }

    fn authorizations(&self, domains: &[&str], state: &str) -> Effect {
        let filter = doc! { "grid_id": oid(self.0.grid), "domain": { "$in": domains } };
        let change = doc! { "$set": { "_state": state }, "$currentDate": { "updated_at": true } };
        Effect { collection: AUTHORIZATIONS, statement: Statement::UpdateMany { filter, change } }
    }

    /// The authority is going to be told that the answers for these domains are there.
    #[must_use]
    pub fn answer(&self, domains: &[&str]) -> [Effect; 2] {
        // The time counts from the first.
        let first = self.0.answered.is_none();
        let dates = if first {
            doc! { "answered_at": true }
        } else {
            doc! { "updated_at": true }
        };
        [self.change(doc! { "$currentDate": dates }), self.authorizations(domains, "requested")]
    }

    /// Keeps the private key, before the authority is asked for the certificate.
    #[must_use]
    pub fn keyed(&self, encrypted: &str) -> Effect {
        let mut filter = self.seen(OrderState::Open);
        filter.insert("url", self.0.url.as_deref().map_or(Bson::Null, Bson::from));
        filter.insert("encrypted_key", Bson::Null);
        update(ORDERS, filter, doc! { "$set": { "encrypted_key": encrypted } })
    }

    /// It rests until more is wanted of it, or a person has done what the fault says.
    #[must_use]
    pub fn rest(&self, fault: Option<&Fault>) -> Effect {
        let mut set = doc! { "state": OrderState::Resting.name() };
        if let Some(fault) = fault {
            set.insert("fault", stored(fault));
        }
        self.change(doc! { "$set": set, "$unset": { "answered_at": "" } })
    }

    /// The certificate is kept in place of an older one of the same subject, and the services that use it have a new
    /// revision.
    #[must_use]
    pub fn done(&self, issued: &Issued<'_>) -> Vec<Effect> {
        let OrderRow { grid, domains, key, .. } = self.0;
        let Issued { certificate, chain, private_key, valid_until } = *issued;
        let (subject, others) =
            domains.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
        let fields = doc! {
            "alt_names": others.to_vec(), "valid_until": date(valid_until), "certificate": certificate,
            "chain": chain, "encrypted_private_key": private_key,
        };
        let set = fields.into_iter().map(|(field, value)| (field, doc! { "$literal": value }.into()));
        let pipeline = vec![
            doc! { "$set": set.collect::<Document>() },
            doc! { "$set": {
                "updated_at": "$$NOW", "created_at": { "$ifNull": ["$created_at", "$$NOW"] },
            } },
            doc! { "$unset": ["expiry_told_at", "renewal_failures", "renewal_failed_at"] },
        ];
        let filter = doc! { "grid_id": oid(*grid), "subject": subject };
        let kept = Effect { collection: CERTIFICATES, statement: Statement::Compute { filter, pipeline } };
        let users = Statement::UpdateMany {
            filter: doc! { "grid_id": oid(*grid), "certificates.subject": subject },
            change: doc! { "$inc": { "revision": 1 }, "$currentDate": { "updated_at": true } },
        };
        let names: Vec<&str> = domains.iter().map(String::as_str).collect();
        let mut filter = self.seen(OrderState::Open);
        filter.insert("encrypted_key", key.as_deref().map_or(Bson::Null, Bson::from));
        let ended = doc! {
            "$set": { "state": OrderState::Done.name() },
            "$unset": { "slot": "", "encrypted_key": "", "fault": "" },
            "$currentDate": { "updated_at": true },
        };
        vec![
            kept,
            Effect { collection: SERVICES, statement: users },
            self.proven(&names),
            update(ORDERS, filter, ended),
        ]
    }

    /// It ended without what it was for; these domains were refused.
    #[must_use]
    pub fn fail(&self, fault: &Fault, refused: &[&str]) -> Vec<Effect> {
        let OrderRow { grid, domains, renews, .. } = self.0;
        let ended = doc! {
            "$set": { "state": OrderState::Failed.name(), "fault": stored(fault) },
            "$unset": { "slot": "", "encrypted_key": "" },
            "$currentDate": { "updated_at": true },
        };
        let mut effects = vec![self.change(ended)];
        if !refused.is_empty() {
            effects.push(self.authorizations(refused, "error"));
        }
        if let (true, Some(subject)) = (*renews, domains.first()) {
            // The date of the last change is left alone: for the grid nothing has changed.
            effects.push(Effect {
                collection: CERTIFICATES,
                statement: Statement::UpdateMany {
                    filter: doc! { "grid_id": oid(*grid), "subject": subject },
                    change: doc! {
                        "$inc": { "renewal_failures": 1 }, "$currentDate": { "renewal_failed_at": true },
                    },
                },
            });
        }
        effects
    }

    /// Its grid is gone, and it with it.
    #[must_use]
    pub fn drop_it(&self) -> Effect {
        Effect { collection: ORDERS, statement: Statement::Delete { filter: doc! { "_id": oid(self.0.id) } } }
    }
}

fn update(collection: &'static str, filter: Document, change: Document) -> Effect {
    Effect { collection, statement: Statement::Update { filter, change } }
}

fn stored(fault: &Fault) -> Document {
    let Fault { field, message } = fault;
    doc! { "field": *field, "message": message }
}
