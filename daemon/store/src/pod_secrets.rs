//! What services keep in secret: values of the vault, certificates and pending challenges, encrypted as stored.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use kontena_core::agents::pod::Service;
use kontena_core::agents::secrets::{Challenge, KeptCertificate, Safe, SecretUse};
use kontena_core::id::Id;
use mongodb::bson::{Bson, Document, doc};

use crate::command::Failure;
use crate::document::{Read, oid, oids};
use crate::pod_sources::Pods;

impl Pods {
    /// Reads what the instances of `placed` need; `services` has their definitions.
    pub(crate) async fn safe(
        &self,
        grid: Id,
        placed: &[Id],
        services: &HashMap<Id, Service>,
        limit: Duration,
    ) -> Result<Safe, Failure> {
        let wanted = |pick: fn(&Service) -> &[SecretUse]| -> BTreeSet<&str> {
            let services = placed.iter().filter_map(|id| services.get(id));
            services.flat_map(pick).map(|used| used.source.as_str()).collect()
        };
        let secrets = wanted(|service| &service.secrets);
        let certificates = wanted(|service| &service.certificates);
        let of_grid = |key: &str, wanted: BTreeSet<&str>| {
            doc! { "grid_id": oid(grid), key: { "$in": wanted.into_iter().collect::<Vec<_>>() } }
        };
        let mut safe = Safe::default();
        if !secrets.is_empty() {
            let rows = self.find("grid_secrets", of_grid("name", secrets), limit).await?;
            let secret = |row: &Document| Some((row.text("name")?, row.text_or_empty("encrypted_value")));
            safe.secrets = rows.iter().filter_map(secret).collect();
        }
        if !certificates.is_empty() {
            let rows = self.find("certificates", of_grid("subject", certificates), limit).await?;
            safe.certificates = rows.iter().filter_map(certificate).collect();
        }
        for row in self.find("grid_domain_authorizations", pending(placed), limit).await? {
            let Some(service) = row.id("grid_service_id") else { continue };
            safe.challenges.entry(service).or_default().extend(challenge(&row));
        }
        Ok(safe)
    }
}

/// Authorizations that wait for their authority, and have time left by the database's clock.
fn pending(services: &[Id]) -> Document {
    let expired = doc! { "$and": [
        { "$eq": [{ "$type": "$expires_at" }, "date"] },
        { "$lt": ["$expires_at", "$$NOW"] },
    ] };
    doc! {
        "grid_service_id": { "$in": oids(services.iter().copied()) },
        "_state": { "$in": ["created", "requested", Bson::Null] },
        "$expr": { "$not": [expired] },
    }
}

fn certificate(row: &Document) -> Option<(String, KeptCertificate)> {
    let kept = KeptCertificate {
        certificate: row.text_or_empty("certificate"),
        chain: row.text_or_empty("chain"),
        private_key: row.text_or_empty("encrypted_private_key"),
    };
    Some((row.text("subject")?, kept))
}

/// How a service answers; it has no part in those that are answered elsewhere.
fn challenge(row: &Document) -> Option<Challenge> {
    match row.text("authorization_type").as_deref().unwrap_or("tls-sni-01") {
        "http-01" => {
            let answer = row.get_document("challenge_opts").ok()?;
            Some(Challenge::Http { token: answer.text("token")?, content: answer.text_or_empty("content") })
        }
        "tls-sni-01" => Some(Challenge::TlsSni {
            domain: row.text("domain")?,
            certificate: row.text("encrypted_tls_sni_certificate")?,
        }),
        _ => None,
    }
}
