//! The lease: `leases {_id: "leader", ...}`.
//!
//! Every write is a compare-and-set, acknowledged by a majority. An answer that did not come is `Unknown`; a
//! write that matched nothing is `Refused`. Times in the document come from the database's clock, are for
//! people only, and decide nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use kontena_core::election::{
    Answer, Command, EndReason, HolderId, Lease, LeaseStore, PROTOCOL, RaiseAnswer, TTL_DEFAULT, Term,
    Version,
};
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};

use crate::client::Store;
use crate::command::{Failure, counter, find_first, stored, write};
use crate::fence;
use crate::primaries::Primaries;
use crate::session::SessionId;

pub(crate) const LEASES: &str = "leases";
pub(crate) const LEADER: &str = "leader";

/// Who takes and holds the lease.
#[derive(Clone, Debug)]
pub struct LeaseParty {
    /// This process.
    pub holder: HolderId,
    /// Its host's name, for people.
    pub name: String,
    /// The session of its fenced writer.
    pub session: SessionId,
}

/// The lease and the fence in a real database.
#[derive(Debug)]
pub struct MongoLease {
    database: Database,
    party: LeaseParty,
    primaries: Primaries,
    /// How many primaries there had been at the last look.
    looked: AtomicU64,
    /// Whether nothing came back from the last renewal.
    unanswered: AtomicBool,
}

impl MongoLease {
    /// The lease in `store`, on behalf of `party`.
    #[must_use]
    pub fn new(store: &Store, party: LeaseParty) -> Self {
        let primaries = store.primaries().clone();
        let (looked, unanswered) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { database: store.database().clone(), party, primaries, looked, unanswered }
    }

    /// What a majority has. It may be older than what stands there now, which costs nothing but a refused
    /// acquire: a version that was committed was sent before it was seen, so silence that is counted from its
    /// sight never ends before its holder's time, and who takes the lease names the version that must still be
    /// the last. A linearizable read would wait for a majority to take a write. That takes up to a heartbeat of
    /// the members while one of them, cut off, is still believed in, and a follower would count no silence then.
    ///
    /// A primary that lost its majority goes on to show what it had, while its successor is elected: the first
    /// look at another primary counts for nothing, so that the holder has all of its time to renew there.
    async fn look(&self, limit: Duration) -> Result<Option<Lease>, Failure> {
        let found = find_first(&self.database, LEASES, doc! { "_id": LEADER }, "majority", limit).await?;
        let primaries = self.primaries.seen();
        if self.looked.swap(primaries, Ordering::SeqCst) != primaries {
            return Err(Failure::unknown("the first look at a primary"));
        }
        found.as_ref().map(parse).transpose()
    }

    async fn create(&self, limit: Duration) -> Result<(), Failure> {
        let fence =
            find_first(&self.database, fence::FENCES, doc! { "_id": LEADER }, "majority", limit).await?;
        let term = fence.as_ref().and_then(|fence| counter(fence, "term")).unwrap_or(0);
        let command = doc! { "insert": LEASES, "documents": [{
            "_id": LEADER,
            "protocol": PROTOCOL,
            "term": stored(term),
            "seq": stored(0),
            "holder": Bson::Null,
            // Whoever takes it puts in its own.
            "ttl_ms": ttl_ms(TTL_DEFAULT),
        }] };
        write(&self.database, command, limit).await.map(drop)
    }

    async fn update(
        &self,
        filter: Document,
        pipeline: Vec<Document>,
        limit: Duration,
    ) -> Result<bool, Failure> {
        let command = doc! { "update": LEASES, "updates": [{ "q": filter, "u": pipeline }] };
        Ok(write(&self.database, command, limit).await? > 0)
    }

    fn acquire(&self, observed: Version, term: Term, ttl: Duration) -> (Document, Vec<Document>) {
        let filter = doc! { "_id": LEADER, "term": stored(observed.term.0), "seq": stored(observed.seq) };
        let silent = doc! {
            "term": "$term", "holder": "$holder", "name": "$name", "reason": EndReason::Expired.name(),
            "at": "$renewed_at",
        };
        let set = doc! { "$set": {
            "previous": { "$cond": [
                { "$eq": [{ "$type": "$holder" }, "string"] }, silent, { "$ifNull": ["$released", Bson::Null] },
            ] },
            "protocol": PROTOCOL,
            "term": stored(term.0),
            "seq": { "$add": ["$seq", stored(1)] },
            "holder": self.party.holder.to_string(),
            "name": { "$literal": &self.party.name },
            "ttl_ms": ttl_ms(ttl),
            "renewed_at": "$$NOW",
            "acquired_at": "$$NOW",
        } };
        (filter, vec![set, doc! { "$unset": "released" }])
    }

    /// Where answers are lost, renewals may arrive all the same, and each one has the others wait for another ttl. So
    /// after one from which nothing came back, it is asked first whether anything does; the next one renews again.
    async fn renew(&self, term: Term, ttl: Duration, limit: Duration) -> Result<bool, Failure> {
        if self.unanswered.load(Ordering::SeqCst) {
            self.database.run_command(doc! { "ping": 1 }).await?;
            self.unanswered.store(false, Ordering::SeqCst);
            return Err(Failure::unknown("answers come again"));
        }
        // It stays so if whoever waits gives up. An error is an answer.
        self.unanswered.store(true, Ordering::SeqCst);
        let (filter, change) = self.renewal(term, ttl);
        let renewed = self.update(filter, change, limit).await;
        self.unanswered.store(false, Ordering::SeqCst);
        renewed
    }

    fn renewal(&self, term: Term, ttl: Duration) -> (Document, Vec<Document>) {
        let filter = doc! { "_id": LEADER, "term": stored(term.0), "holder": self.party.holder.to_string() };
        let set = doc! { "$set": {
            "seq": { "$add": ["$seq", stored(1)] },
            "ttl_ms": ttl_ms(ttl),
            "renewed_at": "$$NOW",
        } };
        (filter, vec![set])
    }

    fn release(&self, term: Term, reason: EndReason) -> (Document, Vec<Document>) {
        let filter = doc! { "_id": LEADER, "term": stored(term.0), "holder": self.party.holder.to_string() };
        (filter, vec![released(reason)])
    }
}

impl LeaseStore for MongoLease {
    async fn execute(&self, command: Command, limit: Duration) -> Answer {
        let written = match command {
            Command::Look => {
                return match self.look(limit).await {
                    Ok(lease) => Answer::Seen(lease),
                    Err(failure) => unknown("look", &failure),
                };
            }
            Command::Create => match self.create(limit).await {
                Ok(()) => Ok(true),
                Err(Failure::Duplicate) => Ok(false),
                Err(failure) => Err(failure),
            },
            Command::Acquire { observed, term, ttl } => {
                let (filter, change) = self.acquire(observed, term, ttl);
                self.update(filter, change, limit).await
            }
            Command::Renew { term, ttl } => self.renew(term, ttl, limit).await,
            Command::Release { term, reason } => {
                let (filter, change) = self.release(term, reason);
                self.update(filter, change, limit).await
            }
            Command::Raise { .. } => {
                return unknown("write", &Failure::unknown("a raise is not a call on the lease"));
            }
        };
        match written {
            Ok(true) => Answer::Applied,
            Ok(false) => Answer::Refused,
            Err(failure) => unknown("write", &failure),
        }
    }

    async fn raise(&self, term: Term, limit: Duration) -> RaiseAnswer {
        match fence::raise(&self.database, term, self.party.session, limit).await {
            Ok(answer) => answer,
            Err(failure) => {
                tracing::debug!(%failure, %term, "the fence was not raised");
                RaiseAnswer::Unknown
            }
        }
    }
}

/// Gives the lease back on behalf of a process that is dead, whatever term it held. Its session is ended too,
/// so that nothing it left open blocks its successor. Returns whether it held the lease.
pub async fn release_by_holder(
    store: &Store,
    holder: HolderId,
    session: SessionId,
    limit: Duration,
) -> Result<bool, Failure> {
    let filter = doc! { "_id": LEADER, "holder": holder.to_string() };
    let command =
        doc! { "update": LEASES, "updates": [{ "q": filter, "u": [released(EndReason::Crashed)] }] };
    let held = write(store.database(), command, limit).await? > 0;
    fence::kill_sessions(store.database(), &[session]).await?;
    Ok(held)
}

/// What turns a held lease into a free one. The sequence number moves too, so that whoever watches notices.
fn released(reason: EndReason) -> Document {
    doc! { "$set": {
        "released": {
            "term": "$term", "holder": "$holder", "name": "$name", "reason": reason.name(), "at": "$$NOW",
        },
        "holder": Bson::Null,
        "seq": { "$add": ["$seq", stored(1)] },
    } }
}

fn ttl_ms(ttl: Duration) -> Bson {
    stored(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
}

fn unknown(what: &'static str, failure: &Failure) -> Answer {
    tracing::debug!(%failure, what, "no answer from the lease");
    Answer::Unknown
}

fn parse(document: &Document) -> Result<Lease, Failure> {
    let invalid = |key: &str| Failure::unknown(format!("the lease has no valid {key}"));
    let number = |key: &str| counter(document, key).ok_or_else(|| invalid(key));
    let holder = match document.get("holder") {
        None | Some(Bson::Null) => None,
        Some(Bson::String(text)) => Some(text.parse().map_err(|_| invalid("holder"))?),
        Some(_) => return Err(invalid("holder")),
    };
    Ok(Lease {
        protocol: u32::try_from(number("protocol")?).map_err(|_| invalid("protocol"))?,
        version: Version { term: Term(number("term")?), seq: number("seq")? },
        holder,
        ttl: Duration::from_millis(number("ttl_ms")?),
    })
}
