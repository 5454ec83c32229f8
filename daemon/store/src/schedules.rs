//! When duties with long pauses ran last: `duty_schedules {_id: duty, last_run_at, term}`. The note is changed in the
//! transaction of the run itself, so that the next is due at its time whoever leads by then.

use std::time::Duration;

use futures_util::TryStreamExt;
use kontena_core::election::Term;
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};

use crate::client::Store;
use crate::command::Failure;
use crate::document::Read;
use crate::effect::{Effect, Statement};

pub(crate) const SCHEDULES: &str = "duty_schedules";

/// The last run of a duty.
#[derive(Clone, Debug, PartialEq)]
pub struct LastRun {
    duty: &'static str,
    at: Bson,
    /// How long ago it was, by the database's clock. `None`: it never ran.
    pub ago: Option<Duration>,
}

impl LastRun {
    /// Notes that the duty runs now. Fails as stale if it ran since.
    #[must_use]
    pub fn now(&self, term: Term) -> Effect {
        let filter = doc! { "_id": self.duty, "last_run_at": &self.at };
        let pipeline = vec![doc! { "$set": {
            "last_run_at": "$$NOW", "term": i64::try_from(term.0).unwrap_or(i64::MAX),
        } }];
        Effect { collection: SCHEDULES, statement: Statement::Compute { filter, pipeline } }
    }
}

/// The collection.
#[derive(Clone, Debug)]
pub struct Schedules {
    database: Database,
}

impl Store {
    /// When duties ran last.
    #[must_use]
    pub fn schedules(&self) -> Schedules {
        Schedules { database: self.database().clone() }
    }
}

impl Schedules {
    /// When a duty ran last.
    pub async fn last(&self, duty: &'static str, limit: Duration) -> Result<LastRun, Failure> {
        let pipeline = [
            doc! { "$match": { "_id": duty } },
            doc! { "$set": { "ago": { "$subtract": ["$$NOW", "$last_run_at"] } } },
        ];
        let collection = self.database.collection::<Document>(SCHEDULES);
        let rows: Vec<Document> = collection.aggregate(pipeline).max_time(limit).await?.try_collect().await?;
        let row = rows.into_iter().next().unwrap_or_default();
        let ago = row.whole("ago").map(|ago| Duration::from_millis(u64::try_from(ago).unwrap_or(0)));
        Ok(LastRun { duty, at: row.get("last_run_at").cloned().unwrap_or(Bson::Null), ago })
    }
}
