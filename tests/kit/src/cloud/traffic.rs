//! Something that happens all the time, so that there is something to tell the cloud: services are made one after the
//! other, whichever master takes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::administrator::Administrator;

/// For one service to be made by anybody.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two services.
const EVERY: Duration = Duration::from_millis(4);
/// Before another try.
const RETRY: Duration = Duration::from_millis(20);

/// Services that are made until it is told to stop.
#[derive(Debug)]
pub struct Traffic {
    stop: Arc<AtomicBool>,
    making: JoinHandle<Result<Vec<String>>>,
}

impl Traffic {
    /// Begins in this grid, which is there.
    #[must_use]
    pub fn start(admin: Administrator, grid: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let path = format!("/v1/grids/{grid}/services");
        let making = tokio::spawn(make(admin, path, Arc::clone(&stop)));
        Self { stop, making }
    }

    /// Ends it. Returns the names of the services, in the order in which they were made.
    pub async fn stop(self) -> Result<Vec<String>> {
        self.stop.store(true, Ordering::Relaxed);
        self.making.await?
    }
}

async fn make(admin: Administrator, path: String, stop: Arc<AtomicBool>) -> Result<Vec<String>> {
    let mut made = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let name = format!("s-{:06}", made.len());
        let body = json!({ "name": name, "image": "busybox:latest", "stateful": false });
        let deadline = Instant::now() + PATIENCE;
        loop {
            // What is refused since it is there already was made by a try whose answer was lost.
            match admin.try_ask(Method::POST, &path, &body).await {
                Ok((StatusCode::CREATED | StatusCode::UNPROCESSABLE_ENTITY, _)) => break,
                answer => ensure!(Instant::now() < deadline, "{name} is not made: {answer:?}"),
            }
            sleep(RETRY).await;
        }
        made.push(name);
        sleep(EVERY).await;
    }
    Ok(made)
}
