//! `--once`: the masters, for scripts and for a quick look.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use kontena_wire::cluster::Cluster;
use serde_json::json;

use crate::client::Master;
use crate::clock::Moment;
use crate::export::clean;
use crate::setup::Setup;
use crate::state::State;

/// Asks once, and returns what is to be printed.
pub(crate) fn once(setup: Setup, as_json: bool) -> Result<String> {
    let Setup { preferences, contexts, context, notes } = setup;
    for note in notes {
        eprintln!("kontena-tui: {}", clean(&note));
    }
    let Some(chosen) = contexts.get(context) else { bail!("there is no master to ask") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = runtime.block_on(async { Master::new(chosen.target.clone())?.cluster().await });
    let cluster = asked.map_err(|failure| anyhow::anyhow!("{}", clean(&failure.words)))?;
    let names = contexts.iter().map(crate::client::contexts::Context::public).collect();
    let mut state = State::new(preferences, names, context, (80, 24), Moment::now());
    state.connection = crate::state::Connection::Live { target: chosen.target.to_string() };
    state.take_picture(cluster.clone());
    let verdict = state.verdict();
    if as_json {
        let report = json!({
            "cluster": state.cluster_name(),
            "verdict": verdict.badge.to_lowercase(),
            "text": verdict.text,
            "term": cluster.term,
            "leader": cluster.leader,
            "masters": cluster.masters,
        });
        return Ok(serde_json::to_string_pretty(&report)? + "\n");
    }
    Ok(format!("{}: {}\n\n{}", verdict.badge.to_lowercase(), clean(&verdict.text), table(&cluster)))
}

/// One line a master, the columns as wide as they must be.
fn table(cluster: &Cluster) -> String {
    let mut lines =
        vec![["MASTER", "STATE", "TERM", "DATABASE", "AGENTS", "SEEN", "VERSION", "URL"].map(str::to_owned)];
    for master in &cluster.masters {
        let term = cluster.leader.as_ref().filter(|leader| leader.id == master.id).map(|leader| leader.term);
        lines.push([
            clean(&master.name),
            master.state.name().to_owned(),
            term.map_or_else(|| "-".to_owned(), |term| term.to_string()),
            master.mongo_rtt_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms")),
            master.agents.to_string(),
            master.last_seen_ms.map_or_else(|| "-".to_owned(), crate::time::duration),
            clean(&master.version),
            clean(&master.url),
        ]);
    }
    let width =
        |column: usize| lines.iter().filter_map(|line| line.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..8).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        // Writing to a string does not fail.
        let _written = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    for master in &cluster.masters {
        for warning in &master.warnings {
            let _written = writeln!(text, "{}: {}", clean(&master.name), clean(warning));
        }
    }
    text
}
