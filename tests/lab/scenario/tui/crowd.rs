//! A master's interface with as many agents and services as one likes, for the lists of them: no machine runs ten
//! thousand hosts for a measurement of a list. Of the services a few are other ones each time they are asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use kontena_wire::agents::{Agent, AgentList};
use kontena_wire::cluster::{Agents, Cluster, Leader, LeaseSight, Master, MasterState};
use kontena_wire::services::{Deploy, Service, ServiceList};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const SINCE: &str = "2026-01-01T00:00:00Z";

/// Served as long as it lives.
pub(super) struct Crowd {
    pub(super) url: String,
    task: JoinHandle<()>,
}

impl Crowd {
    /// Serves so many agents.
    pub(super) async fn start(rows: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let list = Bytes::from(serde_json::to_vec(&AgentList { agents: (1..=rows).map(agent).collect() })?);
        let cluster = cluster(&url, rows);
        let told = Arc::new(Told { cluster, agents: list, rows, asked: AtomicUsize::new(0) });
        let router = Router::new()
            .route("/v1/cluster", get(async |State(told): State<Arc<Told>>| Json(told.cluster.clone())))
            .route("/v1/cluster/agents", get(agents))
            .route("/v1/cluster/services", get(services))
            .with_state(told);
        // Ends with the crowd; nobody waits for its outcome.
        let task = tokio::spawn(async move {
            let _served = axum::serve(listener, router).await;
        });
        Ok(Self { url, task })
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is told.
struct Told {
    cluster: Cluster,
    agents: Bytes,
    rows: usize,
    /// How often the services were asked for.
    asked: AtomicUsize,
}

async fn services(State(told): State<Arc<Told>>) -> Json<ServiceList> {
    let round = told.asked.fetch_add(1, Ordering::Relaxed);
    let services = (1..=told.rows).map(|number| service(number, round)).collect();
    Json(ServiceList { services, truncated: false })
}

fn service(number: usize, round: usize) -> Service {
    let moves = number % 100 == round % 100;
    Service {
        id: format!("{number:024x}"),
        grid: format!("grid-{}", number % 20),
        stack: format!("stack-{}", number % 200),
        name: format!("service-{number}"),
        state: "running".to_owned(),
        image: "registry.example/app:stable".to_owned(),
        strategy: "ha".to_owned(),
        stateful: false,
        wanted: 10,
        instances: 10,
        running: if moves { 9 } else { 10 },
        failing: 0,
        revision: 1,
        stack_revision: None,
        deploy: Some(Deploy {
            id: format!("{number:024x}"),
            state: if moves { "ongoing" } else { "success" }.to_owned(),
            created_at: SINCE.to_owned(),
            started_at: Some(SINCE.to_owned()),
            finished_at: (!moves).then(|| SINCE.to_owned()),
            reason: None,
        }),
    }
}

async fn agents(State(told): State<Arc<Told>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], told.agents.clone())
}

fn agent(number: usize) -> Agent {
    Agent {
        id: format!("{number:024x}"),
        name: format!("node-{number}"),
        grid: format!("grid-{}", number % 20),
        connected: !number.is_multiple_of(50),
        master: Some(format!("master-{}", number % 3 + 1)),
        version: Some("1.5.4".to_owned()),
        since: Some(SINCE.to_owned()),
        rtt_ms: u32::try_from(number % 97).ok().map(|ms| f64::from(ms) / 10.0),
    }
}

fn cluster(url: &str, rows: usize) -> Cluster {
    let agents = u64::try_from(rows).unwrap_or(u64::MAX);
    let master = |number: u8| Master {
        id: format!("{number:02x}").repeat(16),
        name: format!("master-{number}"),
        url: url.to_owned(),
        version: "0.1.0".to_owned(),
        state: if number == 1 { MasterState::Acting } else { MasterState::Standby },
        started_at: SINCE.to_owned(),
        last_seen_ms: Some(100),
        agents: agents / 3,
        mongo_rtt_ms: Some(1.0),
        fingerprint: "0".to_owned(),
        warnings: Vec::new(),
    };
    let masters: Vec<Master> = (1..=3).map(master).collect();
    Cluster {
        version: "0.1.0".to_owned(),
        compat_version: "1.5.4".to_owned(),
        term: 1,
        leader: masters.first().map(|first| Leader {
            id: first.id.clone(),
            name: first.name.clone(),
            url: Some(url.to_owned()),
            term: 1,
            since: SINCE.to_owned(),
            acting: true,
        }),
        lease: Some(LeaseSight { ttl_ms: 2000, renewed_ms_ago: 100 }),
        masters,
        agents: Agents { connected: agents, total: agents },
        duties: Vec::new(),
        history: Vec::new(),
        cloud: None,
        failure: None,
    }
}
