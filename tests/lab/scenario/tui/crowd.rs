//! A master's interface with as many agents as one likes, for the list of them: no machine runs ten thousand hosts
//! for a measurement of a list.

use std::sync::Arc;

use anyhow::Result;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use kontena_wire::agents::{Agent, AgentList};
use kontena_wire::cluster::{Agents, Cluster, Leader, LeaseSight, Master, MasterState};
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
        let told = Arc::new((cluster(&url, rows), list));
        let router = Router::new()
            .route("/v1/cluster", get(async |State(told): State<Arc<(Cluster, Bytes)>>| Json(told.0.clone())))
            .route("/v1/cluster/agents", get(agents))
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

async fn agents(State(told): State<Arc<(Cluster, Bytes)>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], told.1.clone())
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
    }
}
