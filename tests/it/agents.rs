//! Agents and masters: real sockets, real processes, a real database. Where each rule of the agents' protocol is
//! held:
//!
//! | rule | test |
//! | --- | --- |
//! | order of the checks; 4000, 4001, 4002, 4004 with their words | `handshake::what_is_missing_or_wrong_…` |
//! | 4010 behind the version; the version is judged first | `handshake::another_version_is_told_…` |
//! | 4020 both ways, noted with the node; tolerance as configured | `handshake::a_clock_that_is_off_…`, `patience_and_…` |
//! | new node: number, name, labels; both greetings, in order, once | `handshake::a_new_node_is_made_…` |
//! | node token: claim, 4003, 4005, 4006, return | `handshake::a_node_token_admits_…` |
//! | one token, many hosts at once: the first stays, 4003 | `handshake::of_hosts_that_bring_one_token_…` |
//! | both tokens; a known node is not changed by its headers | `handshake::of_two_tokens_…` |
//! | frames before the greeting are carried out | `handshake::what_an_agent_sends_before_…` |
//! | another grid's node; a full grid; no database: 503 | `handshake::a_node_of_another_grid_…`, `without_a_database_…` |
//! | 1009, 1002, 1007; ends by the agent; none: 1000 and 1006 | `closes` |
//! | 4030; pings both ways, the exact payload | `sessions::pings_are_answered_…` |
//! | 4031, 4040, 4041 after a ping | `sessions::a_removed_node_…`, `a_newer_connection_…` |
//! | 1001 on a stop, and when cut off from the database | `sessions::a_master_that_stops_…`, `outages` |
//! | each call of a master: method, parameters, answer, fault | `calls`, and for the frames `wire::agent::outbound` |
//! | exec: output, exit, error, input, size, end, both ways | `bus::commands_run_…`, `calls::a_command_that_fails_…` |
//! | exec: exactly one of exit and error, also if output is lost | `held_up::output_that_is_lost_…` |
//! | an agent that reads nothing holds up nobody else | `held_up::an_agent_that_reads_nothing_…` |
//! | no owner: told at once | `bus::who_cannot_be_reached_…` |
//! | `/nodes/update`, `/containers/save` field by field | `recorded` |
//! | `/nodes/get`, unknown methods, wrong arity, another node's id | `reports::every_request_is_answered_…` |
//! | `/node_service_pods/list`, whole or an error; secrets | `pods` |
//! | `set_state`, `mark_oneshot_hook` | `reports::the_state_of_an_instance_never_goes_back` |
//! | `/node_volumes/list`, `set_state` | `reports::volumes_are_listed_whole_…` |
//! | `/containers/save`, `event`, `cleanup`, `health` | `reports::containers_come_change_and_go` |
//! | logs, events, statistics; *bin*, invalid UTF-8, NaN | `reports::logs_events_and_statistics_arrive` |
//! | pings while much waits for the database; what is said before an end | `backlog` |
//! | what can never succeed holds up no others | `lanes` |
//! | unplug, grace, stale sessions, reclaim | `losses` |
//! | ephemeral nodes | `ephemeral` |
//! | what an agent would stumble over (the simulator's faults) | every test with [`kontena_testkit::agent::Agent`] |

mod backlog;
mod bus;
mod calls;
mod closes;
mod ephemeral;
mod handshake;
mod held_up;
mod lanes;
mod listing;
mod losses;
mod misbehaviour;
mod outages;
mod pods;
mod recorded;
mod reports;
mod sessions;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use kontena_core::id::Id;
use kontena_core::input::NewGrid;
use kontena_store::{MadeGrid, Purpose, Store};
use kontena_testkit::agent::{Dial, Settings, Token};
use kontena_testkit::master::Master;
use kontena_testkit::mongod::{Database, shared};
use reqwest::StatusCode;
use serde_json::Map;
use tokio::time::sleep;

use crate::store::{Outside, open};

const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
/// No user.
const NOBODY: Id = Id::from_bytes([0; 12]);
const GRID_TOKEN: &str = "a-grid-token-for-tests";

/// A master that takes agents, and the database behind it.
struct Stage {
    master: Master,
    database: Database,
    store: Store,
    outside: Outside,
}

impl Stage {
    async fn set() -> Result<Self> {
        Self::configured("").await
    }

    /// With more lines in the master's configuration.
    async fn configured(lines: &str) -> Result<Self> {
        let database = shared().await?.database();
        let mut settings = kontena_testkit::master::Settings::new("only", &database.uri);
        settings.configuration = lines.to_owned();
        Self::around(Master::start(settings).await?, database).await
    }

    async fn around(master: Master, database: Database) -> Result<Self> {
        ready(&master).await?;
        tidied(&master).await?;
        let store = open(&database.uri, Purpose::Main).await?;
        grid(&store, "main", GRID_TOKEN).await?;
        let outside = Outside::of(&database).await?;
        Ok(Self { master, database, store, outside })
    }

    /// The settings of an agent of the grid.
    fn agent(&self, number: usize) -> Settings {
        Settings::new(vec![address(&self.master)], Token::Grid(GRID_TOKEN.to_owned()), number)
    }

    fn dial(&self) -> Dial {
        Dial::agent(&self.agent(1), &address(&self.master), 0.0)
    }
}

/// Makes a grid as a client that names nothing but these.
async fn grid(store: &Store, name: &str, token: &str) -> Result<Id> {
    let wanted = NewGrid::read(&Map::new()).map_err(|fault| anyhow!("{fault:?}"))?;
    match store.grids().create(&wanted, name, token, NOBODY).await? {
        MadeGrid::Made(grid) => Ok(grid.id),
        other => bail!("the grid was not made: {other:?}"),
    }
}

fn address(master: &Master) -> String {
    master.url().trim_start_matches("http://").to_owned()
}

/// The most memory that a master ever had, in KiB.
fn peak_kib(master: &Master) -> Result<u64> {
    let pid = master.pid().context("the master has ended")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("no peak")?;
    Ok(line.split_whitespace().nth(1).context("no value")?.parse()?)
}

async fn ready(master: &Master) -> Result<()> {
    eventually("a ready master", async || {
        Ok(master.ask(reqwest::Method::GET, "/readyz").await?.0 == StatusCode::OK)
    })
    .await
}

/// Waits until the leader has looked for leftovers: what tests write by hand often belongs to nothing.
async fn tidied(master: &Master) -> Result<()> {
    eventually("the first look for leftovers", async || {
        let duties = crate::process::cluster(master).await?.duties;
        Ok(duties.iter().any(|duty| duty.name == "leftovers" && duty.runs > 0))
    })
    .await
}

/// Waits until a master has seen that there is another one: by its own heartbeat, which is what it acts upon, while
/// `/v1/cluster` reads anew for whoever asks.
async fn knows_another(master: &Master) -> Result<()> {
    let http = kontena_testkit::http::client().build()?;
    eventually("another master", async || {
        let url = format!("{}/metrics", master.url());
        let answer = http.get(url).bearer_auth(kontena_testkit::master::TOKEN).send().await?;
        let text = answer.error_for_status()?.text().await?;
        let states = text.lines().filter(|line| line.starts_with("kontena_master_masters{"));
        let counts = states.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        Ok(counts.sum::<u64>() == 2)
    })
    .await
}

/// Waits until `wanted` is so.
async fn eventually(what: &str, mut wanted: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = wanted().await;
        if matches!(seen, Ok(true)) {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "not seen: {what} ({seen:?})");
        sleep(POLL).await;
    }
}
