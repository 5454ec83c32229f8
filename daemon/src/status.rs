//! `kontena-master status` and `step-down`.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, bail};
use kontena_wire::cluster::{Cluster, Master, MasterState, StepDown};
use reqwest::Method;

use crate::admin_client::{AdminClient, Reply};
use crate::cli;

pub(crate) fn status(path: &Path, arguments: &cli::Status) -> anyhow::Result<()> {
    let client = AdminClient::find(path, &arguments.connection)?;
    let Reply::Done(body) = client.ask::<()>(Method::GET, "/v1/cluster", None)? else {
        bail!("the master sends us on to another one, which it should not");
    };
    if arguments.json {
        println!("{}", String::from_utf8_lossy(&body));
    } else {
        let cluster: Cluster = serde_json::from_slice(&body)
            .context("the master's answer is not understood: is it of another version?")?;
        print!("{}", in_words(&cluster));
    }
    Ok(())
}

pub(crate) fn step_down(path: &Path, arguments: &cli::StepDown) -> anyhow::Result<()> {
    let body = StepDown { force: arguments.force };
    let mut client = AdminClient::find(path, &arguments.connection)?;
    // The leader may change while it is being looked for, but not for long.
    for _ in 0..3 {
        match client.ask(Method::POST, "/v1/cluster/step-down", Some(&body))? {
            Reply::Done(_) => {
                println!("the leader stepped down");
                return Ok(());
            }
            Reply::Ask(leader) => client = client.redirect(leader)?,
        }
    }
    bail!("no leader was found: see kontena-master status")
}

fn in_words(cluster: &Cluster) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _written = match &cluster.leader {
        Some(leader) if leader.acting => {
            writeln!(text, "leader   {} acts under term {} since {}", leader.name, leader.term, leader.since)
        }
        Some(leader) => writeln!(text, "leader   {} holds term {}, not acting", leader.name, leader.term),
        None => writeln!(text, "leader   none (last term {})", cluster.term),
    };
    let _written = writeln!(text, "agents   {} connected", cluster.agents.connected);
    let widest = cluster.masters.iter().map(|master| master.name.len()).max().unwrap_or(0).max(6);
    let _written =
        writeln!(text, "\n{:widest$}  {:10}  {:>9}  {:>8}  URL", "MASTER", "STATE", "LAST SEEN", "DB RTT");
    for master in &cluster.masters {
        let seen = master.last_seen_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
        let rtt = master.mongo_rtt_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"));
        let _written = writeln!(
            text,
            "{:widest$}  {:10}  {seen:>9}  {rtt:>8}  {}",
            master.name,
            state(master),
            master.url
        );
        for warning in &master.warnings {
            let _written = writeln!(text, "{:widest$}  warning: {warning}", "");
        }
    }
    text
}

fn state(master: &Master) -> &'static str {
    match master.state {
        MasterState::Acting => "acting",
        MasterState::Elected => "elected",
        MasterState::Standby => "standby",
        MasterState::Ineligible => "ineligible",
        MasterState::Draining => "draining",
        MasterState::Unfit => "unfit",
        MasterState::Lost => "lost",
    }
}
