//! The agents: let in, listened to, called, wherever in the cluster their sessions are.

mod admissions;
mod arrivals;
mod audit;
mod bodies;
mod bus;
mod calls;
mod claimers;
mod exec;
mod frozen;
mod gate;
pub(crate) mod gather;
mod isolation;
mod keepalive;
mod limits;
mod outbound;
mod pod_notices;
mod pods;
mod registry;
mod retry;
mod session;
mod socket;
mod telemetry;
mod upgrade;
mod watchers;

use std::sync::Arc;
use std::time::Duration;

use kontena_core::agents::Refusal;
use kontena_core::election::HolderId;
use kontena_core::id::Id;
use kontena_core::vault::Vault;
use kontena_store::{
    Ended, Ending, HostNodes, InstanceRow, NotFound, PlacedVolume, PodNode, Reported, SavedContainer,
    Session, Store,
};
use kontena_wire::agent::PodState;
use kontena_wire::rpc::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use arrivals::Moves;
pub use exec::{Exec, ExecEvent};
pub use limits::AgentSettings;
pub use outbound::CallError;
pub(crate) use upgrade::at_root;
pub(crate) use watchers::Watch;

use crate::feed::Feed;
use crate::fitness::Fitness;
use crate::heartbeat::Picture;
use crate::settings::Settings;
use gather::Gather;

/// After which a load balancer has seen that a master is not ready.
const NOTICED_AFTER: Duration = Duration::from_secs(5);
/// Over which the agents of a drained master leave.
const LEAVE_OVER: Duration = Duration::from_secs(5);

/// The limit of each call on the database.
const LIMIT: Duration = Duration::from_secs(5);

/// The agents of one master, and through the bus those of all others.
#[derive(Clone)]
pub struct Agents(Arc<Shared>);

struct Shared {
    me: HolderId,
    settings: AgentSettings,
    compat_version: String,
    vault: Option<Vault>,
    store: Store,
    nodes: HostNodes,
    registry: registry::Registry,
    admissions: admissions::Desk,
    heard: keepalive::Heard,
    reports: Gather<Reported, ()>,
    containers: Gather<SavedContainer, ()>,
    states: Gather<(Session, PodState), Result<(), NotFound>>,
    pods: Gather<Id, Vec<InstanceRow>>,
    volumes: Gather<Id, Vec<PlacedVolume>>,
    endings: Gather<Ended, ()>,
    pod_nodes: Gather<Id, Option<PodNode>>,
    frozen: frozen::Frozen,
    migrated: tokio::sync::OnceCell<()>,
    claimers: claimers::Claimers,
    watchers: watchers::Watchers,
    telemetry: telemetry::Intake,
    post: bus::Post,
    execs: exec::Routes,
    arrivals: arrivals::Arrivals,
    large_frames: gate::LargeFrames,
    /// Sockets of agents, until the last of what was read from them is carried out.
    sockets: TaskTracker,
    tasks: TaskTracker,
    stop: CancellationToken,
}

type Gathers = Vec<futures_util::future::BoxFuture<'static, ()>>;

/// What the tasks behind [`Agents`] need before they run.
pub(crate) struct Desks {
    admissions: admissions::Inbox,
    heard: keepalive::Inbox,
    telemetry: telemetry::Inbox,
    post: bus::Inbox,
    gathers: Gathers,
}

/// What the tasks of the agents look at.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) fitness: watch::Receiver<Fitness>,
    pub(crate) draining: watch::Receiver<bool>,
    pub(crate) picture: watch::Receiver<Picture>,
}

impl Surroundings {
    pub(crate) fn of(
        fitness: &watch::Receiver<Fitness>,
        draining: watch::Receiver<bool>,
        picture: &watch::Receiver<Picture>,
    ) -> Self {
        Self { fitness: fitness.clone(), draining, picture: picture.clone() }
    }
}

impl Agents {
    /// Nothing runs yet, and nothing is sent to the database.
    pub(crate) fn new(me: HolderId, settings: &Settings, store: &Store) -> (Self, Desks) {
        let Settings { compat_version, vault, agents: settings, .. } = settings;
        let nodes = store.host_nodes();
        let (admissions, admissions_inbox) = admissions::Desk::new(settings.handshakes_max);
        let (heard, heard_inbox) = keepalive::Heard::new();
        let (telemetry, telemetry_inbox) = telemetry::Intake::new();
        let (post, post_inbox) = bus::Post::new();
        let mut gathers: Gathers = Vec::new();
        let reports = {
            let nodes = nodes.clone();
            gather::gather(&mut gathers, 200, move |batch: Vec<Reported>| {
                let nodes = nodes.clone();
                async move {
                    nodes.report(&batch, me, LIMIT).await?;
                    Ok(vec![(); batch.len()])
                }
            })
        };
        let containers = {
            let containers = store.containers();
            gather::gather(&mut gathers, 200, move |batch: Vec<SavedContainer>| {
                let containers = containers.clone();
                async move {
                    containers.save(&batch, LIMIT).await?;
                    Ok(vec![(); batch.len()])
                }
            })
        };
        let states = states(store, &mut gathers);
        let frozen = frozen::Frozen::new(store, &mut gathers);
        let pods = {
            let instances = store.service_instances();
            gather::gather(&mut gathers, 500, move |batch: Vec<Id>| {
                let instances = instances.clone();
                async move {
                    let rows = instances.of_nodes(&batch, LIMIT).await?;
                    Ok(gather::by_key(&batch, rows, |row| row.node))
                }
            })
        };
        let volumes = {
            let volumes = store.volume_instances();
            gather::gather(&mut gathers, 500, move |batch: Vec<Id>| {
                let volumes = volumes.clone();
                async move {
                    let rows = volumes.of_nodes(&batch, LIMIT).await?;
                    Ok(gather::by_key(&batch, rows, |row| row.node))
                }
            })
        };
        let endings = {
            let nodes = nodes.clone();
            gather::gather(&mut gathers, 500, move |batch: Vec<Ended>| {
                let nodes = nodes.clone();
                async move {
                    nodes.unplug(&batch, me, LIMIT).await?;
                    Ok(vec![(); batch.len()])
                }
            })
        };
        let pod_nodes = pod_nodes(store, &mut gathers);
        let shared = Shared {
            me,
            settings: settings.clone(),
            compat_version: compat_version.clone(),
            vault: vault.clone(),
            store: store.clone(),
            nodes,
            registry: registry::Registry::default(),
            admissions,
            heard,
            reports,
            containers,
            states,
            pods,
            volumes,
            endings,
            pod_nodes,
            frozen,
            migrated: tokio::sync::OnceCell::new(),
            claimers: claimers::Claimers::default(),
            watchers: watchers::Watchers::default(),
            telemetry,
            post,
            execs: exec::Routes::default(),
            arrivals: arrivals::Arrivals::default(),
            large_frames: gate::LargeFrames::default(),
            sockets: TaskTracker::new(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let desks = Desks {
            admissions: admissions_inbox,
            heard: heard_inbox,
            telemetry: telemetry_inbox,
            post: post_inbox,
            gathers,
        };
        (Self(Arc::new(shared)), desks)
    }

    /// Starts what works for the agents; it ends with [`Self::stop`]. `name` is this master's.
    pub(crate) fn start(
        &self,
        desks: Desks,
        streams: &Store,
        surroundings: Surroundings,
        name: &str,
        feed: &Feed,
    ) {
        let Desks { admissions, heard, telemetry, post, gathers } = desks;
        let Shared { tasks, stop, .. } = &*self.0;
        for gather in gathers {
            tasks.spawn(ending_with(stop.clone(), gather));
        }
        tasks.spawn(ending_with(stop.clone(), admissions::work(self.clone(), admissions)));
        tasks.spawn(ending_with(stop.clone(), keepalive::work(self.clone(), heard)));
        tasks.spawn(telemetry::work(self.0.store.telemetry(), telemetry, stop.clone()));
        tasks.spawn(ending_with(stop.clone(), isolation::work(self.clone(), surroundings.picture.clone())));
        tasks.spawn(ending_with(stop.clone(), audit::work(self.clone())));
        tasks.spawn(ending_with(stop.clone(), claimers::work(self.clone())));
        let packets = bus::start(self, streams, post);
        tasks.spawn(ending_with(stop.clone(), bus::work(self.clone(), packets, feed.clone())));
        let telling = arrivals::work(self.clone(), name.to_owned(), feed.clone());
        tasks.spawn(ending_with(stop.clone(), telling));
        tasks.spawn(ending_with(
            stop.clone(),
            leave_when_drained(self.clone(), surroundings.draining.clone()),
        ));
        self.0.admissions.open(surroundings);
    }

    /// Wakes whoever holds it when an instance of the service is reported to this master.
    pub(crate) fn watch(&self, service: Id) -> Watch {
        self.0.watchers.watch(self.clone(), service)
    }

    /// The client that agents are served with.
    pub(crate) fn store(&self) -> Store {
        self.0.store.clone()
    }

    /// How many sessions this master holds.
    pub(crate) fn connected(&self) -> u64 {
        self.0.registry.len()
    }

    /// Sends the agents elsewhere in waves within `limit`, then ends everything.
    pub(crate) async fn stop(&self, limit: Duration) {
        let why = "this master is about to stop";
        let Shared { registry, sockets, .. } = &*self.0;
        let leaving = async {
            self.send_elsewhere(why, limit / 3).await;
            while !sockets.is_empty() {
                // Some were being let in while the others were sent.
                for handle in registry.all() {
                    handle.end(Refusal::going_away(why), Ending::Released);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(limit, leaving).await.is_err() {
            tracing::warn!(sockets = sockets.len(), "some agents did not leave in time");
        }
        self.0.stop.cancel();
        self.0.tasks.close();
        if tokio::time::timeout(Duration::from_secs(1), self.0.tasks.wait()).await.is_err() {
            tracing::debug!("some work for agents was still open at the end");
        }
    }

    /// Tells every agent to come back through another master, in waves over `during`.
    pub(crate) async fn send_elsewhere(&self, why: &str, during: Duration) {
        const WAVES: usize = 20;
        let sessions = self.0.registry.all();
        if sessions.is_empty() {
            return;
        }
        tracing::info!(sessions = sessions.len(), "sending the agents elsewhere: {why}");
        for wave in sessions.chunks(sessions.len().div_ceil(WAVES).max(1)) {
            for handle in wave {
                handle.end(Refusal::going_away(why), Ending::Released);
            }
            tokio::time::sleep(during / u32::try_from(WAVES).unwrap_or(1)).await;
        }
    }

    /// The first messages of a session: the version to run, then who the node is.
    fn greeting(&self, node_info: Value) -> [kontena_wire::agent::outbound::Outbound; 2] {
        use kontena_wire::agent::outbound;
        [outbound::master_info(&self.0.compat_version), outbound::node_info(node_info)]
    }
}

fn states(store: &Store, gathers: &mut Gathers) -> Gather<(Session, PodState), Result<(), NotFound>> {
    let instances = store.service_instances();
    gather::gather(gathers, 200, move |batch: Vec<(Session, PodState)>| {
        let instances = instances.clone();
        async move { instances.set_states(&batch, LIMIT).await }
    })
}

fn pod_nodes(store: &Store, gathers: &mut Gathers) -> Gather<Id, Option<PodNode>> {
    let pods = store.pods();
    gather::gather(gathers, 500, move |batch: Vec<Id>| {
        let pods = pods.clone();
        async move { pods.nodes(&batch, LIMIT).await }
    })
}

/// A master that is taken out of service sends its agents away, once load balancers have had time to notice.
async fn leave_when_drained(agents: Agents, mut draining: watch::Receiver<bool>) {
    if draining.wait_for(|draining| *draining).await.is_err() {
        return;
    }
    tokio::time::sleep(NOTICED_AFTER).await;
    agents.send_elsewhere("this master is taken out of service", LEAVE_OVER).await;
}

async fn ending_with(stop: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = work => {}
    }
}
