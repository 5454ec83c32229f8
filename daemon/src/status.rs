//! `kontena-master status`, `step-down` and `drain`.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use kontena_wire::cluster::{CloudState, Cluster, Drain, MasterState, StepDown};
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

pub(crate) fn drain(path: &Path, arguments: &cli::Drain) -> anyhow::Result<()> {
    let client = AdminClient::find(path, &arguments.connection)?;
    let id = match &arguments.master {
        Some(wanted) => {
            let cluster = cluster(&client)?;
            let found = cluster.masters.iter().find(|master| master.name == *wanted || master.id == *wanted);
            let names: Vec<_> = cluster.masters.iter().map(|master| master.name.as_str()).collect();
            let known = || format!("there is no master {wanted:?}: there are {}", names.join(", "));
            found.with_context(known)?.id.clone()
        }
        None => client.id()?,
    };
    let body = Drain { force: arguments.force };
    match client.ask(Method::POST, &format!("/v1/cluster/masters/{id}/drain"), Some(&body))? {
        Reply::Done(_) => {
            println!("it is drained, until it is restarted: systemctl restart kontena-master");
            Ok(())
        }
        Reply::Ask(_) => bail!("the master sends us on to another one, which it should not"),
    }
}

/// One line and an exit code, as monitoring systems want it.
pub(crate) fn check(path: &Path, arguments: &cli::Status) -> ExitCode {
    let asked = AdminClient::find(path, &arguments.connection).and_then(|client| cluster(&client));
    let (code, line) = match asked {
        Ok(cluster) => judge(&cluster),
        Err(error) => (3, format!("UNKNOWN {error:#}")),
    };
    println!("{}", in_one_line(&line));
    ExitCode::from(code)
}

/// The faults of a configuration take a line each.
fn in_one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}

fn judge(cluster: &Cluster) -> (u8, String) {
    let count = |state| cluster.masters.iter().filter(|master| master.state == state).count();
    let standby = count(MasterState::Standby);
    let numbers = format!(
        "term {}, {} masters, {standby} standing by, {} agents",
        cluster.term,
        cluster.masters.len(),
        cluster.agents.connected
    );
    if let Some(failure) = &cluster.failure {
        return (2, format!("CRITICAL this master does not reach the database: {failure}"));
    }
    let Some(leader) = cluster.leader.as_ref().filter(|leader| leader.acting) else {
        return (2, format!("CRITICAL no master leads; {numbers}"));
    };
    let mut complaints = Vec::new();
    if standby == 0 {
        complaints.push("no other master could take over".to_owned());
    }
    for master in &cluster.masters {
        match master.state {
            MasterState::Lost | MasterState::Unfit => {
                complaints.push(format!("{} is {}", master.name, master.state.name()));
            }
            MasterState::Acting
            | MasterState::Elected
            | MasterState::Standby
            | MasterState::Ineligible
            | MasterState::Draining => {}
        }
        complaints.extend(master.warnings.iter().map(|warning| format!("{}: {warning}", master.name)));
    }
    if complaints.is_empty() {
        (0, format!("OK {} leads; {numbers}", leader.name))
    } else {
        (1, format!("WARNING {}; {} leads; {numbers}", complaints.join("; "), leader.name))
    }
}

fn cluster(client: &AdminClient) -> anyhow::Result<Cluster> {
    let Reply::Done(body) = client.ask::<()>(Method::GET, "/v1/cluster", None)? else {
        bail!("the master sends us on to another one, which it should not");
    };
    serde_json::from_slice(&body).context("the master's answer is not understood: is it of another version?")
}

fn in_words(cluster: &Cluster) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    if let Some(failure) = &cluster.failure {
        let _written =
            writeln!(text, "database this master does not reach it: {failure}; it tells what it last saw");
    }
    let _written = match &cluster.leader {
        Some(leader) if leader.acting => {
            writeln!(text, "leader   {} acts under term {} since {}", leader.name, leader.term, leader.since)
        }
        Some(leader) => writeln!(text, "leader   {} holds term {}, not acting", leader.name, leader.term),
        None => writeln!(text, "leader   none (last term {})", cluster.term),
    };
    let _written = writeln!(text, "agents   {} connected", cluster.agents.connected);
    if let Some(cloud) = cluster.cloud.as_ref().filter(|cloud| cloud.state != CloudState::Off) {
        let _written = writeln!(text, "cloud    {} ({})", cloud.state.name(), cloud.why);
    }
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
            master.state.name(),
            master.url
        );
        for warning in &master.warnings {
            let _written = writeln!(text, "{:widest$}  warning: {warning}", "");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use kontena_wire::cluster::{Agents, Leader, Master};

    use super::*;

    fn master(name: &str, state: MasterState) -> Master {
        Master {
            id: name.to_owned(),
            name: name.to_owned(),
            url: String::new(),
            version: String::new(),
            state,
            started_at: String::new(),
            last_seen_ms: None,
            agents: 0,
            mongo_rtt_ms: None,
            fingerprint: String::new(),
            warnings: Vec::new(),
        }
    }

    fn seen(acting: bool, masters: Vec<Master>) -> Cluster {
        let leader = Leader {
            id: "a".to_owned(),
            name: "a".to_owned(),
            url: None,
            term: 3,
            since: String::new(),
            acting,
        };
        Cluster {
            version: String::new(),
            compat_version: String::new(),
            term: 3,
            leader: Some(leader),
            lease: None,
            masters,
            agents: Agents { connected: 5, total: 6 },
            duties: Vec::new(),
            history: Vec::new(),
            cloud: None,
            failure: None,
        }
    }

    #[test]
    fn what_takes_several_lines_is_told_in_one() {
        let told = "UNKNOWN the configuration cannot be used\n  master.toml:3: no such key\n\n  master.toml:7: is 5\n";
        let line =
            "UNKNOWN the configuration cannot be used; master.toml:3: no such key; master.toml:7: is 5";
        assert_eq!(in_one_line(told), line);
        assert_eq!(in_one_line(line), line);
    }

    #[test]
    fn monitoring_is_told_how_bad_it_is() {
        use MasterState::{Acting, Elected, Lost, Standby};
        let well = seen(true, vec![master("a", Acting), master("b", Standby)]);
        assert_eq!(judge(&well), (0, "OK a leads; term 3, 2 masters, 1 standing by, 5 agents".to_owned()));
        let alone = seen(true, vec![master("a", Acting), master("b", Lost)]);
        let (code, line) = judge(&alone);
        assert_eq!(code, 1);
        assert!(line.starts_with("WARNING no other master could take over; b is lost; a leads"), "{line}");
        let nobody = seen(false, vec![master("a", Elected), master("b", Standby)]);
        assert_eq!(judge(&nobody).0, 2);
    }
}
