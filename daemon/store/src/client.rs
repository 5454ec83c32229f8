//! Connections to the database: three clients with different patience, because a busy pool must not delay a
//! renewal, and a waiting change stream must not occupy a connection that a request needs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kontena_core::election::HolderId;
use mongodb::bson::doc;
use mongodb::error::ErrorKind;
use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use mongodb::options::{
    Acknowledgment, ClientOptions, ConnectionString, ReadConcern, ReadPreference, SelectionCriteria,
    ServerAddress, WriteConcern,
};
use mongodb::{Client, Database};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use crate::command::{Failure, millis};
use crate::primaries::Primaries;
use crate::{
    Bus, Containers, HostNodes, LeaderHistory, Masters, OriginalLock, Pods, Sentinel, ServiceInstances,
    Telemetry, VolumeInstances,
};

/// The name under which the server lists our connections.
const APP_NAME: &str = "kontena-master";

/// The same for those of one master.
pub(crate) fn app_name(master: HolderId) -> String {
    format!("{APP_NAME} {master}")
}

/// Where the database is, secret included. It never shows in `Debug`.
#[derive(Clone)]
pub struct DatabaseUri(SecretString);

impl DatabaseUri {
    /// The text, for the one file that the release program needs.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl DatabaseUri {
    /// Says what is wrong with its form. The text may hold a password: nothing of it is quoted.
    pub fn check(&self) -> Result<(), ConnectionError> {
        let text = self.expose();
        if !(text.starts_with("mongodb://") || text.starts_with("mongodb+srv://")) {
            return Err(ConnectionError::Scheme);
        }
        let parsed = ConnectionString::parse(text).map_err(|error| {
            // Whoever writes a password writes an at sign behind it.
            ConnectionError::Uri(if text.contains('@') {
                "it is not in the form of a MongoDB URI (in a password, write special characters like %40 for @)"
                    .to_owned()
            } else {
                match *error.kind {
                    ErrorKind::InvalidArgument { message, .. } => message,
                    other => other.to_string(),
                }
            })
        })?;
        parsed.default_database.map(drop).ok_or(ConnectionError::NoDatabase)
    }
}

impl From<SecretString> for DatabaseUri {
    fn from(text: SecretString) -> Self {
        Self(text)
    }
}

impl fmt::Debug for DatabaseUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUri(..)")
    }
}

/// What a client is for, which decides how patient it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Calls on the lease and the fence: each is tried again soon by its own loop.
    Lease {
        /// The longest wait for a connection.
        patience: Duration,
    },
    /// Change streams: patient, with many waiting connections.
    Streams,
    /// What agents report and ask: many at once, and none of it may keep others waiting.
    Agents,
    /// Everything else.
    Main,
}

/// The address of the database cannot be used.
#[derive(Debug, Error)]
pub enum ConnectionError {
    /// It is no address of a database at all.
    #[error("does not start with mongodb:// or mongodb+srv://")]
    Scheme,
    /// The driver does not understand the address.
    #[error("cannot be used: {0}")]
    Uri(String),
    /// The address names no database.
    #[error(
        "names no database: put its name behind the hosts, as in \
         mongodb://host1,host2/kontena_server?replicaSet=rs0"
    )]
    NoDatabase,
}

/// Counts the commands that the driver sends, monitoring not included.
#[derive(Clone, Debug, Default)]
pub struct CommandCounter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    all: AtomicU64,
    kinds: Mutex<BTreeMap<CommandKind, u64>>,
}

/// A command's name, and the collection that it is about; no collection if it is about none.
pub type CommandKind = (String, String);

/// Collections that are counted by name; there are fewer, but a name may come from anywhere.
const KINDS_MAX: usize = 512;

impl CommandCounter {
    /// How many commands were sent so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.all.load(Ordering::Relaxed)
    }

    /// How many of which kind.
    #[must_use]
    pub fn kinds(&self) -> BTreeMap<CommandKind, u64> {
        self.0.kinds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn handler(&self) -> EventHandler<CommandEvent> {
        let counts = Arc::clone(&self.0);
        EventHandler::callback(move |event| {
            if let CommandEvent::Started(started) = event {
                counts.all.fetch_add(1, Ordering::Relaxed);
                let name = started.command_name;
                let about = if name == "getMore" { "collection" } else { name.as_str() };
                let about = started.command.get_str(about).unwrap_or_default().to_owned();
                let mut kinds = counts.kinds.lock().unwrap_or_else(PoisonError::into_inner);
                if kinds.len() < KINDS_MAX {
                    *kinds.entry((name, about)).or_default() += 1;
                }
            }
        })
    }
}

/// One client and its database.
#[derive(Clone, Debug)]
pub struct Store {
    client: Client,
    database: Database,
    primaries: Primaries,
    /// The address as it was given, without the user.
    strange: Arc<ClientOptions>,
}

impl Store {
    /// Makes a client of nobody in particular, as [`Store::open_as`] does.
    pub async fn open(
        uri: &DatabaseUri,
        purpose: Purpose,
        counter: &CommandCounter,
    ) -> Result<Self, ConnectionError> {
        Self::named(uri, purpose, counter, APP_NAME.to_owned()).await
    }

    /// Makes a client of the master `me`, by whose name the others end what it leaves open. Nothing is connected yet, so
    /// this succeeds without a database. The background tasks of the client belong to the runtime that calls.
    pub async fn open_as(
        me: HolderId,
        uri: &DatabaseUri,
        purpose: Purpose,
        counter: &CommandCounter,
    ) -> Result<Self, ConnectionError> {
        Self::named(uri, purpose, counter, app_name(me)).await
    }

    async fn named(
        uri: &DatabaseUri,
        purpose: Purpose,
        counter: &CommandCounter,
        app_name: String,
    ) -> Result<Self, ConnectionError> {
        let mut options = ClientOptions::parse(uri.expose())
            .await
            .map_err(|error| ConnectionError::Uri(error.to_string()))?;
        let name = options.default_database.clone().ok_or(ConnectionError::NoDatabase)?;
        let mut strange = options.clone();
        strange.credential = None;
        options.app_name = Some(app_name);
        options.command_event_handler = Some(counter.handler());
        let primaries = Primaries::default();
        options.sdam_event_handler = Some(primaries.handler());
        // Whatever the address says: a transaction takes no other, and what is read elsewhere may be old.
        options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
        options.write_concern = Some(WriteConcern::builder().w(Acknowledgment::Majority).build());
        options.read_concern = Some(match purpose {
            // Change streams know no other.
            Purpose::Lease { .. } | Purpose::Streams => ReadConcern::majority(),
            // What the primary has. Just elected, it has all that was ever acknowledged, but does not know yet that a
            // majority has it too: what a majority has would be older than what was told to clients.
            Purpose::Main | Purpose::Agents => ReadConcern::local(),
        });
        match purpose {
            Purpose::Lease { patience } => {
                options.retry_writes = Some(false);
                options.retry_reads = Some(false);
                // A monitor gives up a dead socket after the sum of the next two.
                options.heartbeat_freq = Some(Duration::from_millis(500));
                options.connect_timeout = Some(patience);
                options.server_selection_timeout = Some(patience * 2);
                options.min_pool_size = Some(2);
            }
            Purpose::Streams => options.max_pool_size = Some(40),
            Purpose::Agents => {
                options.server_selection_timeout = Some(Duration::from_secs(5));
                options.max_pool_size = Some(32);
            }
            Purpose::Main => {
                options.server_selection_timeout = Some(Duration::from_secs(5));
                options.max_pool_size = Some(50);
            }
        }
        let client =
            Client::with_options(options).map_err(|error| ConnectionError::Uri(error.to_string()))?;
        let database = client.database(&name);
        Ok(Self { client, database, primaries, strange: Arc::new(strange) })
    }

    /// The primaries that this client has followed.
    pub(crate) fn primaries(&self) -> &Primaries {
        &self.primaries
    }

    /// The masters' heartbeats.
    #[must_use]
    pub fn masters(&self) -> Masters {
        Masters::new(self.database.clone())
    }

    /// Who led when.
    #[must_use]
    pub fn leader_history(&self) -> LeaderHistory {
        LeaderHistory::new(self.database.clone())
    }

    /// The lock of the original's election.
    #[must_use]
    pub fn original_lock(&self) -> OriginalLock {
        OriginalLock::new(self.database.clone())
    }

    /// The proof of the vault key.
    #[must_use]
    pub fn sentinel(&self) -> Sentinel {
        Sentinel::new(self.database.clone())
    }

    /// The hosts, with the sessions of their agents.
    #[must_use]
    pub fn host_nodes(&self) -> HostNodes {
        HostNodes::new(self.clone())
    }

    /// The containers that agents report.
    #[must_use]
    pub fn containers(&self) -> Containers {
        Containers::new(self.database.clone())
    }

    /// The instances of services.
    #[must_use]
    pub fn service_instances(&self) -> ServiceInstances {
        ServiceInstances::new(self.database.clone())
    }

    /// What pods are made of.
    #[must_use]
    pub fn pods(&self) -> Pods {
        Pods::new(self.database.clone())
    }

    /// The places of volumes.
    #[must_use]
    pub fn volume_instances(&self) -> VolumeInstances {
        VolumeInstances::new(self.database.clone())
    }

    /// Log lines, events and statistics.
    #[must_use]
    pub fn telemetry(&self) -> Telemetry {
        Telemetry::new(self.database.clone())
    }

    /// Messages between masters.
    #[must_use]
    pub fn bus(&self) -> Bus {
        Bus::new(self.database.clone())
    }

    /// Asks the database whether it answers.
    pub async fn ping(&self, limit: Duration) -> Result<(), Failure> {
        let command = doc! { "ping": 1, "maxTimeMS": millis(limit) };
        let answered = tokio::time::timeout(limit, self.database.run_command(command)).await;
        answered.map_err(|_| Failure::unknown("no answer in time"))??;
        Ok(())
    }

    /// Ends the client's connections and background tasks; waits for them at most for `limit`.
    pub async fn close(self, limit: Duration) {
        let Self { client, database, primaries: _, strange: _ } = self;
        drop(database);
        // What is still open after the limit ends with the process.
        let _ended_in_time = tokio::time::timeout(limit, client.shutdown().immediate(true)).await;
    }

    /// Whether the address asks for one member alone.
    pub(crate) fn is_direct(&self) -> bool {
        self.strange.direct_connection == Some(true)
    }

    /// A client that asks one member without saying who asks: arbiters know no users.
    pub(crate) fn stranger(
        &self,
        member: ServerAddress,
        patience: Duration,
    ) -> Result<Client, mongodb::error::Error> {
        let mut options = ClientOptions::clone(&self.strange);
        options.hosts = vec![member];
        options.direct_connection = Some(true);
        options.repl_set_name = None;
        options.min_pool_size = None;
        options.connect_timeout = Some(patience);
        options.server_selection_timeout = Some(patience);
        Client::with_options(options)
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }
}
