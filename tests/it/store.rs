//! A database of its own for each test, and the parties that contend for its lease.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use kontena_core::election::{
    Answer, Command, EndReason, HolderId, Lease, LeaseStore, RaiseAnswer, TTL_DEFAULT, Term, Version,
};
use kontena_store::{
    Authority, CommandCounter, DatabaseUri, LeaseParty, Limits, MongoLease, Purpose, SessionId, Store,
    Writer, WriterHandle, WriterSession,
};
use kontena_testkit::mongod::{Database, shared};
use mongodb::Client;
use mongodb::bson::{Document, doc};
use secrecy::SecretString;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const TTL: Duration = TTL_DEFAULT;
pub(crate) const LIMIT: Duration = Duration::from_secs(5);

/// A fresh database, with the collections that a master makes.
pub(crate) async fn fresh() -> Result<Database> {
    let database = shared().await?.database();
    prepare(&database).await?;
    Ok(database)
}

/// Makes the collections that a master makes.
pub(crate) async fn prepare(database: &Database) -> Result<()> {
    let store = open(&database.uri, Purpose::Main).await?;
    store.ensure_indexes(LIMIT).await?;
    store.ensure_probe().await?;
    Ok(())
}

pub(crate) async fn open(uri: &str, purpose: Purpose) -> Result<Store> {
    Ok(Store::open(&database_uri(uri), purpose, &CommandCounter::default()).await?)
}

pub(crate) fn database_uri(uri: &str) -> DatabaseUri {
    DatabaseUri::from(SecretString::from(uri))
}

/// The documents of a database as they stand.
pub(crate) struct Outside {
    database: mongodb::Database,
}

impl Outside {
    pub(crate) async fn of(database: &Database) -> Result<Self> {
        let client = Client::with_uri_str(&database.uri).await?;
        Ok(Self { database: client.database(&database.name) })
    }

    pub(crate) async fn one(&self, collection: &str, filter: Document) -> Result<Document> {
        let found = self.database.collection::<Document>(collection).find_one(filter).await?;
        found.ok_or_else(|| anyhow::anyhow!("nothing like this in {collection}"))
    }

    pub(crate) async fn count(&self, collection: &str, filter: Document) -> Result<u64> {
        Ok(self.database.collection::<Document>(collection).count_documents(filter).await?)
    }

    pub(crate) fn collection(&self, name: &str) -> mongodb::Collection<Document> {
        self.database.collection(name)
    }

    pub(crate) fn database(&self) -> &mongodb::Database {
        &self.database
    }
}

/// Whether its owner may act, as a test wants it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Permission {
    pub(crate) revoked: Arc<AtomicBool>,
    pub(crate) superseded: Arc<AtomicU64>,
}

impl Authority for Permission {
    fn may_act(&self, _: Term) -> bool {
        !self.revoked.load(Ordering::SeqCst)
    }

    fn superseded(&self, term: Term) {
        self.superseded.store(term.0, Ordering::SeqCst);
    }
}

/// One contender: a lease store, and a fenced writer with its session.
pub(crate) struct Party {
    pub(crate) id: HolderId,
    pub(crate) lease: MongoLease,
    pub(crate) store: Store,
    pub(crate) session: SessionId,
    pub(crate) writer: WriterHandle,
    pub(crate) permission: Permission,
    pub(crate) stop: CancellationToken,
    pub(crate) writing: JoinHandle<()>,
}

impl Party {
    pub(crate) async fn new(number: u8, uri: &str) -> Result<Self> {
        // A busy machine may take longer than a master would wait.
        Self::with_limits(number, uri, Limits { duration: LIMIT, ..Limits::default() }).await
    }

    pub(crate) async fn with_limits(number: u8, uri: &str, limits: Limits) -> Result<Self> {
        let id = HolderId::from_bytes([number; 16]);
        let main = open(uri, Purpose::Main).await?;
        let store = open(uri, Purpose::Lease { patience: Duration::from_millis(500) }).await?;
        let session = WriterSession::open(&main).await?;
        let name = format!("party-{number}");
        let party = LeaseParty { holder: id, name, session: session.id() };
        let lease = MongoLease::new(&store, party);
        let (permission, stop, session_id) = (Permission::default(), CancellationToken::new(), session.id());
        let (task, writer) = Writer::new(&main, session, permission.clone(), limits);
        let writing = tokio::spawn(task.run(stop.clone()));
        Ok(Self { id, lease, store, session: session_id, writer, permission, stop, writing })
    }

    /// More patient than a master: how long a call takes is the subject of few tests, and a busy machine is slow.
    pub(crate) async fn execute(&self, command: Command) -> Answer {
        self.lease.execute(command, LIMIT).await
    }

    pub(crate) async fn raise(&self, term: Term) -> RaiseAnswer {
        self.lease.raise(term, LIMIT).await
    }

    pub(crate) async fn look(&self) -> Option<Lease> {
        // The first look at another primary counts for nothing.
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.execute(Command::Look).await {
                Answer::Seen(lease) => return lease,
                other => assert!(Instant::now() < deadline, "a look was answered {other:?}"),
            }
        }
    }

    pub(crate) async fn acquire(&self, observed: Version) -> Answer {
        self.execute(Command::Acquire { observed, term: observed.term.next(), ttl: TTL }).await
    }

    /// Creates the lease if need be, and takes it.
    pub(crate) async fn take(&self) -> Term {
        let deadline = Instant::now() + LIMIT;
        // What was created shows when a majority has it.
        let observed = loop {
            match self.look().await {
                Some(lease) => break lease.version,
                None => self.execute(Command::Create).await,
            };
            assert!(Instant::now() < deadline, "there is no lease");
        };
        assert_eq!(self.acquire(observed).await, Answer::Applied);
        observed.term.next()
    }

    pub(crate) async fn renew(&self, term: Term) -> Answer {
        self.execute(Command::Renew { term, ttl: TTL }).await
    }

    /// As patient as a master with a lease of [`TTL`].
    pub(crate) async fn renew_in_time(&self, term: Term) -> Answer {
        self.lease.execute(Command::Renew { term, ttl: TTL }, TTL / 5).await
    }

    pub(crate) async fn release(&self, term: Term) -> Answer {
        self.execute(Command::Release { term, reason: EndReason::Released }).await
    }

    /// Takes the lease and raises the fence.
    pub(crate) async fn lead(&self) -> Term {
        let term = self.take().await;
        assert_eq!(self.raise(term).await, RaiseAnswer::Raised);
        term
    }
}

/// The fence as it stands.
pub(crate) async fn fence(outside: &Outside) -> Result<Document> {
    outside.one("fences", doc! { "_id": "leader" }).await
}
