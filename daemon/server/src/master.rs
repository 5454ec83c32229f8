//! One master: built from settings, run until it is told to stop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kontena_core::election::{HolderId, Term, Timing};
use kontena_store::{
    Authority, CommandCounter, ConnectionError, LeaseParty, LeaseWatch, Limits, Purpose, SessionId, Store,
    Writer, WriterHandle, WriterSession,
};
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::acme::Acme;
use crate::agents::{Agents, Desks, Surroundings};
use crate::candidacy::Candidacy;
use crate::chronicle::Chronicle;
use crate::clock::SystemClock;
use crate::cloud::Cloud;
use crate::deploys::Deployer;
use crate::duties::{self, Owner, Statuses};
use crate::election::{Leadership, Request, Requests};
use crate::feed::{Feed, Observer};
use crate::fitness::{self, Fitness};
use crate::heartbeat::{Heartbeat, Picture};
use crate::http::{self, Admission, Api, Resources, Works};
use crate::lease_thread::{Ended, LeaseThread};
use crate::metrics::SharedMetrics;
use crate::oversight::{Overseer, RuntimeTicks, Watchdog};
use crate::scarcity;
use crate::settings::{Settings, Tunables};
use crate::trace::Trace;

/// How long the lease thread may take to give the lease back when the master stops.
const RETIRE_LIMIT: Duration = Duration::from_secs(2);
/// How long the agents may take to leave.
const LEAVE_LIMIT: Duration = Duration::from_secs(3);
/// How long everything else may take to end.
const END_LIMIT: Duration = Duration::from_secs(3);
/// How long the last connections of the database clients may take to close.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);

/// A master cannot be built.
#[derive(Debug, Error)]
pub enum StartError {
    /// The database's address cannot be used.
    #[error("mongodb.uri {0}")]
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
}

/// A master had to end without being told to.
#[derive(Debug, Error)]
pub enum RunError {
    /// The thread that holds the lease is gone.
    #[error("the lease thread has ended unexpectedly")]
    LeaseThread,
    /// The certificates by which the certificate authority's server is trusted cannot be read.
    #[error("the certificates for the authority cannot be used: {0}")]
    AuthorityRoots(reqwest::Error),
}

/// The sockets that a master serves, bound before it is built so that an address in use shows at once.
#[derive(Debug)]
pub struct Listeners {
    /// For everybody.
    pub network: TcpListener,
    /// For administrators.
    pub admin: Option<UnixListener>,
}

/// What is asked of a running master from outside of its interfaces.
pub struct Wishes<S> {
    /// Ends when the master shall.
    pub stop: S,
    /// The settings that may change meanwhile.
    pub tunables: watch::Receiver<Tunables>,
}

/// Whoever supervises the process.
pub struct Manager {
    /// Is told that the lease thread lives.
    pub watchdog: Option<Watchdog>,
    /// Is told in words what this master is, whenever that changes.
    pub status: Box<dyn Fn(&str) + Send + Sync>,
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
    agents: Agents,
    desks: Desks,
}

impl Master {
    /// Builds a master. Nothing is sent to the database yet.
    pub async fn build(settings: Settings, id: HolderId, listeners: Listeners) -> Result<Self, StartError> {
        let counter = CommandCounter::default();
        let main = Store::open_as(id, &settings.database, Purpose::Main, &counter).await?;
        let streams = Store::open_as(id, &settings.database, Purpose::Streams, &counter).await?;
        let reports = Store::open_as(id, &settings.database, Purpose::Agents, &counter).await?;
        let writer = WriterSession::open(&main).await?;
        let (agents, desks) = Agents::new(id, &settings, &reports);
        let trace = match &settings.trace {
            Some(path) => Trace::open(path)
                .map_err(|source| StartError::Trace { path: path.display().to_string(), source })?,
            None => Trace::default(),
        };
        let bound = listeners.network.local_addr().map_err(StartError::Listener)?;
        let url = settings.advertise.clone().unwrap_or_else(|| reachable(bound, &settings.name));
        let settings = Arc::new(settings);
        Ok(Self { settings, id, url, listeners, main, streams, writer, counter, trace, agents, desks })
    }

    /// The session whose transactions a successor must end.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.writer.id()
    }

    /// The agents, as this master reaches them while it runs.
    #[must_use]
    pub fn agents(&self) -> Agents {
        self.agents.clone()
    }

    /// Where this master is reached.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs until `wishes.stop` ends, then gives up the lease, serves on for the configured grace, and ends. Whether it
    /// is certain that it leaves no lease behind.
    pub async fn run<S>(self, wishes: Wishes<S>, manager: Manager) -> Result<bool, RunError>
    where
        S: Future<Output = ()> + Send,
    {
        let Wishes { stop, tunables } = wishes;
        let (cancel, serving, tasks) =
            (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let feed = Feed::new(self.id, serving.clone());
        let started = self.start(manager, &tunables, feed, &cancel, &serving, &tasks)?;
        let Started { api, mut lease_thread, listeners, stores } = started;
        let agents = api.agents.clone();
        let (requests, draining) = (api.requests.clone(), api.draining.clone());
        let network = http::router(api.clone(), Admission::Network);
        let doors = TaskTracker::new();
        doors.spawn(http::serve(listeners.network, network, serving.clone()));
        if let Some(admin) = listeners.admin {
            let router = http::router(api, Admission::AdminSocket);
            doors.spawn(http::serve(admin, router, serving.clone()));
        }

        let outcome = tokio::select! {
            () = stop => Ok(()),
            _ = &mut lease_thread => Err(RunError::LeaseThread),
        };

        // From here on others may lead. Requests in flight and new ones are still served for a while, since
        // the load balancer needs time to notice.
        let retiring = !matches!(outcome, Err(RunError::LeaseThread)) && requests.send(Request::Retire);
        draining.send_replace(true);
        let mut released = false;
        if retiring {
            released = tokio::time::timeout(RETIRE_LIMIT, lease_thread).await.is_ok();
            if !released {
                tracing::warn!("the database did not acknowledge the release of the lease in time");
            }
            let grace = tunables.borrow().drain_grace;
            tokio::time::sleep(grace).await;
        }
        agents.stop(LEAVE_LIMIT).await;
        serving.cancel();
        doors.close();
        // What is still answered needs what runs beside it.
        if tokio::time::timeout(END_LIMIT, doors.wait()).await.is_err() {
            tracing::warn!("some requests were still open when this master ended");
        }
        cancel.cancel();
        tasks.close();
        if tokio::time::timeout(END_LIMIT, tasks.wait()).await.is_err() {
            tracing::warn!("some tasks were still running when this master ended");
        }
        agents.store().close(CLOSE_LIMIT).await;
        for store in stores {
            store.close(CLOSE_LIMIT).await;
        }
        outcome.map(|()| released)
    }

    /// Starts everything but the HTTP server.
    fn start(
        self,
        manager: Manager,
        tunables: &watch::Receiver<Tunables>,
        feed: Feed,
        cancel: &CancellationToken,
        serving: &CancellationToken,
        tasks: &TaskTracker,
    ) -> Result<Started, RunError> {
        let Self { settings, id, url, listeners, main, streams, writer, counter, trace, agents, desks } =
            self;
        let (metrics, statuses) = (SharedMetrics::default(), Statuses::default());

        let (watch, ticks) = (LeaseWatch::default(), RuntimeTicks::default());
        tasks.spawn(watch.clone().run(streams.clone(), cancel.clone()));

        tasks.spawn(ticks.clone().run(cancel.clone()));
        let overseer = Overseer::new(manager.watchdog, ticks, statuses.clone());
        let lease_thread = LeaseThread {
            settings: Arc::clone(&settings),
            party: LeaseParty { holder: id, name: settings.name.clone(), session: writer.id() },
            timing: tunables.borrow().timing,
            counter: counter.clone(),
            watch,
            trace: trace.clone(),
            metrics: SharedMetrics::clone(&metrics),
            overseer,
        };
        let (leadership, requests, lease_thread) = lease_thread.start().map_err(|_| RunError::LeaseThread)?;

        let (draining, _) = watch::channel(false);
        let (fitness_sender, fitness) = watch::channel(Fitness::Unknown("not asked yet".to_owned()));
        tasks.spawn(fitness::establish(main.clone(), Arc::clone(&settings), fitness_sender, cancel.clone()));

        let (picture_sender, picture) = watch::channel(Picture::blank());
        let candidacy = Candidacy {
            id,
            requests: requests.clone(),
            fitness: fitness.clone(),
            draining: draining.subscribe(),
            picture: picture.clone(),
            tunables: tunables.clone(),
        };
        tasks.spawn(candidacy.run(cancel.clone()));
        let heartbeat = Heartbeat {
            id,
            url,
            settings: Arc::clone(&settings),
            tunables: tunables.clone(),
            masters: main.masters(),
            leadership: leadership.clone(),
            fitness: fitness.clone(),
            short: scarcity::watched(&main, tasks, cancel),
            draining: draining.clone(),
            picture: picture_sender,
            trace,
            counter: counter.clone(),
            agents: agents.clone(),
        };
        let surroundings = Surroundings::of(&fitness, draining.subscribe(), &picture);
        agents.start(desks, &streams, surroundings, &settings.name, &feed);
        tasks.spawn(heartbeat.run(cancel.clone()));

        let authority = LeaseAuthority { leadership: leadership.clone(), requests: requests.clone() };
        let writer = authority.writer(&main, writer, &tunables.borrow().timing, (tasks, cancel));
        let deployer = Deployer::start(id, &main, &agents, &picture, (tasks, cancel));
        let acme = Acme::new(&settings, &main).map_err(RunError::AuthorityRoots)?;
        let owner = Owner {
            duties: duties::all(&settings, &acme).into(),
            leadership: leadership.clone(),
            store: main.clone(),
            streams: streams.clone(),
            deployer: deployer.clone(),
            writer: writer.clone(),
            picture: picture.clone(),
            statuses: statuses.clone(),
            metrics: SharedMetrics::clone(&metrics),
        };
        tasks.spawn(owner.run(cancel.clone()));
        let chronicle = Chronicle {
            id,
            leadership: leadership.clone(),
            fitness: fitness.clone(),
            picture: picture.clone(),
            metrics: SharedMetrics::clone(&metrics),
            status: manager.status,
        };
        tasks.spawn(chronicle.run(cancel.clone()));
        let (observer, lease_sight) =
            Observer::new(id, &feed, &leadership, &picture, &statuses, main.leader_history());
        tasks.spawn(observer.run(cancel.clone()));

        let api = Api::from(Works {
            deployer,
            id,
            settings: Arc::clone(&settings),
            leadership,
            requests,
            history: main.leader_history(),
            masters: main.masters(),
            fitness,
            draining: draining.clone(),
            tunables: tunables.clone(),
            picture,
            statuses,
            metrics,
            commands: counter,
            feed,
            lease_sight,
            agents,
            resources: Resources::over(&main, &settings, serving.clone(), tasks).start(cancel),
            acme,
        });
        tasks.spawn(Cloud::new(&api, &main, &streams, writer).run(cancel.clone()));
        Ok(Started { api, lease_thread, listeners, stores: [main, streams] })
    }
}

/// What [`Master::start`] leaves to be served and ended.
struct Started {
    api: Api,
    lease_thread: Ended,
    listeners: Listeners,
    stores: [Store; 2],
}

/// The writer's questions to the election.
struct LeaseAuthority {
    leadership: Leadership<SystemClock>,
    requests: Requests,
}

impl LeaseAuthority {
    /// Starts the one writer of this master.
    fn writer(
        self,
        main: &Store,
        session: WriterSession,
        timing: &Timing,
        (tasks, cancel): (&TaskTracker, &CancellationToken),
    ) -> WriterHandle {
        let limits = Limits { duration: timing.batch_limit(), ..Limits::default() };
        let (writer, handle) = Writer::new(main, session, self, limits);
        tasks.spawn(writer.run(cancel.clone()));
        handle
    }
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

/// Where a bound address is reached from other hosts, as far as one can tell.
fn reachable(bound: SocketAddr, name: &str) -> String {
    if bound.ip().is_unspecified() {
        format!("http://{name}:{}", bound.port())
    } else {
        format!("http://{bound}")
    }
}
