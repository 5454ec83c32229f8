//! The TUI in a terminal: from a key to its frame with many rows, what it costs, and from the kill of a leader to
//! the next one on the screen.

mod crowd;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use kontena_testkit::master::TOKEN;
use kontena_testkit::terminal::Terminal;
use serde_json::json;
use tokio::task::block_in_place;

use crate::clock;
use crate::process::{TICKS, rss_mib, ticks};
use crate::report::Report;
use crate::rig::{Plan, Rig};
use crowd::Crowd;

/// How long anything that should be quick may take before the scenario gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// A large terminal.
const SIZE: (u16, u16) = (200, 60);
/// How soon after the election the next leader must be on the screen.
const SHOWN_WITHIN_MS: f64 = 1000.0;

#[derive(Debug, Args)]
pub(crate) struct Tui {
    /// How many agents and services the lists have.
    #[arg(long, default_value_t = 10_000)]
    rows: usize,
    /// How many keys of each kind are measured.
    #[arg(long, default_value_t = 100)]
    keys: usize,
    /// For how long it is watched while nothing is done.
    #[arg(long, default_value_t = 20)]
    idle_seconds: u64,
    /// How often the leader is killed. 0: only the list is measured.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

pub(crate) async fn run(arguments: Tui) -> Result<Report> {
    let Tui { rows, keys, idle_seconds, rounds } = arguments;
    let settings = json!({
        "rows": rows, "keys": keys, "idle_seconds": idle_seconds, "rounds": rounds,
        "columns": SIZE.0, "lines": SIZE.1,
    });
    let mut report = Report::new("tui", settings);
    for list in [List::Agents, List::Services] {
        measure(&mut report, list, rows, keys, Duration::from_secs(idle_seconds)).await?;
    }
    if rounds > 0 {
        failovers(&mut report, rounds).await?;
    }
    Ok(report)
}

fn open(url: &str) -> Result<Terminal> {
    let arguments = ["--url", url, "--socket", "/nonexistent"];
    block_in_place(|| Terminal::start("kontena-tui", &arguments, &[("KONTENA_TOKEN", TOKEN)], SIZE))
}

/// Which list is measured. A master of our own serves them, since no rig has so many hosts.
#[derive(Clone, Copy)]
enum List {
    /// It is as it is.
    Agents,
    /// Some of it changes each second.
    Services,
}

/// What stands for a list in keys, names and samples.
struct Words {
    key: &'static str,
    /// How the names in it begin.
    names: &'static str,
    frame_ms: &'static str,
    rss_mib: &'static str,
    idle_cpu_percent: &'static str,
}

impl List {
    fn words(self) -> Words {
        match self {
            Self::Agents => Words {
                key: "2",
                names: "node-",
                frame_ms: "frame_ms",
                rss_mib: "rss_mib",
                idle_cpu_percent: "idle_cpu_percent",
            },
            Self::Services => Words {
                key: "3",
                names: "service-",
                frame_ms: "services_frame_ms",
                rss_mib: "services_rss_mib",
                idle_cpu_percent: "services_idle_cpu_percent",
            },
        }
    }
}

async fn measure(report: &mut Report, list: List, rows: usize, keys: usize, idle: Duration) -> Result<()> {
    let Words { key: open_key, names, frame_ms, rss_mib: rss_name, idle_cpu_percent } = list.words();
    let crowd = Crowd::start(rows).await?;
    let mut terminal = open(&crowd.url)?;
    let footer = |place: usize, of: usize| format!(" {place}/{of}");
    terminal.press(open_key)?;
    let all = footer(1, rows);
    block_in_place(|| terminal.wait_for("the list", PATIENCE, |text| text.contains(&all)))?;
    // A key is on the screen when the place of the selected row is.
    for step in 1..=keys.min(rows - 1) {
        frame(report, frame_ms, &mut terminal, "j", &footer(step + 1, rows))?;
    }
    for place in [rows, 1].into_iter().cycle().take(keys) {
        frame(report, frame_ms, &mut terminal, if place == 1 { "g" } else { "G" }, &footer(place, rows))?;
    }
    // Everything is sorted anew by each of these.
    for round in 0..keys {
        let way = if round % 2 == 0 { "the greatest first" } else { "the least first" };
        frame(report, frame_ms, &mut terminal, "S", way)?;
    }
    // Everything is filtered anew by each letter. The whole list is back after the escape.
    for round in 0..keys.div_ceil(8) {
        terminal.press("/")?;
        let wanted = format!("{names}{}", round + 1);
        for end in 1..=wanted.len() {
            let typed = wanted.get(..end).unwrap_or_default();
            frame(report, frame_ms, &mut terminal, &typed[end - 1..], &format!("filter: {typed} "))?;
        }
        frame(report, frame_ms, &mut terminal, "\u{1b}", &format!("/{rows}"))?;
    }
    report.sample(rss_name, rss_mib(terminal.pid())?);
    let (begun, before) = (clock::now(), ticks(terminal.pid())?);
    tokio::time::sleep(idle).await;
    let used = (ticks(terminal.pid())? - before) / TICKS;
    let seconds = clock::now().saturating_sub(begun).as_secs_f64();
    report.sample(idle_cpu_percent, used / seconds * 100.0);
    report.sample(rss_name, rss_mib(terminal.pid())?);
    terminal.press("q")?;
    ensure!(block_in_place(|| terminal.ended(PATIENCE))?, "the TUI did not end well");
    Ok(())
}

/// Presses a key, and takes the time until the screen shows what it does.
fn frame(
    report: &mut Report,
    name: &'static str,
    terminal: &mut Terminal,
    key: &str,
    shows: &str,
) -> Result<()> {
    let pressed = terminal.press(key)?;
    let drawn = block_in_place(|| terminal.wait_for(shows, PATIENCE, |text| text.contains(shows)))?;
    report.sample(name, clock::millis(drawn.saturating_duration_since(pressed)));
    Ok(())
}

/// The leader is killed while somebody looks, connected to whichever master that is.
async fn failovers(report: &mut Report, rounds: usize) -> Result<()> {
    let mut rig = Rig::start(&Plan::default()).await?;
    let (leader, _) = rig.settled().await?;
    let terminal = open(&rig.places.get(leader).context("the leader has no place")?.master.url())?;
    let mut late = 0;
    for round in 1..=rounds {
        let (leader, term) = rig.settled().await?;
        let shows = |term: u64| format!("leads term {term} ");
        let now = shows(term);
        block_in_place(|| terminal.wait_for(&now, PATIENCE, |text| text.contains(&now)))?;
        let place = rig.places.get_mut(leader).context("the leader has no place")?;
        // Both clocks are read at the same moment.
        let (began, began_boot) = (Instant::now(), clock::now());
        place.kill()?;
        let released = place.master.release_lease()?;
        ensure!(released.status.success(), "{}", String::from_utf8_lossy(&released.stderr));
        let next = shows(term + 1);
        let drawn = block_in_place(|| terminal.wait_for(&next, PATIENCE, |text| text.contains(&next)))?;
        let latest = rig.next_term(term).await?;
        let first = rig.judge.first_of_term(latest.term).unwrap_or(latest.at);
        let kill_to_screen = clock::millis(drawn.saturating_duration_since(began));
        let kill_to_leader = clock::millis(first.saturating_sub(began_boot));
        report.sample("kill_to_screen_ms", kill_to_screen);
        report.sample("leaderless_ms", kill_to_leader);
        report.sample("leader_to_screen_ms", (kill_to_screen - kill_to_leader).max(0.0));
        late += u64::from(kill_to_screen - kill_to_leader > SHOWN_WITHIN_MS);
        eprintln!(
            "round {round:>3}: term {} acts after {kill_to_leader:.1} ms, on the screen after {kill_to_screen:.1} ms",
            term + 1
        );
        rig.places.get_mut(leader).context("the leader has no place")?.master.launch().await?;
    }
    report.violations("shown_late", late);
    drop(terminal);
    rig.conclude(report).await
}
