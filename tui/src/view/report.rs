//! A deploy in words: what became of it, and why each node was taken or refused.

use std::collections::BTreeMap;

use kontena_wire::services::{Deploy, Placement, RefusedNode, Report, ServiceSight};

use super::services::{deploy, rest, shown};
use super::{Cell, Detail};
use crate::state::State;
use crate::theme::Tone;
use crate::time;

/// How many names of nodes stand in one line.
const NAMES: usize = 6;
/// How many troubles stand at the top.
const TROUBLES: usize = 3;

/// What keeps a service from running, in a few lines: what the deploy, its steps, the plan and the agents say.
pub(super) fn troubles(sight: &ServiceSight) -> Vec<String> {
    // What is wrong, and with what.
    let mut known: Vec<(String, String)> = Vec::new();
    let on = |node: &Option<String>| node.as_deref().map(|node| format!(" on {node}")).unwrap_or_default();
    let reason = sight.deploys.first().and_then(|deploy| deploy.reason.as_ref());
    let whole = reason.map(|reason| (String::new(), reason.clone()));
    let steps = sight
        .steps
        .iter()
        .filter_map(|step| Some((format!("#{}{}: ", step.number, on(&step.node)), step.error.clone()?)));
    let placements = sight.report.iter().flat_map(|report| &report.instances);
    let unplaced = placements
        .filter_map(|placed| Some((format!("#{}: ", placed.instance_number), placed.error.clone()?)));
    let instances = sight.instances.iter().filter_map(|instance| {
        Some((format!("#{}{}: ", instance.number, on(&instance.node)), instance.error.clone()?))
    });
    for (of, what) in whole.into_iter().chain(steps).chain(unplaced).chain(instances) {
        // One says of an instance what another has in more words.
        if !known.iter().any(|(_, other)| other.contains(&what)) {
            known.push((of, what));
        }
    }
    let mut troubles: Vec<String> = known.into_iter().map(|(of, what)| of + &what).collect();
    if troubles.len() > TROUBLES {
        let more = troubles.len() - TROUBLES;
        troubles.truncate(TROUBLES);
        troubles.push(format!("and {more} more, below"));
    }
    troubles.extend(sight.report.iter().flat_map(unplaced_since));
    troubles
}

/// What each node is refused for, where an instance found none.
fn unplaced_since(report: &Report) -> Vec<String> {
    let Some(placement) = report.instances.iter().find(|placement| placement.node.is_none()) else {
        return Vec::new();
    };
    let of_both: Vec<RefusedNode> = report.refused.iter().chain(&placement.refused).cloned().collect();
    let mut lines = by_reason(&of_both);
    if lines.len() > TROUBLES {
        let more = lines.len() - TROUBLES;
        lines.truncate(TROUBLES);
        lines.push(format!("and {more} more reasons, below"));
    }
    lines
}

/// The last deploys, and the plan of the newest.
pub(super) fn deploys(lines: &mut Vec<Detail>, sight: &ServiceSight, state: &State) {
    lines.push(Detail::Heading("Last deploy".to_owned()));
    let Some(newest) = sight.deploys.first() else {
        lines.push(Detail::Text(Cell::new("it was never deployed", Tone::Dim)));
        return;
    };
    one(lines, newest, state);
    for step in sight.steps.iter().take(shown()) {
        let on = step.node.as_deref().unwrap_or("no node");
        let (tone, text) = match (step.state.as_str(), &step.error) {
            ("error", Some(error)) => (Tone::Bad, format!("failed on {on}: {error}")),
            ("error", None) => (Tone::Bad, format!("failed on {on}")),
            ("success", _) => (Tone::Plain, format!("done on {on}")),
            _ => (Tone::Note, format!("under way on {on}")),
        };
        lines.push(Detail::Item(format!("#{}", step.number), Cell::new(text, tone)));
    }
    rest(lines, sight.steps.len());
    if let Some(report) = &sight.report {
        lines.push(Detail::Blank);
        let of_newest = sight.report_of.as_deref() == Some(&newest.id);
        let of = if of_newest { "Why these nodes" } else { "Why these nodes (in an earlier deploy)" };
        lines.push(Detail::Heading(of.to_owned()));
        plan(lines, report);
    }
    if sight.deploys.len() > 1 {
        lines.push(Detail::Blank);
        lines.push(Detail::Heading("Before that".to_owned()));
    }
    for earlier in sight.deploys.iter().skip(1) {
        let mut cell = deploy(Some(earlier), state);
        if let Some(reason) = &earlier.reason {
            cell.text = format!("{}: {reason}", cell.text);
        }
        lines.push(Detail::Text(cell));
    }
}

/// How one deploy went.
pub(super) fn one(lines: &mut Vec<Detail>, newest: &Deploy, state: &State) {
    let at =
        |text: &String| time::parse(text).map_or_else(|| text.clone(), |at| state.preferences.zone.full(at));
    lines.push(Detail::Pair("state", deploy(Some(newest), state)));
    if let Some(reason) = &newest.reason {
        lines.push(Detail::Pair("reason", Cell::new(reason.clone(), Tone::Bad)));
    }
    lines.push(Detail::Pair("asked for", Cell::plain(at(&newest.created_at))));
    let took = |from: &str, to: &str| time::between(time::parse(from)?, time::parse(to)?);
    if let (Some(started), Some(finished)) = (&newest.started_at, &newest.finished_at)
        && let Some(ms) = took(started, finished)
    {
        lines.push(Detail::Pair("took", Cell::plain(time::duration(ms))));
    }
}

fn plan(lines: &mut Vec<Detail>, report: &Report) {
    for placement in report.instances.iter().take(shown()) {
        let (text, tone) = placed(placement);
        lines.push(Detail::Item(format!("#{}", placement.instance_number), Cell::new(text, tone)));
        let tone = if placement.node.is_some() { Tone::Dim } else { Tone::Plain };
        refused(lines, &placement.refused, tone);
    }
    rest(lines, report.instances.len());
    if !report.refused.is_empty() {
        lines.push(Detail::Text(Cell::plain("Refused for all of them:")));
        refused(lines, &report.refused, Tone::Plain);
    }
}

fn placed(placement: &Placement) -> (String, Tone) {
    let Some(node) = &placement.node else {
        let why = placement.error.as_deref().unwrap_or("no node is left");
        return (why.to_owned(), Tone::Bad);
    };
    if placement.stays {
        return (format!("{node}: it was there already"), Tone::Plain);
    }
    let mut why = Vec::new();
    let mut load = |what: &str, load: Option<f64>| {
        if let Some(load) = load {
            why.push(format!("{what} {load}"));
        }
    };
    load("instances in the zone", placement.zone_load);
    load("on the node", placement.node_load);
    load("rank", placement.rank.map(|rank| (rank * 100.0).round() / 100.0));
    if why.is_empty() {
        return (node.clone(), Tone::Plain);
    }
    (format!("{node}: the best of those left ({})", why.join(", ")), Tone::Plain)
}

/// Nodes with the same reason stand together.
fn refused(lines: &mut Vec<Detail>, nodes: &[RefusedNode], tone: Tone) {
    lines.extend(by_reason(nodes).into_iter().map(|text| Detail::Item(String::new(), Cell::new(text, tone))));
}

/// The reason that most nodes have comes first.
fn by_reason(nodes: &[RefusedNode]) -> Vec<String> {
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for RefusedNode { node, filter: _, reason } in nodes {
        by_reason.entry(reason).or_default().push(node);
    }
    let mut sorted: Vec<(&str, Vec<&str>)> = by_reason.into_iter().collect();
    sorted.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    let line = |(reason, names): (&str, Vec<&str>)| {
        let more = names.len().saturating_sub(NAMES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let names: Vec<&str> = names.into_iter().take(NAMES).collect();
        format!("not {}{more}: {reason}", names.join(", "))
    };
    sorted.into_iter().map(line).collect()
}
