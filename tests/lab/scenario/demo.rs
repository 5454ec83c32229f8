//! Three masters to look at, with agents and services that live: every change is told, and the number keys break and
//! mend things.

mod town;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use kontena_testkit::administrator::Administrator;
use kontena_testkit::agent::{self, Fleet, Token, Traffic};
use kontena_testkit::master::{Master, Settings, TOKEN};
use kontena_testkit::mongod::{self, ReplicaSet};
use kontena_testkit::program::program;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::grids::Grids;
use town::Town;

const AGENTS: usize = 12;
/// How often each container writes a line.
const LOG_EVERY: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long after its death a master is started again.
const RESTART: Duration = Duration::from_secs(8);

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Tell every change as a line of text, instead of opening the TUI.
    #[arg(long)]
    no_tui: bool,
    /// End after so many seconds; by default at the end of the input or by Ctrl-C.
    #[arg(long)]
    seconds: Option<u64>,
}

pub(crate) async fn run(arguments: Demo) -> Result<()> {
    let Demo { no_tui, seconds } = arguments;
    let begun = Instant::now();
    let tell = |text: &str| println!("{:>7.2} s  {text}", begun.elapsed().as_secs_f64());
    program("kontena-master")?;
    tell("starting a MongoDB replica set of three members");
    let set =
        ReplicaSet::start(mongod::Settings::members(3).election_timeout(Duration::from_secs(2))).await?;
    tell(&format!("the database is up: {}", set.uri("kontena_demo")));
    let mut masters = Vec::new();
    for number in 1..=3 {
        let master =
            Master::start(Settings::new(format!("master-{number}"), set.uri("kontena_demo"))).await?;
        tell(&format!(
            "{} listens at {}, pid {}",
            master.name(),
            master.url(),
            master.pid().unwrap_or_default()
        ));
        masters.push(master);
    }
    let grids = Grids::open(&set, "kontena_demo").await?;
    let tokens = grids.create_many(2).await?;
    let addresses: Vec<String> =
        masters.iter().map(|master| master.url().trim_start_matches("http://").to_owned()).collect();
    let fleet = Fleet::start_with(&addresses, &tokens, AGENTS, Duration::from_secs(2), |settings| {
        (settings.traffic, settings.log_every) = (Traffic::Full, Some(LOG_EVERY));
    });
    let mut connected = 0;
    tell(&format!("{AGENTS} agents in {} grids are on their way", tokens.len()));
    let first = tokens.first().context("there are grids")?.token.clone();
    let mut wanderer = agent::Settings::new(addresses, Token::Grid(first), AGENTS);
    wanderer.log_every = Some(LOG_EVERY);
    let town = Town::new(Administrator::of(&masters)?, wanderer);
    // Ends with the demo.
    let mut tasks = JoinSet::new();
    let told = move |text: &str| {
        if no_tui {
            println!("{:>7.2} s  {text}", begun.elapsed().as_secs_f64());
        }
    };
    tasks.spawn(town.live(told));
    if !no_tui {
        return watch(masters, seconds).await;
    }
    println!(
        "\n  Type 1, 2 or 3 and Enter: kills that master, or starts it again.  k: kills the leader, as a crash \
         with its\n  lease given back.  s: the leader steps down.  p: shows the whole status.  q: ends.\n"
    );
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    let mut input_open = true;
    let mut shown: Option<(String, u64)> = None;
    let mut lost_at = None;
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    loop {
        let now = acting(&masters).await;
        if fleet.record().connected() != connected {
            connected = fleet.record().connected();
            tell(&format!("{connected} of {AGENTS} agents are connected"));
        }
        match (&shown, &now) {
            (Some(before), None) => {
                lost_at = Some(Instant::now());
                tell(&format!("nobody leads any more (was {}, term {})", before.0, before.1));
            }
            (before, Some((name, term))) if before.as_ref() != now.as_ref() => {
                let gap = lost_at.take().map(|at| {
                    format!(", {:.0} ms after the loss was seen", at.elapsed().as_secs_f64() * 1e3)
                });
                tell(&format!("{name} acts as the leader, term {term}{}", gap.unwrap_or_default()));
            }
            _ => {}
        }
        shown = now;
        tokio::select! {
            line = input.next_line(), if input_open => match line? {
                Some(line) => if !obey(line.trim(), &mut masters, shown.as_ref(), &tell).await? { return Ok(()) },
                None if end.is_some() => input_open = false,
                None => return Ok(()),
            },
            _ = tokio::signal::ctrl_c() => return Ok(()),
            () = sleep(LOOK_EVERY) => {}
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            return Ok(());
        }
    }
}

/// Opens the TUI on the masters. A leader that it has killed is started again after a while, as the service manager
/// does.
async fn watch(mut masters: Vec<Master>, seconds: Option<u64>) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("lab");
    let orders = UnixListener::bind(&socket)?;
    let first = masters.first().context("there are masters")?;
    let mut command = tokio::process::Command::new(program("kontena-tui")?);
    command.args(["--url", &first.url()]).env("KONTENA_TOKEN", TOKEN).arg("--lab").arg(&socket);
    let mut tui = command.kill_on_drop(true).spawn().context("the TUI cannot be started")?;
    let limit = sleep(seconds.map_or(Duration::MAX, Duration::from_secs));
    tokio::pin!(limit);
    let mut again = tokio::time::interval(Duration::from_millis(500));
    let mut killed: Option<Instant> = None;
    loop {
        tokio::select! {
            status = tui.wait() => {
                ensure!(status?.success(), "the TUI failed");
                return Ok(());
            }
            () = &mut limit => return Ok(()),
            // Ctrl-C is a key of the TUI.
            _ = tokio::signal::ctrl_c() => {}
            Ok((order, _)) = orders.accept() => {
                let mut order = BufReader::new(order).lines();
                if order.next_line().await?.as_deref() != Some("kill-leader") {
                    continue;
                }
                let leader = acting(&masters).await;
                let place = masters.iter().position(|m| leader.as_ref().is_some_and(|(name, _)| m.name() == name));
                if let Some(master) = place.and_then(|place| masters.get_mut(place)) {
                    master.kill()?;
                    master.release_lease()?;
                    killed = Some(Instant::now());
                }
            }
            _ = again.tick() => if killed.is_some_and(|at| at.elapsed() > RESTART) {
                killed = None;
                for master in masters.iter_mut().filter(|master| master.pid().is_none()) {
                    master.launch().await?;
                }
            }
        }
    }
}

async fn acting(masters: &[Master]) -> Option<(String, u64)> {
    for master in masters.iter().filter(|master| master.pid().is_some()) {
        if let Some(term) = master.acting_term().await {
            return Some((master.name().to_owned(), term));
        }
    }
    None
}

/// Returns whether to go on.
async fn obey(
    line: &str,
    masters: &mut [Master],
    leader: Option<&(String, u64)>,
    tell: &impl Fn(&str),
) -> Result<bool> {
    let leading =
        |masters: &[Master]| masters.iter().position(|m| leader.is_some_and(|(name, _)| m.name() == name));
    match line {
        "q" => return Ok(false),
        "k" | "1" | "2" | "3" => {
            let index = match line.parse::<usize>() {
                Ok(number) => Some(number - 1),
                Err(_) => leading(masters),
            };
            let Some(master) = index.and_then(|index| masters.get_mut(index)) else {
                tell("nobody leads");
                return Ok(true);
            };
            if master.pid().is_some() {
                master.kill()?;
                tell(&format!("killed {}", master.name()));
                let said = master.release_lease()?;
                tell(&format!("release-lease: {}", String::from_utf8_lossy(&said.stdout).trim()));
            } else {
                master.launch().await?;
                tell(&format!("started {}, pid {}", master.name(), master.pid().unwrap_or_default()));
            }
        }
        "s" => match leading(masters).and_then(|index| masters.get(index)) {
            Some(master) => {
                let said = master.run(&["step-down"])?;
                let (out, err) =
                    (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
                tell(&format!("step-down of {}: {}{}", master.name(), out.trim(), err.trim()));
            }
            None => tell("nobody leads"),
        },
        "p" => {
            let alive = masters.iter().find(|master| master.pid().is_some()).context("no master runs")?;
            let said = alive.run(&["status"])?;
            println!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        }
        "" => {}
        other => tell(&format!("{other:?} means nothing here")),
    }
    Ok(true)
}
