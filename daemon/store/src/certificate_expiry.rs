//! Certificates that end soon, and that their grid is told so once a day: the field `expiry_told_at` is ours.

use std::time::Duration;

use futures_util::TryStreamExt;
use kontena_core::id::Id;
use mongodb::Database;
use mongodb::bson::{Bson, DateTime, Document, doc};

use crate::certificates::CERTIFICATES;
use crate::client::Store;
use crate::command::{Failure, millis};
use crate::document::{Read, oid};
use crate::effect::{Effect, Statement};

/// A certificate that ends soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiringCertificate {
    certificate: Id,
    valid_until: DateTime,
    told_at: Bson,
    /// Whose.
    pub grid: Id,
    /// Its first domain.
    pub subject: String,
    /// How long it is still valid, by the database's clock; `None`: it ended.
    pub left: Option<Duration>,
}

impl ExpiringCertificate {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> Id {
        self.certificate
    }

    /// When it ends, in milliseconds since 1970.
    #[must_use]
    pub fn valid_until(&self) -> i64 {
        self.valid_until.timestamp_millis()
    }

    /// Notes that its grid is told, unless it was renewed or told since.
    #[must_use]
    pub fn told(&self) -> Effect {
        let filter = doc! {
            "_id": oid(self.certificate), "valid_until": self.valid_until, "expiry_told_at": &self.told_at,
        };
        // The date of the last change is left alone: for the grid nothing has changed.
        let change = doc! { "$currentDate": { "expiry_told_at": true } };
        Effect { collection: CERTIFICATES, statement: Statement::Update { filter, change } }
    }
}

/// The collection.
#[derive(Clone, Debug)]
pub struct CertificateExpiry {
    database: Database,
}

impl Store {
    /// Certificates that end soon.
    #[must_use]
    pub fn certificate_expiry(&self) -> CertificateExpiry {
        CertificateExpiry { database: self.database().clone() }
    }
}

impl CertificateExpiry {
    /// At most `count` that end within `ahead`, and of which nobody was told for `every`.
    pub async fn soon(
        &self,
        ahead: Duration,
        every: Duration,
        count: i64,
        limit: Duration,
    ) -> Result<Vec<ExpiringCertificate>, Failure> {
        let untold = doc! { "$or": [
            { "expiry_told_at": Bson::Null },
            { "$expr": { "$lt": ["$expiry_told_at", { "$subtract": ["$$NOW", millis(every)] }] } },
        ] };
        let pipeline = [
            doc! { "$match": {
                "valid_until": { "$type": "date" },
                "$expr": { "$lt": ["$valid_until", { "$add": ["$$NOW", millis(ahead)] }] },
            } },
            doc! { "$match": untold },
            doc! { "$sort": { "valid_until": 1 } },
            doc! { "$limit": count },
            doc! { "$project": {
                "grid_id": 1, "subject": 1, "valid_until": 1, "expiry_told_at": 1,
                "left": { "$subtract": ["$valid_until", "$$NOW"] },
            } },
        ];
        let collection = self.database.collection::<Document>(CERTIFICATES);
        let rows: Vec<Document> = collection.aggregate(pipeline).max_time(limit).await?.try_collect().await?;
        let expiring = |row: &Document| {
            Some(ExpiringCertificate {
                certificate: row.id("_id")?,
                valid_until: row.get_datetime("valid_until").copied().ok()?,
                told_at: row.get("expiry_told_at").cloned().unwrap_or(Bson::Null),
                grid: row.id("grid_id")?,
                subject: row.text_or_empty("subject"),
                left: row.whole("left").and_then(|left| u64::try_from(left).ok()).map(Duration::from_millis),
            })
        };
        Ok(rows.iter().filter_map(expiring).collect())
    }
}
