//! `certificates` and `grid_domain_authorizations`. Keys come and go encrypted.

use std::collections::HashMap;

use kontena_core::id::Id;
use mongodb::bson::{Document, doc};
use serde_json::{Map, Value};

use crate::client::Store;
use crate::command::Failure;
use crate::document::{Read, date, oid, oids};
use crate::service_references::ServiceReferences;
use crate::table::Table;

pub(crate) const CERTIFICATES: &str = "certificates";
pub(crate) const AUTHORIZATIONS: &str = "grid_domain_authorizations";

/// A certificate.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateRow {
    /// Its id.
    pub id: Id,
    /// The first domain.
    pub subject: String,
    /// Further domains. Old rows may have none.
    pub alt_names: Option<Vec<String>>,
    /// Milliseconds since 1970.
    pub valid_until: i64,
    /// PEM.
    pub certificate: String,
    /// PEM of the issuers.
    pub chain: String,
    /// Encrypted PEM.
    pub private_key: String,
}

/// What is kept of a certificate that is put in.
pub struct CertificateParts<'a> {
    /// The first domain.
    pub subject: &'a str,
    /// Further domains.
    pub alt_names: &'a [String],
    /// Milliseconds since 1970.
    pub valid_until: i64,
    /// PEM.
    pub certificate: &'a str,
    /// PEM of the issuers.
    pub chain: &'a str,
    /// Encrypted PEM.
    pub private_key: &'a str,
}

/// A domain that is, or shall be, proven to be the grid's.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthorizationRow {
    /// Its id.
    pub id: Id,
    /// Which.
    pub domain: String,
    /// `created`, `requested`, `validated` or `error`.
    pub state: String,
    /// What the authority asks for.
    pub challenge: Option<Map<String, Value>>,
    /// How it is answered.
    pub challenge_opts: Option<Map<String, Value>>,
    /// `dns-01`, `http-01` or `tls-sni-01`.
    pub authorization_type: String,
    /// Milliseconds since 1970.
    pub expires_at: Option<i64>,
    /// By the database's clock.
    pub expired: bool,
    /// The service that answers the challenge, though it may be gone.
    pub service: Option<Id>,
    /// `stack/service` of it.
    pub linked_service: Option<String>,
    /// How its deploy goes: the state, and whether it is finished.
    pub deploy: Option<(String, bool)>,
    /// The order at the authority by which it was offered.
    pub order: Option<Id>,
}

impl AuthorizationRow {
    /// What names the challenge.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.challenge.as_ref()?.get("token")?.as_str()
    }

    /// The content of the record that proves the domain, if one does.
    #[must_use]
    pub fn record(&self) -> Option<&str> {
        self.challenge_opts.as_ref()?.get("record_content")?.as_str()
    }
}

/// The collections.
#[derive(Clone, Debug)]
pub struct Certificates {
    rows: Table,
    authorizations: Table,
    deploys: Table,
    services: ServiceReferences,
}

impl Store {
    /// Certificates and domain authorizations.
    #[must_use]
    pub fn certificates(&self) -> Certificates {
        let table = |name| Table::new(self.database(), name);
        Certificates {
            rows: table(CERTIFICATES),
            authorizations: table(AUTHORIZATIONS),
            deploys: table("grid_service_deploys"),
            services: self.service_references(),
        }
    }
}

impl Certificates {
    /// All of a grid, the oldest first.
    pub async fn of_grid(&self, grid: Id) -> Result<Vec<CertificateRow>, Failure> {
        let rows = self.rows.all(doc! { "grid_id": oid(grid) }, doc! { "_id": 1 }).await?;
        rows.iter().map(parse).collect()
    }

    /// One by its subject.
    pub async fn by_subject(&self, grid: Id, subject: &str) -> Result<Option<CertificateRow>, Failure> {
        let filter = doc! { "grid_id": oid(grid), "subject": subject };
        self.rows.one(filter).await?.as_ref().map(parse).transpose()
    }

    /// Keeps a certificate, in place of an older one of the same subject.
    pub async fn put(&self, grid: Id, parts: &CertificateParts<'_>) -> Result<CertificateRow, Failure> {
        let CertificateParts { subject, alt_names, valid_until, certificate, chain, private_key } = *parts;
        let key = doc! { "grid_id": oid(grid), "subject": subject };
        let fields = doc! {
            "alt_names": alt_names,
            "valid_until": date(valid_until),
            "encrypted_private_key": private_key,
            "certificate": certificate,
            "chain": chain,
        };
        let change = doc! { "$set": fields.clone() };
        if let Some(changed) = self.rows.change(key.clone(), change.clone()).await? {
            return parse(&changed);
        }
        let mut new = key.clone();
        new.extend(fields);
        match self.rows.insert(new).await {
            // Another master was faster: the later one stands.
            Err(Failure::Duplicate) => match self.rows.change(key, change).await? {
                Some(changed) => parse(&changed),
                None => Err(Failure::unknown("the certificate was removed while it was put in")),
            },
            made => parse(&made?),
        }
    }

    /// Removes a certificate. Whether there was one.
    pub async fn remove(&self, certificate: Id) -> Result<bool, Failure> {
        self.rows.remove(doc! { "_id": oid(certificate) }).await
    }

    /// The domain authorizations of a grid, or that of one domain; the oldest first.
    pub async fn authorizations(
        &self,
        grid: Id,
        domain: Option<&str>,
    ) -> Result<Vec<AuthorizationRow>, Failure> {
        let mut filter = doc! { "grid_id": oid(grid) };
        if let Some(domain) = domain {
            filter.insert("domain", domain);
        }
        let expired = doc! { "$and": [
            { "$eq": [{ "$type": "$expires_at" }, "date"] },
            { "$lt": ["$expires_at", "$$NOW"] },
        ] };
        let rows = self
            .authorizations
            .aggregate(vec![
                doc! { "$match": filter },
                doc! { "$set": { "expired": expired } },
                doc! { "$sort": { "_id": 1 } },
            ])
            .await?;
        let services =
            self.services.service_paths(rows.iter().filter_map(|row| row.id("grid_service_id"))).await?;
        let ids = oids(rows.iter().filter_map(|row| row.id("grid_service_deploy_id")));
        let deploys = if ids.is_empty() {
            Vec::new()
        } else {
            self.deploys.all(doc! { "_id": { "$in": ids } }, doc! {}).await?
        };
        let deploys: HashMap<Id, (String, bool)> = deploys
            .iter()
            .filter_map(|row| {
                Some((
                    row.id("_id")?,
                    (row.text_or_empty("_deploy_state"), row.time("finished_at").is_some()),
                ))
            })
            .collect();
        rows.iter().map(|row| parse_authorization(row, &services, &deploys)).collect()
    }

    /// What answers the challenge of this token, while its authority waits for that.
    pub async fn answer(&self, token: &str) -> Result<Option<String>, Failure> {
        let filter = doc! {
            "challenge_opts.token": token, "authorization_type": "http-01",
            "_state": { "$in": ["created", "requested"] },
        };
        let row = self.authorizations.one(filter).await?;
        Ok(row.and_then(|row| row.get_document("challenge_opts").ok()?.text("content")))
    }

    /// Removes a domain authorization. Whether there was one.
    pub async fn remove_authorization(&self, grid: Id, domain: &str) -> Result<bool, Failure> {
        self.authorizations.remove(doc! { "grid_id": oid(grid), "domain": domain }).await
    }
}

fn parse(row: &Document) -> Result<CertificateRow, Failure> {
    Ok(CertificateRow {
        id: row.own_id()?,
        subject: row.text_or_empty("subject"),
        alt_names: row.get_array("alt_names").is_ok().then(|| row.texts("alt_names")),
        valid_until: row.time("valid_until").unwrap_or_default(),
        certificate: row.text_or_empty("certificate"),
        chain: row.text_or_empty("chain"),
        private_key: row.text_or_empty("encrypted_private_key"),
    })
}

fn parse_authorization(
    row: &Document,
    services: &HashMap<Id, String>,
    deploys: &HashMap<Id, (String, bool)>,
) -> Result<AuthorizationRow, Failure> {
    let object = |key: &str| row.get_document(key).is_ok().then(|| row.object(key));
    Ok(AuthorizationRow {
        id: row.own_id()?,
        domain: row.text_or_empty("domain"),
        state: row.text("_state").unwrap_or_else(|| "created".to_owned()),
        challenge: object("challenge"),
        challenge_opts: object("challenge_opts"),
        authorization_type: row.text("authorization_type").unwrap_or_else(|| "tls-sni-01".to_owned()),
        expires_at: row.time("expires_at"),
        expired: row.flag("expired").unwrap_or_default(),
        service: row.id("grid_service_id"),
        linked_service: row.id("grid_service_id").and_then(|id| services.get(&id).cloned()),
        deploy: row.id("grid_service_deploy_id").and_then(|id| deploys.get(&id).cloned()),
        order: row.id("acme_order_id"),
    })
}
