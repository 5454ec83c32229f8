//! What services keep in secret: values of the vault, certificates and pending challenges, encrypted as stored.

use kontena_core::agents::secrets::{Challenge, KeptCertificate, Safe};
use kontena_core::id::Id;
use mongodb::bson::{Bson, Document, doc};

use crate::document::{Read, oids};

/// What was gathered of it, as it is stored.
pub(crate) fn safe(gathered: &Document) -> Safe {
    let rows = |key: &str| gathered.documents(key).into_iter();
    let secret = |row: &Document| Some((row.text("name")?, row.text_or_empty("encrypted_value")));
    let mut safe = Safe {
        secrets: rows("secrets").filter_map(secret).collect(),
        certificates: rows("certificates").filter_map(certificate).collect(),
        ..Safe::default()
    };
    for row in rows("authorizations") {
        let Some(service) = row.id("grid_service_id") else { continue };
        safe.challenges.entry(service).or_default().extend(challenge(row));
    }
    safe
}

/// Authorizations that wait for their authority, and have time left by the database's clock.
pub(crate) fn pending(services: &[Id]) -> Document {
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
