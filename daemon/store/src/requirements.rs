//! What the database must be, checked before a master stands: a replica set, and new enough.

use std::time::Duration;

use mongodb::bson::doc;
use thiserror::Error;

use crate::client::Store;
use crate::command::{Failure, millis};

/// The oldest server that has what we rely on.
pub const OLDEST_SERVER: &str = "5.0";

/// What was found out about the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The server's version.
    pub version: String,
    /// The replica set's name.
    pub replica_set: String,
    /// How many members carry data or may vote.
    pub members: usize,
}

/// Why a database cannot carry the masters.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unfit {
    /// Not a replica set.
    #[error(
        "the MongoDB server at {address} is not a member of a replica set: start it with --replSet rs0 (or \
         replication.replSetName in mongod.conf), run `mongosh --eval 'rs.initiate()'` once, and add \
         replicaSet=rs0 to mongodb.uri"
    )]
    StandAlone {
        /// Of the server that answered.
        address: String,
    },
    /// A router of a sharded cluster.
    #[error("mongodb.uri leads to a mongos router: name the members of one replica set instead")]
    Sharded,
    /// Older than [`OLDEST_SERVER`].
    #[error("MongoDB {version} is too old: {OLDEST_SERVER} or newer is needed")]
    TooOld {
        /// The version that was found.
        version: String,
    },
}

impl Store {
    /// Asks the database what it is.
    pub async fn examine(&self, limit: Duration) -> Result<Result<Facts, Unfit>, Failure> {
        let admin = self.client().database("admin");
        let max_time = millis(limit);
        let hello = admin.run_command(doc! { "hello": 1, "maxTimeMS": max_time }).await?;
        if hello.get_str("msg").is_ok_and(|message| message == "isdbgrid") {
            return Ok(Err(Unfit::Sharded));
        }
        let Ok(replica_set) = hello.get_str("setName").map(str::to_owned) else {
            let address = hello.get_str("me").unwrap_or("mongodb.uri").to_owned();
            return Ok(Err(Unfit::StandAlone { address }));
        };
        let members = ["hosts", "passives", "arbiters"]
            .iter()
            .filter_map(|key| hello.get_array(key).ok())
            .map(Vec::len)
            .sum();
        let build = admin.run_command(doc! { "buildInfo": 1, "maxTimeMS": max_time }).await?;
        let version = build.get_str("version").unwrap_or("unknown").to_owned();
        Ok(if new_enough(&version) {
            Ok(Facts { version, replica_set, members })
        } else {
            Err(Unfit::TooOld { version })
        })
    }
}

fn new_enough(version: &str) -> bool {
    let numbers = |text: &str| {
        let mut parts = text.split('.').map(|part| part.parse::<u32>().ok());
        Some((parts.next()??, parts.next()??))
    };
    match (numbers(version), numbers(OLDEST_SERVER)) {
        (Some(found), Some(oldest)) => found >= oldest,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::new_enough;

    #[test]
    fn versions_are_compared_as_numbers() {
        for version in ["5.0.0", "5.0.32", "6.0.5", "10.0.1", "8.2.0-rc1"] {
            assert!(new_enough(version), "{version}");
        }
        for version in ["3.6.23", "4.4.29", "4.10.0", "unknown", ""] {
            assert!(!new_enough(version), "{version}");
        }
    }
}
