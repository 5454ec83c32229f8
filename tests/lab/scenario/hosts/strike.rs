//! Breaks a host, waits until the masters have dealt with it, and mends it.

use std::ops::Range;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kontena_core::election::TTL_DEFAULT;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::fault::{Allowance, Fault, Named, WATCHDOG, Way, Whom, bound, named, stopped};
use super::full;
use super::row::Round;
use crate::clock;
use crate::hosts::{COUNT, Cluster, Script, Town, UNIT};

/// A longer time without an acknowledgement is one of the database's elections, or worse; or what follows one: it then
/// acknowledges with the heartbeats of its members, of which there is one in 500 ms.
const PACE: Duration = Duration::from_millis(450);
/// A fault that may cost nobody the term lasts at least so long.
const LASTS: Duration = Duration::from_secs(6);
/// A leader that acted for so long without a pause, on a database that takes writes, goes on.
const CALM: Duration = Duration::from_secs(2);
/// Which may go on acknowledging with heartbeats only for as long as one of its members is cut off: that is no pause.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// The same while packets are slow: a batch is three round trips and the way to a majority.
const PACE_SLOW: Duration = Duration::from_secs(4);
const CALM_SLOW: Duration = Duration::from_secs(9);
const PATIENCE: Duration = Duration::from_secs(90);
/// Until a fault that lasts is told to administrators.
const TOLD_WITHIN: Duration = Duration::from_secs(60);
/// After the fault, before an administrator wants something.
const ORDERED_AFTER: Duration = Duration::from_millis(300);

/// What was broken.
enum Broken {
    Nothing,
    Host(usize),
    Hosts,
    Network(usize),
    Nft(usize),
    Frozen(usize),
    Hung(Child),
    Descriptors(usize, &'static str),
    Disk(usize),
    MemberDisk(usize),
}

/// One round of a fault, with everything that lives on the masters.
pub(super) async fn round(
    cluster: &mut Cluster,
    town: &mut Town,
    fault: Fault,
    number: usize,
    margin: Duration,
) -> Result<Round> {
    let (whom, way) = fault.parts().context("no fault of a host")?;
    place(cluster, whom).await?;
    town.gathered().await?;
    let (stale, contradictions) = (cluster.judge.stale_effects(), cluster.contradictions());
    let (offline, _) = (town.watch(), town.calls());
    let from = clock::now();
    let order = async {
        sleep(ORDERED_AFTER).await;
        town.order().await
    };
    let (seen, ordered) = tokio::join!(suffer(cluster, fault, (whom, way), number, margin), order);
    let mut round = seen?;
    ordered.context("an order was not acknowledged")?;
    let (answered, failures) = town.calls();
    round.stuck = town.stuck().await?;
    town.gathered().await?;
    round.lost = town.lost().await?;
    round.offline = offline.end().await;
    (round.answered, round.failed) = (answered, u64::try_from(failures.len())?);
    round.stale = cluster.judge.stale_effects() - stale;
    round.overlapping = cluster.contradictions() - contradictions;
    (round.from, round.to) = (from, clock::now());
    Ok(round)
}

/// Moves the leader to where the fault wants it.
async fn place(cluster: &Cluster, whom: Whom) -> Result<()> {
    match whom {
        Whom::Leader | Whom::All => Ok(()),
        Whom::Primary | Whom::Both => cluster.give_to(cluster.primary().await?, whom == Whom::Both).await,
    }
}

async fn suffer(
    cluster: &mut Cluster,
    fault: Fault,
    (whom, way): (Whom, Way),
    number: usize,
    margin: Duration,
) -> Result<Round> {
    let (leader, term) = cluster.settled().await?;
    let primary = cluster.primary().await?;
    let host = if whom == Whom::Primary { primary } else { leader };
    let other = if whom == Whom::Primary { leader } else { primary };
    let other = if other == host { host % COUNT + 1 } else { other };
    cluster.expect_slow(way == Way::Delay);
    let (mut at, broken) = strike(cluster, (whom, way), host, other, number).await?;
    let outlived = whom == Whom::Primary || !way.ends_term();
    let (next, interruption) = if outlived {
        if matches!(broken, Broken::MemberDisk(_)) {
            // It took until now that anybody noticed; what came before is ordinary life.
            at = at.max(clock::now().saturating_sub(LASTS));
        }
        outlive(cluster, term, at, way).await?
    } else {
        let (next, acted_at) = cluster.successor(term).await?;
        (next, at..acted_at.max(at))
    };
    let leaderless = clock::millis(interruption.end.saturating_sub(interruption.start));
    // A gap is one of the database's elections, or it is the ordinary pace of writing. What comes after a leader acted
    // again delayed nobody.
    let (pace, _) = patience(way);
    let gaps = cluster.writable.gaps(at, interruption.end, pace);
    let stopped = stopped(&gaps, &interruption, next > term, pace);
    let allowance = Allowance { ttl: cluster.access.ttl, margin };
    let allowed = bound(whom, way, stopped, next > term, allowance);
    let mut round = Round {
        leaderless_ms: leaderless,
        allowed_ms: clock::millis(allowed),
        database_ms: stopped.map(clock::millis),
        ..Round::default()
    };
    let strength = if matches!(way, Way::Loss | Way::Delay) {
        format!(" (strength {})", way.strength(number))
    } else {
        String::new()
    };
    eprintln!(
        "  host {host}{strength}, leader on {leader}, primary on {primary}: term {term} became {next}, {leaderless:.0} ms \
         without a leader (the database took no writes: {}; allowed {} ms)",
        in_words(&gaps, at),
        allowed.as_millis()
    );
    if round.is_late() {
        eprintln!("  that is too long; the masters' journals:\n{}", cluster.logs().await);
    }
    // A longer lease has time for a slow network, and there is nothing to tell then.
    let suits = cluster.access.ttl > TTL_DEFAULT && matches!(way, Way::Loss | Way::Delay);
    let told = named(whom, way, way.strength(number)).filter(|_| way.is_looked_for(number) && !suits);
    if let Some(told) = told {
        // Neither of the two may know more than an administrator who asks somebody else.
        let third = (1..=COUNT).find(|third| *third != host && *third != other).unwrap_or(host);
        let asked = if matches!(told, Named::There(_)) { host } else { third };
        round.unnamed = !is_named(cluster, told, asked).await?;
        round.unseen = !is_shown(cluster, third).await?;
    }
    heal(cluster, broken, at).await?;
    cluster.expect_slow(false);
    if let Some(wanted) = fault.journal_says() {
        let number = host.to_string();
        let journal =
            cluster.script.run(&["log", &number, "-u", UNIT, "--since", "-60s", "--no-pager"]).await?;
        ensure!(journal.contains(wanted), "the journal of host {host} does not say {wanted:?}:\n{journal}");
    }
    if way == Way::HungDuties {
        // It does not stand for a minute, unless it is restarted.
        cluster.script.shell(host, &format!("systemctl restart {UNIT}")).await?;
    }
    full::all_members(&cluster.script).await?;
    let (_, settled) = cluster.settled().await?;
    // A majority that answers by fits and starts may cost another term, which is no master's fault.
    let stalled = !cluster.writable.gaps(interruption.end, clock::now(), pace).is_empty();
    // A fault that ends may cost another term, where the leader itself was slowed by it.
    round.false_takeovers = if outlived || stalled { 0 } else { settled.saturating_sub(next) };
    Ok(round)
}

/// When the database took no writes, in milliseconds after the fault.
fn in_words(gaps: &[Range<Duration>], at: Duration) -> String {
    if gaps.is_empty() {
        return "never".to_owned();
    }
    let since = |moment: Duration| moment.saturating_sub(at).as_millis();
    let one = |gap: &Range<Duration>| format!("{} to {}", since(gap.start), since(gap.end));
    gaps.iter().map(one).collect::<Vec<_>>().join(" and ")
}

/// What is more than the ordinary pace of writing, and for how long it must be kept.
fn patience(way: Way) -> (Duration, Duration) {
    if way == Way::Delay { (PACE_SLOW, CALM_SLOW) } else { (PACE, CALM) }
}

/// Waits until a leader acts without a pause on a database that takes writes; the term then, and the longest time
/// without a leader.
async fn outlive(cluster: &Cluster, term: u64, at: Duration, way: Way) -> Result<(u64, Range<Duration>)> {
    let deadline = Instant::now() + PATIENCE;
    let (pace, calm_for) = patience(way);
    let pause = pace + HEARTBEAT;
    loop {
        let now = clock::now();
        let since = now.saturating_sub(calm_for);
        let gap = cluster.judge.longest_gap(since, now);
        let calm = gap.end < gap.start + pause && cluster.writable.gaps(since, now, pause).is_empty();
        if now >= at + LASTS && calm {
            break;
        }
        if Instant::now() > deadline {
            eprintln!("  nobody acts while it lasts");
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let longest = cluster.judge.longest_gap(at, clock::now());
    Ok((cluster.judge.latest().term.max(term), longest))
}

/// Breaks what is to be broken; returns when that was.
async fn strike(
    cluster: &mut Cluster,
    (whom, way): (Whom, Way),
    host: usize,
    other: usize,
    number: usize,
) -> Result<(Duration, Broken)> {
    let script = cluster.script.clone();
    let name = host.to_string();
    let process = cluster.main_process(host, UNIT).await?;
    let mut at = clock::now();
    let strength = way.strength(number).to_string();
    let broken = match (whom, way) {
        (Whom::All, Way::Kill) => {
            let mut processes = Vec::new();
            for host in 1..=COUNT {
                processes.push((host, cluster.main_process(host, UNIT).await?));
            }
            at = clock::now();
            for (_, process) in &processes {
                kill(*process)?;
            }
            for (host, process) in processes {
                cluster.died(host, process).await?;
            }
            Broken::Nothing
        }
        (Whom::All, _) => {
            for host in 1..=COUNT {
                let off = power_loss(cluster, host).await?;
                at = if host == 1 { off } else { at };
            }
            for host in 1..=COUNT {
                script.run(&["start", &host.to_string()]).await?;
            }
            Broken::Hosts
        }
        (_, Way::Kill) => {
            kill(process)?;
            cluster.died(host, process).await?;
            Broken::Nothing
        }
        (_, Way::HungLease) => hang(&script, process, "lease", &mut at).await?,
        (_, Way::HungDuties) => hang(&script, process, "tokio-rt-worker", &mut at).await?,
        (_, Way::PowerLoss) => {
            at = power_loss(cluster, host).await?;
            Broken::Host(host)
        }
        (_, Way::Cut | Way::CutFrom | Way::CutTo | Way::CutPeer | Way::Loss | Way::Delay) => {
            let other = other.to_string();
            let arguments = match way {
                Way::CutFrom => vec!["cut", &name, "from"],
                Way::CutTo => vec!["cut", &name, "to"],
                Way::CutPeer => vec!["cut", &name, &other],
                Way::Loss => vec!["loss", &name, &strength],
                Way::Delay => vec!["delay", &name, &strength],
                _ => vec!["cut", &name],
            };
            at = moment(&script.run(&arguments).await?)?;
            Broken::Network(host)
        }
        (_, Way::CutDatabase) => {
            at = moment(&script.shell(host, CUT_DATABASE).await?)?;
            Broken::Nft(host)
        }
        (_, Way::Freeze) => {
            at = moment(&script.run(&["freeze", &name]).await?)?;
            Broken::Frozen(host)
        }
        (Whom::Primary, Way::FilesFull) => {
            full::exhaust(&script, host, "mongod").await?;
            Broken::Descriptors(host, "mongod")
        }
        (_, Way::FilesFull) => {
            full::exhaust(&script, host, UNIT).await?;
            Broken::Descriptors(host, UNIT)
        }
        (Whom::Primary, Way::DiskFull) => {
            full::fill_member(&script, host).await?;
            Broken::MemberDisk(host)
        }
        (_, Way::DiskFull) => {
            full::fill_host(&script, host).await?;
            Broken::Disk(host)
        }
    };
    Ok((at, broken))
}

fn kill(process: u32) -> Result<()> {
    let process = Pid::from_raw(i32::try_from(process)?).context("no process")?;
    Ok(kill_process(process, Signal::KILL)?)
}

/// Returns when that was.
async fn power_loss(cluster: &mut Cluster, host: usize) -> Result<Duration> {
    let process = cluster.main_process(host, UNIT).await?;
    let (script, number) = (cluster.script.clone(), host.to_string());
    let kill = ["kill", &number];
    let (killed, died) = tokio::join!(script.run(&kill), cluster.died(host, process));
    killed?;
    died
}

/// When a command of the script took effect, in boot time: its own way there is not the fault.
fn moment(said: &str) -> Result<Duration> {
    let seconds = said.lines().find_map(|line| line.strip_prefix("at "));
    let seconds = seconds.with_context(|| format!("the script does not say when it was:\n{said}"))?;
    Ok(Duration::from_secs_f64(seconds.trim().parse()?))
}

async fn heal(cluster: &Cluster, broken: Broken, at: Duration) -> Result<()> {
    let script = &cluster.script;
    match broken {
        Broken::Nothing | Broken::Hosts => {}
        Broken::Host(host) => script.run(&["start", &host.to_string()]).await.map(drop)?,
        Broken::Network(host) => script.run(&["heal", &host.to_string()]).await.map(drop)?,
        Broken::Nft(host) => script.shell(host, HEAL_DATABASE).await.map(drop)?,
        Broken::Frozen(host) => {
            sleep((at + 3 * cluster.access.ttl).saturating_sub(clock::now())).await;
            script.run(&["thaw", &host.to_string()]).await.map(drop)?;
        }
        Broken::Hung(mut hang) => drop(hang.wait().await?),
        Broken::Descriptors(host, unit) => full::restore(script, host, unit).await?,
        Broken::Disk(host) => full::empty_host(script, host).await?,
        Broken::MemberDisk(host) => full::empty_member(script, host).await?,
    }
    Ok(())
}

/// Whether `kontena-master doctor` names the fault while it lasts, and says what to do.
async fn is_named(cluster: &Cluster, told: Named, asked: usize) -> Result<bool> {
    let (Named::There(word) | Named::Elsewhere(word)) = told;
    tells_within(cluster, asked, "timeout 60 kontena-master doctor", |said| {
        let mut lines = said.lines();
        lines.any(|line| (line.starts_with("PROBLEM") || line.starts_with("warning")) && line.contains(word))
            && lines.next().is_some_and(|remedy| remedy.contains("->"))
    })
    .await
}

/// Whether the TUI on a host shows that something is wrong while it lasts.
async fn is_shown(cluster: &Cluster, asked: usize) -> Result<bool> {
    // "a master is lost", "a master warns", "nobody acts".
    let shows =
        |said: &str| ["a master ", "nobody acts", "no database"].iter().any(|word| said.starts_with(word));
    tells_within(cluster, asked, "timeout 10 kontena-tui --once", shows).await
}

/// Runs a command on a host until it says what is wanted. That it does not is told.
async fn tells_within(
    cluster: &Cluster,
    host: usize,
    command: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<bool> {
    let deadline = Instant::now() + TOLD_WITHIN;
    loop {
        let (_, said) = cluster.script.try_shell(host, command).await?;
        if wanted(&said) {
            return Ok(true);
        }
        if Instant::now() > deadline {
            eprintln!("  on host {host}, {command} does not tell it:\n{said}");
            return Ok(false);
        }
        sleep(Duration::from_millis(500)).await;
    }
}

/// All packets to the database vanish, but for those of the host's own database member. (A rule for the daemon's
/// packets would let those pass that the kernel sends again after the daemon closed the connection.)
const CUT_DATABASE: &str = "read -r uptime _ </proc/uptime; echo at $uptime; nft add table inet lab; nft 'add chain inet lab out { type filter hook output priority 0; }'; \
     nft add rule inet lab out meta skuid mongodb accept; nft add rule inet lab out tcp dport 27017 drop";
const HEAL_DATABASE: &str = "nft delete table inet lab";

/// Stops the threads of this name for twice the time of the watchdog; `at` is when they stand still.
async fn hang(script: &Script, process: u32, name: &str, at: &mut Duration) -> Result<Broken> {
    let seconds = (WATCHDOG * 2).as_secs_f64().to_string();
    let mut hang = Command::new(script.beside("hang.py"))
        .args([process.to_string(), seconds, name.to_owned()])
        .stdout(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .context("cannot run tests/hosts/hang.py (python3)")?;
    let mut line = String::new();
    let output = hang.stdout.as_mut().context("no output")?;
    BufReader::new(output).read_line(&mut line).await?;
    if line.trim().parse::<u32>().is_ok_and(|count| count > 0) {
        *at = clock::now();
        return Ok(Broken::Hung(hang));
    }
    bail!("no thread was stopped")
}
