//! The simulator: many seeds to search for a broken promise, or one to look at it.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use kontena_sim::{Options, Progress, Summary, run_many, run_with};
use serde_json::json;

use crate::report::Report;

#[derive(Debug, Args)]
pub(crate) struct Sim {
    /// How many seeds to run.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run this one seed, and show all that happened.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
}

pub(crate) fn run(arguments: &Sim) -> Result<Option<Report>> {
    match arguments.seed {
        Some(seed) => replay(seed).map(|()| None),
        None => Ok(Some(search(arguments.from, arguments.seeds))),
    }
}

fn replay(seed: u64) -> Result<()> {
    let outcome = run_with(seed, Options { narrated: true, ..Options::default() });
    for event in &outcome.history {
        println!("{event}");
    }
    println!("{outcome}");
    if !outcome.passed() {
        bail!("seed {seed} breaks a promise");
    }
    Ok(())
}

/// One line that is written over on a terminal; elsewhere, such as in a log, one line for each tenth.
fn tell(Progress { done, of, failed }: Progress, tenths_told: &AtomicU64) {
    let line = format!("{done} of {of} seeds, {failed} broke a promise");
    let tenths = done * 10 / of.max(1);
    if std::io::stderr().is_terminal() {
        eprint!("\r{line}{}", if done == of { "\n" } else { "" });
    } else if tenths_told.fetch_max(tenths, Ordering::Relaxed) < tenths {
        eprintln!("{line}");
    }
}

fn search(from: u64, seeds: u64) -> Report {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut report = Report::new("sim", json!({ "from": from, "seeds": seeds, "threads": threads }));
    let begun = Instant::now();
    let tenths_told = AtomicU64::new(0);
    let Summary { seeds, failed, failures, stats } =
        run_many(from..from.saturating_add(seeds), threads, |progress| {
            tell(progress, &tenths_told);
            true
        });
    for failure in &failures {
        println!("seed {}: {:?}", failure.seed, failure.violations);
        println!("  cargo lab sim --seed {}", failure.seed);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let count = |value: u64| u32::try_from(value).map_or(f64::INFINITY, f64::from);
    report.sample("seeds_per_second", (count(seeds) / seconds).round());
    report.sample("simulated_hours", (stats.simulated.as_secs_f64() / 36.0).round() / 100.0);
    report.sample("terms", count(stats.terms));
    report.sample("effects", count(stats.effects));
    report.sample("faults", count(stats.faults));
    report.violations("failed_seeds", failed);
    report
}
