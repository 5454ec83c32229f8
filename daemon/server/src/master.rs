//! One master: built from settings, run until it is told to stop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::Router;
use kontena_core::clock::Clock;
use kontena_core::election::{Candidate, Election, HolderId, Term};
use kontena_store::{
    Authority, CommandCounter, ConnectionError, LeaseParty, LeaseWatch, Limits, MongoLease, Purpose,
    SessionId, Store, Writer, WriterSession,
};
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::SystemClock;
use crate::duties::{self, Owner, Statuses};
use crate::election::{Driver, Leadership, Publisher, Request, Requests, Standing};
use crate::fitness::{self, Fitness};
use crate::heartbeat::{Heartbeat, Picture};
use crate::http::{self, Admission, Api};
use crate::settings::Settings;
use crate::trace::Trace;

/// How long the lease thread may take to give the lease back when the master stops.
const RETIRE_LIMIT: Duration = Duration::from_secs(2);
/// How long everything else may take to end.
const END_LIMIT: Duration = Duration::from_secs(3);
/// How long the last connections of the database clients may take to close.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);

/// A master cannot be built.
#[derive(Debug, Error)]
pub enum StartError {
    /// The database's address cannot be used.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The trace cannot be written.
    #[error("the trace {path} cannot be opened: {source}")]
    Trace {
        /// Where it should be.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// A listener cannot be used.
    #[error("the HTTP listener cannot be used: {0}")]
    Listener(io::Error),
    /// No thread could be made.
    #[error("the lease thread cannot be started: {0}")]
    Thread(io::Error),
}

/// A master had to end without being told to.
#[derive(Debug, Error)]
pub enum RunError {
    /// The thread that holds the lease is gone.
    #[error("the lease thread has ended unexpectedly")]
    LeaseThread,
    /// A listener failed.
    #[error("the HTTP server has ended: {0}")]
    Http(io::Error),
}

/// The sockets that a master serves, bound before it is built so that an address in use shows at once.
#[derive(Debug)]
pub struct Listeners {
    /// For everybody.
    pub network: TcpListener,
    /// For administrators.
    pub admin: Option<UnixListener>,
}

/// A master that is ready to run.
pub struct Master {
    settings: Arc<Settings>,
    id: HolderId,
    url: String,
    listeners: Listeners,
    main: Store,
    streams: Store,
    writer: WriterSession,
    counter: CommandCounter,
    trace: Trace,
}

impl Master {
    /// Builds a master. Nothing is sent to the database yet.
    pub async fn build(settings: Settings, id: HolderId, listeners: Listeners) -> Result<Self, StartError> {
        let counter = CommandCounter::default();
        let main = Store::open(&settings.database, Purpose::Main, &counter).await?;
        let streams = Store::open(&settings.database, Purpose::Streams, &counter).await?;
        let writer = WriterSession::open(&main).await?;
        let trace = match &settings.trace {
            Some(path) => Trace::open(path)
                .map_err(|source| StartError::Trace { path: path.display().to_string(), source })?,
            None => Trace::default(),
        };
        let bound = listeners.network.local_addr().map_err(StartError::Listener)?;
        let url = settings.advertise.clone().unwrap_or_else(|| reachable(bound, &settings.name));
        Ok(Self { settings: Arc::new(settings), id, url, listeners, main, streams, writer, counter, trace })
    }

    /// The session whose transactions a successor must end.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.writer.id()
    }

    /// Where this master is reached.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs until `stop` ends, then gives up the lease, serves on for the configured grace, and ends.
    /// `changed` is told whenever what this master is changes.
    pub async fn run(
        self,
        stop: impl Future<Output = ()> + Send,
        changed: impl Fn(Standing) + Send + Sync + 'static,
    ) -> Result<(), RunError> {
        let Self { settings, id, url, listeners, main, streams, writer, counter, trace } = self;
        let cancel = CancellationToken::new();
        let serving = CancellationToken::new();
        let tasks = TaskTracker::new();

        let watch = LeaseWatch::default();
        tasks.spawn(watch.clone().run(streams.clone(), cancel.clone()));

        let (leadership, requests, mut lease_thread) =
            start_lease_thread(&settings, id, writer.id(), &counter, watch, trace.clone())
                .map_err(|_| RunError::LeaseThread)?;

        let (draining_sender, draining) = watch::channel(false);
        let (fitness_sender, fitness) = watch::channel(Fitness::Unknown("not asked yet".to_owned()));
        tasks.spawn(fitness::establish(
            main.clone(),
            (*settings).clone(),
            requests.clone(),
            fitness_sender,
            cancel.clone(),
        ));

        let (picture_sender, picture) = watch::channel(Picture::blank());
        let heartbeat = Heartbeat {
            id,
            url,
            settings: Arc::clone(&settings),
            masters: main.masters(),
            leadership: leadership.clone(),
            fitness: fitness.clone(),
            draining: draining.clone(),
            picture: picture_sender,
            trace,
            counter,
        };
        tasks.spawn(heartbeat.run(cancel.clone()));

        let authority = LeaseAuthority { leadership: leadership.clone(), requests: requests.clone() };
        let (writer, writer_handle) = Writer::new(&main, writer, authority, Limits::default());
        tasks.spawn(writer.run(cancel.clone()));

        let statuses = Statuses::default();
        let owner = Owner {
            duties: duties::all(settings.probe_every).into(),
            leadership: leadership.clone(),
            store: main.clone(),
            writer: writer_handle,
            picture: picture.clone(),
            statuses: statuses.clone(),
        };
        tasks.spawn(owner.run(cancel.clone()));
        tasks.spawn(tell(leadership.clone(), changed, cancel.clone()));

        let api = Api {
            id,
            settings: Arc::clone(&settings),
            leadership,
            requests: requests.clone(),
            history: main.leader_history(),
            masters: main.masters(),
            fitness,
            draining,
            picture,
            statuses,
        };
        let (failed_sender, mut failed) = tokio::sync::mpsc::channel(2);
        let network = http::router(api.clone(), Admission::Network);
        let served = serve_tcp(listeners.network, network, serving.clone());
        tasks.spawn(report(served, failed_sender.clone()));
        if let Some(admin) = listeners.admin {
            let router = http::router(api, Admission::AdminSocket);
            tasks.spawn(report(serve_unix(admin, router, serving.clone()), failed_sender));
        }

        let outcome = tokio::select! {
            () = stop => Ok(()),
            _ = &mut lease_thread => Err(RunError::LeaseThread),
            Some(error) = failed.recv() => Err(RunError::Http(error)),
        };

        // From here on others may lead. Requests in flight and new ones are still served for a while, since
        // the load balancer needs time to notice.
        draining_sender.send_replace(true);
        if !matches!(outcome, Err(RunError::LeaseThread)) {
            retire(&requests, &mut lease_thread).await;
            tokio::time::sleep(settings.drain_grace).await;
        }
        serving.cancel();
        cancel.cancel();
        tasks.close();
        if tokio::time::timeout(END_LIMIT, tasks.wait()).await.is_err() {
            tracing::warn!("some requests were still open when this master ended");
        }
        main.close(CLOSE_LIMIT).await;
        streams.close(CLOSE_LIMIT).await;
        outcome
    }
}

/// The writer's questions to the election.
struct LeaseAuthority {
    leadership: Leadership<SystemClock>,
    requests: Requests,
}

impl Authority for LeaseAuthority {
    fn may_act(&self, term: Term) -> bool {
        self.leadership.may_act(term)
    }

    fn superseded(&self, term: Term) {
        if !self.requests.send(Request::Superseded(term)) {
            tracing::warn!(%term, "superseded, and the election does not take requests");
        }
    }
}

type LeaseThread = oneshot::Receiver<()>;

/// Starts the thread that holds the lease: with its own runtime and client, so that nothing else in the process
/// can delay a renewal.
fn start_lease_thread(
    settings: &Arc<Settings>,
    id: HolderId,
    session: SessionId,
    counter: &CommandCounter,
    watch: LeaseWatch,
    trace: Trace,
) -> Result<(Leadership<SystemClock>, Requests, LeaseThread), StartError> {
    let (publisher, leadership) = Publisher::new(SystemClock);
    let (requests, requests_receiver) = Requests::channel();
    let (ended_sender, ended) = oneshot::channel();
    let (settings, counter) = (Arc::clone(settings), counter.clone());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
    let body = move || {
        runtime.block_on(async move {
            let store = match Store::open(&settings.database, Purpose::Lease, &counter).await {
                Ok(store) => store,
                Err(error) => return tracing::error!(%error, "the lease cannot be reached"),
            };
            let party =
                LeaseParty { holder: id, name: settings.name.clone(), session, timing: settings.timing };
            let lease = MongoLease::new(&store, party);
            let candidate = Candidate { id, timing: settings.timing };
            let mut election = Election::new(candidate, SystemClock.now());
            // Until the database was found fit, this master only watches.
            election.state.eligible = false;
            Driver::new(election, lease, watch, SystemClock, publisher, requests_receiver, trace).run().await;
            store.close(CLOSE_LIMIT).await;
        });
        // Whoever listens may have ended first.
        let _heard = ended_sender.send(());
    };
    thread::Builder::new().name("lease".to_owned()).spawn(body).map_err(StartError::Thread)?;
    Ok((leadership, requests, ended))
}

async fn retire(requests: &Requests, lease_thread: &mut LeaseThread) {
    if !requests.send(Request::Retire) {
        return;
    }
    if tokio::time::timeout(RETIRE_LIMIT, lease_thread).await.is_err() {
        tracing::warn!("the database did not acknowledge the release of the lease: it ends by itself");
    }
}

/// Tells whoever is interested what this master is, and writes it to the journal.
async fn tell(
    leadership: Leadership<SystemClock>,
    changed: impl Fn(Standing) + Send + Sync + 'static,
    cancel: CancellationToken,
) {
    let mut views = leadership.watch();
    let mut told = None;
    loop {
        let standing = views.borrow_and_update().standing;
        if told != Some(standing) {
            match standing {
                Standing::Acting(term) => tracing::info!(TERM_NO = term.0, "acting leader of term {term}"),
                Standing::Elected(term) => {
                    tracing::info!(TERM_NO = term.0, "elected for term {term}, not acting");
                }
                Standing::Releasing(term) => tracing::info!(TERM_NO = term.0, "giving back term {term}"),
                Standing::Following => tracing::info!("standing by"),
            }
            changed(standing);
            told = Some(standing);
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            seen = views.changed() => if seen.is_err() { return },
        }
    }
}

async fn serve_tcp(listener: TcpListener, router: Router, serving: CancellationToken) -> io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(serving.cancelled_owned()).await
}

async fn serve_unix(listener: UnixListener, router: Router, serving: CancellationToken) -> io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(serving.cancelled_owned()).await
}

async fn report(served: impl Future<Output = io::Result<()>>, failed: tokio::sync::mpsc::Sender<io::Error>) {
    if let Err(error) = served.await {
        // The channel holds one error of each listener.
        let _told = failed.try_send(error);
    }
}

/// Where a bound address is reached from other hosts, as far as one can tell.
fn reachable(bound: SocketAddr, name: &str) -> String {
    if bound.ip().is_unspecified() {
        format!("http://{name}:{}", bound.port())
    } else {
        format!("http://{bound}")
    }
}
