//! What an administrator's check-up asks the database: facts only, nothing is changed. What the user may not ask is
//! told as such.

use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::join_all;
use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::options::ServerAddress;

use crate::client::Store;
use crate::command::{Failure, find_first, millis};
use crate::indexes::{self, MustBeUnique};
use crate::lease::{LEADER, LEASES};

/// The server's code for a command that the user may not use.
const UNAUTHORIZED: i32 = 13;

/// A fact, or that this user may not know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known<T> {
    /// The fact.
    Fact(T),
    /// The user lacks the right to ask.
    Denied,
}

/// One member of the replica set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberFacts {
    /// As the set calls it.
    pub host: String,
    /// It votes and carries no data.
    pub arbiter: bool,
    /// As in `replSetGetStatus`, if it is known.
    pub state: Option<String>,
}

/// How the replica set is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetFacts {
    /// All members.
    pub members: Vec<MemberFacts>,
    /// `electionTimeoutMillis`.
    pub election_timeout: Duration,
    /// `chainingAllowed`: whether secondaries copy from one another.
    pub chains: bool,
    /// Whether a majority acknowledges what is in its journals only.
    pub majority_journals: bool,
}

impl SetFacts {
    /// Members that do not do what they are there for.
    pub fn unwell(&self) -> impl Iterator<Item = Unwell<'_>> {
        self.members.iter().filter_map(|member| {
            let state = member.state.as_deref()?;
            let well = ["PRIMARY", "SECONDARY", "ARBITER"].contains(&state);
            (!well).then_some(Unwell { host: &member.host, state })
        })
    }
}

/// A member that does not do what it is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwell<'a> {
    /// As the set calls it.
    pub host: &'a str,
    /// As in `replSetGetStatus`.
    pub state: &'a str,
}

impl Unwell<'_> {
    /// What is wrong.
    #[must_use]
    pub fn what(&self) -> String {
        format!("the database's member {} is {}", self.host, self.state)
    }

    /// What to do.
    #[must_use]
    pub fn remedy(&self) -> String {
        let host = self.host;
        format!(
            "see that {host} is reached, that its disk has room (df -h), and what its log says (journalctl -u mongod)"
        )
    }
}

/// A member that does not answer new connections of this host. The set may find it well all the same: it is cut off from
/// this host only, or has no file descriptors left for anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silent {
    /// As the set calls it.
    pub host: String,
}

impl Silent {
    /// What is wrong.
    #[must_use]
    pub fn what(&self) -> String {
        format!("the database's member {} does not answer new connections from here", self.host)
    }

    /// What to do.
    #[must_use]
    pub fn remedy(&self) -> String {
        let host = &self.host;
        format!(
            "see that {host} is reached from this host (nc -vz), that mongod runs there, and that it has open files left \
             (LimitNOFILE=64000 in its unit)"
        )
    }
}

/// Documents that keep a unique index from being made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicates {
    /// The collection.
    pub collection: &'static str,
    /// The fields that should be unique together.
    pub fields: &'static [&'static str],
    /// How many values stand in more than one document.
    pub values: u64,
    /// One of them, as JSON.
    pub example: String,
}

impl Store {
    /// How the replica set is set up, and how its members are.
    pub async fn replica_set(&self, limit: Duration) -> Result<Known<SetFacts>, Failure> {
        let config = match self.ask_admin(doc! { "replSetGetConfig": 1 }, limit).await? {
            Known::Fact(config) => config,
            Known::Denied => return Ok(Known::Denied),
        };
        let states = match self.ask_admin(doc! { "replSetGetStatus": 1 }, limit).await? {
            Known::Fact(status) => status,
            Known::Denied => Document::new(),
        };
        let config = config.get_document("config").cloned().unwrap_or_default();
        let settings = config.get_document("settings").cloned().unwrap_or_default();
        let election_timeout = settings.get("electionTimeoutMillis").and_then(whole).unwrap_or(10_000);
        let members = documents(&config, "members").map(|member| {
            let host = member.get_str("host").unwrap_or("unknown").to_owned();
            let state = documents(&states, "members")
                .find(|state| state.get_str("name").is_ok_and(|name| name == host))
                .and_then(|state| state.get_str("stateStr").ok().map(str::to_owned));
            MemberFacts { arbiter: member.get_bool("arbiterOnly").unwrap_or(false), host, state }
        });
        Ok(Known::Fact(SetFacts {
            members: members.collect(),
            election_timeout: Duration::from_millis(election_timeout),
            chains: settings.get_bool("chainingAllowed").unwrap_or(true),
            majority_journals: config.get_bool("writeConcernMajorityJournalDefault").unwrap_or(true),
        }))
    }

    /// Members that do not answer a new connection within the limit. Where the address asks for one member alone, the
    /// others are nobody's business.
    pub async fn silent_members(&self, limit: Duration) -> Result<Vec<Silent>, Failure> {
        if self.is_direct() {
            return Ok(Vec::new());
        }
        let hello = self.database().run_command(doc! { "hello": 1, "maxTimeMS": millis(limit) }).await?;
        let members =
            ["hosts", "passives", "arbiters"].into_iter().flat_map(|key| hello.get_array(key)).flatten();
        let asked = members.filter_map(Bson::as_str).map(|member| async move {
            let silent = Silent { host: member.to_owned() };
            (!self.answers_anew(member, limit).await).then_some(silent)
        });
        Ok(join_all(asked).await.into_iter().flatten().collect())
    }

    async fn answers_anew(&self, member: &str, limit: Duration) -> bool {
        let Ok(address) = ServerAddress::parse(member) else { return false };
        let Ok(client) = self.stranger(address, limit) else { return false };
        let asked = async { client.database("admin").run_command(doc! { "hello": 1 }).await };
        let answer = tokio::time::timeout(limit, asked).await;
        client.shutdown().immediate(true).await;
        answer.is_ok_and(|answer| answer.is_ok())
    }

    /// Milliseconds since 1970 by the database's clock.
    pub async fn wall_clock(&self, limit: Duration) -> Result<Option<i64>, Failure> {
        let hello = self.database().run_command(doc! { "hello": 1, "maxTimeMS": millis(limit) }).await?;
        Ok(hello.get_datetime("localTime").ok().map(|at: &DateTime| at.timestamp_millis()))
    }

    /// Reads the lease as a follower does, for the time that it takes.
    pub async fn look_at_lease(&self, limit: Duration) -> Result<(), Failure> {
        find_first(self.database(), LEASES, doc! { "_id": LEADER }, "linearizable", limit).await.map(drop)
    }

    /// What stands twice where an index wants it once.
    pub async fn duplicates(&self, limit: Duration) -> Result<Vec<Duplicates>, Failure> {
        let mut found = Vec::new();
        for MustBeUnique { collection, fields, among } in indexes::unique() {
            let key: Document =
                fields.iter().map(|field| ((*field).to_owned(), Bson::from(format!("${field}")))).collect();
            let pipeline = [
                doc! { "$match": among },
                doc! { "$group": { "_id": key, "count": { "$sum": 1 } } },
                doc! { "$match": { "count": { "$gt": 1 } } },
                doc! { "$group": { "_id": null, "values": { "$sum": 1 }, "example": { "$first": "$_id" } } },
            ];
            let documents = self.database().collection::<Document>(collection);
            let mut cursor = documents.aggregate(pipeline).max_time(limit).await?;
            if let Some(row) = cursor.try_next().await? {
                found.push(Duplicates {
                    collection,
                    fields,
                    values: row.get("values").and_then(whole).unwrap_or(1),
                    example: row.get("example").map(ToString::to_string).unwrap_or_default(),
                });
            }
        }
        Ok(found)
    }

    async fn ask_admin(&self, mut command: Document, limit: Duration) -> Result<Known<Document>, Failure> {
        command.insert("maxTimeMS", millis(limit));
        match self.client().database("admin").run_command(command).await {
            Ok(reply) => Ok(Known::Fact(reply)),
            Err(error) => match &*error.kind {
                mongodb::error::ErrorKind::Command(refused) if refused.code == UNAUTHORIZED => {
                    Ok(Known::Denied)
                }
                _ => Err(error.into()),
            },
        }
    }
}

fn documents<'a>(document: &'a Document, key: &str) -> impl Iterator<Item = &'a Document> {
    document.get_array(key).into_iter().flatten().filter_map(Bson::as_document)
}

fn whole(value: &Bson) -> Option<u64> {
    match value {
        Bson::Int32(value) => u64::try_from(*value).ok(),
        Bson::Int64(value) => u64::try_from(*value).ok(),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just before")]
        Bson::Double(value) if *value >= 0.0 && *value < 1e15 => Some(*value as u64),
        _ => None,
    }
}
