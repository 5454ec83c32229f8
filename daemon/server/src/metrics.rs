//! What is counted, for Prometheus. Counters are moved where things happen; gauges are read off when somebody
//! asks. The registry is a value, so that several masters fit into one process.

mod cloud;
mod grids;
mod measured;
mod process;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use kontena_store::{CommandKind, Measures, WriteError};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub(crate) use cloud::CloudMetrics;
pub(crate) use measured::Measured;

use crate::duties::DutyStatus;

/// The upper bounds of a call's buckets, in seconds: a healthy call takes milliseconds, and none outlasts a fifth
/// of the longest ttl.
const CALL_SECONDS: [f64; 10] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 2.0, 12.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CallLabels {
    call: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct BatchLabels {
    duty: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DutyLabels {
    duty: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CauseLabels {
    cause: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct InfoLabels {
    id: String,
    name: String,
    version: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CommandLabels {
    command: String,
    collection: String,
}

type Seconds = Gauge<f64, AtomicU64>;

/// What the gauges are read off from.
pub(crate) struct Sample {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) term: u64,
    pub(crate) acting: bool,
    pub(crate) ready: bool,
    pub(crate) agents: u64,
    pub(crate) round_trip: Option<Duration>,
    /// How long the leader's silence must last until another master takes over.
    pub(crate) lease_ttl: Duration,
    /// How far the clock of this host is ahead of the database's, in seconds, if that was to be found out.
    pub(crate) clock_offset: Option<f64>,
    /// On the acting leader only, if the database answered.
    pub(crate) grids: Option<Measures>,
    pub(crate) database_commands: BTreeMap<CommandKind, u64>,
    /// How many masters are in which state.
    pub(crate) masters: Vec<(&'static str, u64)>,
    pub(crate) duties: Vec<(&'static str, DutyStatus)>,
}

/// The counters, and how they are told. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) terms_won: Counter,
    pub(crate) handovers: Counter,
    pub(crate) false_takeovers: Counter,
    pub(crate) cloud: CloudMetrics,
    calls: Calls,
    batches: Family<BatchLabels, Counter>,
    effects: Family<DutyLabels, Counter>,
    rescheduled: Family<CauseLabels, Counter>,
}

#[derive(Clone, Debug)]
struct Calls(Family<CallLabels, Histogram>);

impl Default for Calls {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| Histogram::new(CALL_SECONDS)))
    }
}

impl Metrics {
    /// Counts one call on the lease or the fence.
    fn call(&self, call: &'static str, answered: bool, took: Duration) {
        let outcome = if answered { "answered" } else { "unknown" };
        self.calls.0.get_or_create(&CallLabels { call, outcome }).observe(took.as_secs_f64());
    }

    /// Counts one batch that a duty handed to the writer.
    pub(crate) fn batch(&self, duty: &'static str, effects: usize, outcome: &Result<(), WriteError>) {
        let name = match outcome {
            Ok(()) => "committed",
            Err(WriteError::NotActing | WriteError::Superseded) => "not_leading",
            Err(WriteError::Stale) => "stale",
            Err(WriteError::Unknown) => "unknown",
            Err(WriteError::TooLarge { .. } | WriteError::Failed(_) | WriteError::Closed) => "failed",
        };
        self.batches.get_or_create(&BatchLabels { duty, outcome: name }).inc();
        if outcome.is_ok() {
            let effects = u64::try_from(effects).unwrap_or(u64::MAX);
            self.effects.get_or_create(&DutyLabels { duty }).inc_by(effects);
        }
    }

    /// Counts a service that was deployed again without anybody asking.
    pub(crate) fn rescheduled(&self, cause: &'static str) {
        self.rescheduled.get_or_create(&CauseLabels { cause }).inc();
    }

    /// Everything in the text format of Prometheus.
    pub(crate) fn render(&self, sample: &Sample) -> String {
        let mut registry = Registry::with_prefix("kontena_master");
        self.register_counters(&mut registry);
        register_sample(&mut registry, sample);
        process::register(&mut registry);
        let mut text = String::new();
        // Writing to a string does not fail.
        let _written = text::encode(&mut text, &registry);
        text
    }

    fn register_counters(&self, registry: &mut Registry) {
        let Self { terms_won, handovers, false_takeovers, cloud, calls, batches, effects, rescheduled } =
            self;
        cloud.register(registry);
        registry.register("terms_won", "Terms that this master took", terms_won.clone());
        registry.register("handovers", "Terms that this master gave back by itself", handovers.clone());
        registry.register(
            "false_takeovers",
            "Terms that this master took from one that was alive and wrote heartbeats all the while",
            false_takeovers.clone(),
        );
        registry.register(
            "lease_call_seconds",
            "Round trips of calls on the lease and the fence",
            calls.0.clone(),
        );
        registry.register("batches", "Batches that duties handed to the fenced writer", batches.clone());
        registry.register("effects", "Effects that were committed behind the fence", effects.clone());
        registry.register(
            "rescheduled",
            "Services that were deployed again without anybody asking",
            rescheduled.clone(),
        );
    }
}

fn number(registry: &mut Registry, metric: &str, help: &str, value: u64) {
    let gauge = Gauge::<i64>::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(metric, help, gauge);
}

fn seconds(registry: &mut Registry, metric: &str, help: &str, value: f64) {
    let gauge = Seconds::default();
    gauge.set(value);
    registry.register(metric, help, gauge);
}

fn register_sample(registry: &mut Registry, sample: &Sample) {
    let Sample {
        id,
        name,
        version,
        term,
        acting,
        ready,
        agents,
        round_trip,
        lease_ttl,
        clock_offset,
        grids,
        database_commands,
        masters,
        duties,
    } = sample;
    let info = Family::<InfoLabels, Gauge>::default();
    let labels = InfoLabels { id: id.clone(), name: name.clone(), version: version.clone() };
    info.get_or_create(&labels).set(1);
    registry.register("info", "Which master this is", info);
    number(registry, "term", "The latest term that this master knows of", *term);
    number(registry, "acting", "1 while this master leads", u64::from(*acting));
    number(registry, "ready", "1 while requests should be sent here", u64::from(*ready));
    number(registry, "agents", "Agents connected to this master", *agents);
    if let Some(round_trip) = round_trip {
        seconds(registry, "database_round_trip_seconds", "Of the last heartbeat", round_trip.as_secs_f64());
    }
    let help = "How long the leader's silence must last until another master takes over";
    seconds(registry, "lease_ttl_seconds", help, lease_ttl.as_secs_f64());
    if let Some(offset) = clock_offset {
        let help = "How far the clock of this master's host is ahead of the database's";
        seconds(registry, "clock_offset_seconds", help, *offset);
    }
    if let Some(measures) = grids {
        grids::register(registry, measures);
    }
    let commands = Family::<CommandLabels, Counter>::default();
    for ((command, collection), count) in database_commands {
        let labels = CommandLabels { command: command.clone(), collection: collection.clone() };
        commands.get_or_create(&labels).inc_by(*count);
    }
    registry.register("database_commands", "Commands sent to the database", commands);
    let states = Family::<StateLabels, Gauge>::default();
    for (state, count) in masters {
        states.get_or_create(&StateLabels { state }).set(i64::try_from(*count).unwrap_or(i64::MAX));
    }
    registry.register("masters", "Masters by state, as this one sees them", states);
    let (runs, failures) =
        (Family::<DutyLabels, Counter>::default(), Family::<DutyLabels, Counter>::default());
    let last_run = Family::<DutyLabels, Seconds>::default();
    let took = Family::<DutyLabels, Seconds>::default();
    for (duty, status) in duties {
        let labels = DutyLabels { duty };
        runs.get_or_create(&labels).inc_by(status.runs);
        failures.get_or_create(&labels).inc_by(status.failures);
        if let Some(at) = status.last_run_at {
            let seconds = Duration::from_millis(u64::try_from(at).unwrap_or(0)).as_secs_f64();
            last_run.get_or_create(&labels).set(seconds);
        }
        if let Some(seconds) = status.took {
            took.get_or_create(&labels).set(seconds.as_secs_f64());
        }
    }
    registry.register("duty_runs", "Runs of the leader's duties in this process", runs);
    registry.register("duty_failures", "Runs that failed", failures);
    registry.register("duty_last_run_timestamp_seconds", "When a duty last ran here", last_run);
    registry.register("duty_last_run_seconds", "How long the last run of a duty took here", took);
}

/// Shared by whoever counts.
pub(crate) type SharedMetrics = Arc<Metrics>;
