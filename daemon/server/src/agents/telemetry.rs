//! Log lines, events and statistics on a path of their own: they are taken at once or dropped and counted, and
//! never keep what matters waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kontena_store::{ContainerStatRow, Failure, LogRow, NodeStatRow, ReportedEvent, Telemetry};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::LIMIT;

/// How many rows may wait.
const WAITING: usize = 16_384;
/// How many rows go in one batch.
const BATCH: usize = 1000;
/// Longer lines are cut.
const LINE_MAX: usize = 64 << 10;
/// From one batch to the next, so that few rows do not cost as many writes.
const PAUSE: Duration = Duration::from_millis(250);
/// How often lost rows are told of.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// One row.
pub(super) enum Row {
    Log(LogRow),
    Event(ReportedEvent),
    NodeStat(Box<NodeStatRow>),
    ContainerStat(Box<ContainerStatRow>),
}

/// Where rows are handed in.
#[derive(Clone)]
pub(super) struct Intake {
    rows: mpsc::Sender<Row>,
    dropped: Arc<AtomicU64>,
}

pub(super) struct Inbox {
    rows: mpsc::Receiver<Row>,
    dropped: Arc<AtomicU64>,
}

impl Intake {
    pub(super) fn new() -> (Self, Inbox) {
        let (sender, rows) = mpsc::channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        (Self { rows: sender, dropped: Arc::clone(&dropped) }, Inbox { rows, dropped })
    }

    /// Takes a row, or drops it.
    pub(super) fn take(&self, mut row: Row) {
        if let Row::Log(row) = &mut row {
            let mut end = row.line.data.len().min(LINE_MAX);
            while !row.line.data.is_char_boundary(end) {
                end -= 1;
            }
            row.line.data.truncate(end);
        }
        if self.rows.try_send(row).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[derive(Default)]
struct Sorted {
    logs: Vec<LogRow>,
    events: Vec<ReportedEvent>,
    node_stats: Vec<NodeStatRow>,
    container_stats: Vec<ContainerStatRow>,
}

/// Writes batch after batch; the last ones when told to stop.
pub(super) async fn work(telemetry: Telemetry, inbox: Inbox, stop: CancellationToken) {
    let Inbox { mut rows, dropped } = inbox;
    let mut batch = Vec::new();
    let mut told = tokio::time::Instant::now();
    loop {
        tokio::select! {
            biased;
            count = rows.recv_many(&mut batch, BATCH) => if count == 0 { return },
            () = stop.cancelled() => return,
        }
        let count = batch.len();
        let mut sorted = Sorted::default();
        for row in batch.drain(..) {
            match row {
                Row::Log(row) => sorted.logs.push(row),
                Row::Event(row) => sorted.events.push(row),
                Row::NodeStat(row) => sorted.node_stats.push(*row),
                Row::ContainerStat(row) => sorted.container_stats.push(*row),
            }
        }
        if let Err(failure) = write(&telemetry, sorted).await {
            tracing::debug!(%failure, "logs or statistics were not written");
            dropped.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        if told.elapsed() >= TELL_EVERY {
            told = tokio::time::Instant::now();
            let lost = dropped.swap(0, Ordering::Relaxed);
            if lost > 0 {
                tracing::warn!(rows = lost, "log lines, events or statistics were dropped");
            }
        }
        if count < BATCH && !stop.is_cancelled() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn write(telemetry: &Telemetry, sorted: Sorted) -> Result<(), Failure> {
    let Sorted { logs, events, node_stats, container_stats } = sorted;
    let written = futures_util::future::join4(
        async { if logs.is_empty() { Ok(0) } else { telemetry.logs(&logs, LIMIT).await } },
        async { if events.is_empty() { Ok(0) } else { telemetry.events(&events, LIMIT).await } },
        async { if node_stats.is_empty() { Ok(0) } else { telemetry.node_stats(&node_stats, LIMIT).await } },
        async {
            if container_stats.is_empty() {
                Ok(0)
            } else {
                telemetry.container_stats(&container_stats, LIMIT).await
            }
        },
    );
    let (logs, events, node_stats, container_stats) = written.await;
    logs.and(events).and(node_stats).and(container_stats).map(drop)
}
