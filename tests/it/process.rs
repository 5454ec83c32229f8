//! A master as a process: how it starts, stops, and answers.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kontena_testkit::master::{Master, Settings};
use kontena_testkit::mongod::{Database, shared};
use kontena_wire::cluster::{Cluster, MasterState};
use reqwest::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::store::Outside;

const PATIENCE: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(20);

pub(crate) async fn start(name: &str, database: &Database) -> Result<Master> {
    Master::start(Settings::new(name, &database.uri)).await
}

/// Waits until one of `masters` acts under a term of at least `term`.
pub(crate) async fn acting(masters: &[&Master], term: u64) -> Result<(usize, u64)> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        for (index, master) in masters.iter().enumerate() {
            if let Some(found) = master.acting_term().await.filter(|found| *found >= term) {
                return Ok((index, found));
            }
        }
        if Instant::now() > deadline {
            let logs: Vec<_> = masters.iter().map(|master| master.log_tail()).collect();
            anyhow::bail!("nobody acts:\n{}", logs.join("\n--\n"));
        }
        sleep(POLL).await;
    }
}

pub(crate) async fn cluster(master: &Master) -> Result<Cluster> {
    Ok(serde_json::from_value(master.get("/v1/cluster").await?)?)
}

/// Waits until `master` sees the cluster as wanted.
pub(crate) async fn sees(master: &Master, what: &str, wanted: impl Fn(&Cluster) -> bool) -> Result<Cluster> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let cluster = cluster(master).await?;
        if wanted(&cluster) {
            return Ok(cluster);
        }
        anyhow::ensure!(Instant::now() < deadline, "not seen: {what}; instead {cluster:#?}");
        sleep(POLL).await;
    }
}

fn state(cluster: &Cluster, name: &str) -> Option<MasterState> {
    cluster.masters.iter().find(|master| master.name == name).map(|master| master.state)
}

/// A load balancer that knows no better sends requests until the end.
#[tokio::test]
async fn who_connected_before_the_listener_closed_is_answered() -> Result<()> {
    let database = shared().await?.database();
    let mut master = start("only", &database).await?;
    acting(&[&master], 1).await?;
    let address = master.url().replace("http://", "");
    let mut early = TcpStream::connect(&address).await?;
    let stopping = master.stop(PATIENCE);
    let asking = async {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(&address).await.is_ok() {
            anyhow::ensure!(Instant::now() < deadline, "it listens on");
            sleep(POLL).await;
        }
        // It takes the database to find out that nobody has this token.
        let token = "0123456789abcdef".repeat(4);
        let request = format!("GET /v1/user HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
        early.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        timeout(PATIENCE, early.read_to_end(&mut answer)).await.context("no end")??;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let (status, answer) = tokio::join!(stopping, asking);
    assert!(status?.success());
    let answer = answer?;
    assert!(
        answer.starts_with("HTTP/1.1 403 Forbidden\r\n") && answer.contains("connection: close"),
        "{answer}"
    );
    Ok(())
}

#[tokio::test]
async fn a_planned_stop_hands_over_at_once_and_is_told_in_the_history() -> Result<()> {
    let database = shared().await?.database();
    let mut first = start("first", &database).await?;
    let (_, term) = acting(&[&first], 1).await?;
    let second = start("second", &database).await?;
    // On a slow machine its own reign is not recorded at once.
    let both = |cluster: &Cluster| cluster.masters.len() == 2 && cluster.history.len() == 1;
    sees(&first, "two masters and a reign", both).await?;
    let asked = Instant::now();
    let successors = [&second];
    let (status, taken) = tokio::join!(first.stop(PATIENCE), acting(&successors, term + 1));
    assert!(status?.success());
    assert_eq!(taken?.1, term + 1);
    assert!(asked.elapsed() < Duration::from_secs(2), "took {:?}", asked.elapsed());
    let cluster = sees(&second, "the history", |cluster| cluster.history.len() == 2).await?;
    let reign = &cluster.history[0];
    assert_eq!(reign.reason.as_deref(), Some("released"));
    assert_eq!(reign.from.as_ref().map(|from| from.name.as_str()), Some("first"));
    assert_eq!(reign.to.name, "second");
    assert_eq!(
        cluster.leader.as_ref().map(|leader| (leader.name.as_str(), leader.acting)),
        Some(("second", true))
    );
    sees(&second, "one master", |cluster| cluster.masters.len() == 1).await?;
    Ok(())
}

#[tokio::test]
async fn a_crashed_masters_lease_is_given_back_once_it_is_dead() -> Result<()> {
    let database = shared().await?.database();
    let mut first = start("first", &database).await?;
    let (_, term) = acting(&[&first], 1).await?;
    let second = start("second", &database).await?;
    sees(&first, "a standby", |cluster| state(cluster, "second") == Some(MasterState::Standby)).await?;
    let refused = first.release_lease()?;
    assert!(!refused.status.success(), "the lease of a living master was released");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("kontena-master is alive"));
    first.kill()?;
    let asked = Instant::now();
    let released = first.release_lease()?;
    assert!(released.status.success(), "{}", String::from_utf8_lossy(&released.stderr));
    acting(&[&second], term + 1).await?;
    assert!(asked.elapsed() < Duration::from_millis(1500), "took {:?}", asked.elapsed());
    let again = first.release_lease()?;
    assert!(String::from_utf8_lossy(&again.stdout).contains("nothing to release"));
    let cluster = sees(&second, "the history", |cluster| cluster.history.len() == 2).await?;
    assert_eq!(cluster.history[0].reason.as_deref(), Some("crashed"));
    assert_eq!(state(&cluster, "first"), Some(MasterState::Lost), "the dead master is not marked as such");
    Ok(())
}

#[tokio::test]
async fn administration_over_tcp_wants_the_token() -> Result<()> {
    let database = shared().await?.database();
    let master = start("only", &database).await?;
    acting(&[&master], 1).await?;
    let http = kontena_testkit::http::client().build()?;
    let url = |path: &str| format!("{}{path}", master.url());
    for path in ["/livez", "/readyz", "/leader"] {
        assert_eq!(http.get(url(path)).send().await?.status(), StatusCode::OK, "{path}");
    }
    let anonymous = http.get(url("/v1/cluster")).send().await?;
    assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED);
    assert!(anonymous.text().await?.contains("token_file"), "it says what to do");
    let wrong = http.post(url("/v1/cluster/step-down")).bearer_auth("wrong").send().await?;
    assert_eq!(wrong.status(), StatusCode::FORBIDDEN);
    let local = kontena_testkit::http::client().unix_socket(master.admin_socket()).build()?;
    assert_eq!(local.get("http://master/v1/cluster").send().await?.status(), StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn stepping_down_needs_a_successor_or_force() -> Result<()> {
    let database = shared().await?.database();
    let first = start("first", &database).await?;
    let (_, term) = acting(&[&first], 1).await?;
    let refused = first.run(&["step-down"])?;
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no other master could take over"));
    let second = start("second", &database).await?;
    sees(&first, "a standby", |cluster| state(cluster, "second") == Some(MasterState::Standby)).await?;
    // Whichever master is asked, the leader is found.
    let done = second.run(&["step-down"])?;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(acting(&[&first, &second], term + 1).await?, (1, term + 1));
    let shown = first.run(&["status"])?;
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(text.contains("second acts under term 2"), "{text}");
    let json = first.run(&["status", "--json"])?;
    let cluster: Cluster = serde_json::from_slice(&json.stdout)?;
    assert_eq!(cluster.term, term + 1);
    Ok(())
}

#[tokio::test]
async fn who_must_not_stand_does_not_and_says_why() -> Result<()> {
    let database = shared().await?.database();
    let with = |name: &str, configuration: &str| {
        let mut settings = Settings::new(name, &database.uri);
        configuration.clone_into(&mut settings.configuration);
        settings
    };
    let key = |letter: &str| format!("[vault]\nkey = \"{}\"\n", letter.repeat(40));
    let leader = Master::start(with("leader", &key("a"))).await?;
    acting(&[&leader], 1).await?;
    let ineligible = with("ineligible", &format!("{}[election]\neligible = false\n", key("a")));
    let ineligible = Master::start(ineligible).await?;
    let stranger = Master::start(with("stranger", &key("b"))).await?;
    let cluster = sees(&leader, "three masters", |cluster| {
        state(cluster, "ineligible") == Some(MasterState::Ineligible)
            && state(cluster, "stranger") == Some(MasterState::Unfit)
            // Before it asked the database it is unfit for not having asked.
            && !cluster.masters.iter().any(|master| master.warnings.iter().any(|w| w == "not asked yet"))
    })
    .await?;
    let stranger_row = cluster.masters.iter().find(|master| master.name == "stranger").context("a row")?;
    let warnings = stranger_row.warnings.join("\n");
    assert!(warnings.contains("the vault key is not the one"), "{warnings}");
    assert!(warnings.contains("its shared settings differ"), "{warnings}");
    let (status, body) = stranger.ask(Method::GET, "/readyz").await?;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.to_string().contains("the vault key is not the one"), "{body}");
    // Neither takes over, even when nobody else is left.
    drop(leader);
    sleep(Duration::from_secs(4)).await;
    assert_eq!(ineligible.acting_term().await, None);
    assert_eq!(stranger.acting_term().await, None);
    Ok(())
}

#[tokio::test]
async fn one_host_runs_one_master() -> Result<()> {
    let database = shared().await?.database();
    let master = start("only", &database).await?;
    let second = master.run(&["run"])?;
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("cannot be listened on"), "{said}");
    Ok(())
}

#[tokio::test]
async fn the_leader_keeps_the_originals_masters_out() -> Result<()> {
    let database = shared().await?.database();
    let master = start("only", &database).await?;
    acting(&[&master], 1).await?;
    sees(&master, "the duty's result", |cluster| {
        let duty = cluster.duties.iter().find(|duty| duty.name == "original_lock");
        duty.is_some_and(|duty| duty.last_result.as_deref() == Some("held"))
    })
    .await?;
    let outside = Outside::of(&database).await?;
    let lock = outside.one("distributed_locks", mongodb::bson::doc! { "name": "leader_elect" }).await?;
    assert!(lock.get_datetime("created_at")? > &mongodb::bson::DateTime::now());
    Ok(())
}

#[tokio::test]
async fn what_a_master_runs_short_of_is_told_to_all() -> Result<()> {
    let database = shared().await?.database();
    let first = start("first", &database).await?;
    // As a service manager, which ends who shows no sign of life.
    let directory = tempfile::tempdir()?;
    let manager = directory.path().join("notify");
    let signs = tokio::net::UnixDatagram::bind(&manager)?;
    let mut settings = Settings::new("second", &database.uri);
    settings.environment.push(("NOTIFY_SOCKET", manager.display().to_string()));
    settings.environment.push(("WATCHDOG_USEC", "1000000".to_owned()));
    let second = Master::start(settings).await?;
    let warned = |cluster: &Cluster| {
        let row = cluster.masters.iter().find(|master| master.name == "second");
        row.is_some_and(|row| {
            row.warnings.iter().any(|w| w.contains("open files") && w.contains("LimitNOFILE"))
        })
    };
    sees(&first, "no warning", |cluster| state(cluster, "second").is_some() && !warned(cluster)).await?;
    let process = second.pid().context("it runs")?.to_string();
    let limited = |files: &str| -> Result<()> {
        let limit = format!("--nofile={files}:");
        let done = std::process::Command::new("prlimit").args(["--pid", &process, &limit]).status()?;
        anyhow::ensure!(done.success(), "prlimit: {done}");
        Ok(())
    };
    // What it has open stays open; it gets nothing more.
    limited("3")?;
    sees(&first, "the warning", warned).await?;
    let mut sign = [0; 4096];
    while signs.try_recv(&mut sign).is_ok() {}
    let told = async {
        loop {
            let length = signs.recv(&mut sign).await?;
            if sign[..length].starts_with(b"WATCHDOG=1") {
                return anyhow::Ok(());
            }
        }
    };
    timeout(PATIENCE, told).await.context("no sign of life")??;
    limited("1024")?;
    sees(&first, "that it is over", |cluster| !warned(cluster)).await?;
    Ok(())
}
