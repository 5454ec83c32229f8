//! The page about the metrics says what there is, name by name.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use kontena_wire::cluster::DutyState;

const PAGE: &str = include_str!("../../../../packaging/monitoring/METRICS.md");

/// Everything that can be told at once.
fn everything() -> String {
    let metrics = Metrics::default();
    metrics.call("look", true, Duration::from_millis(3));
    metrics.batch("probe", 1, &Ok(()));
    metrics.rescheduled("node");
    metrics.cloud.request(true);
    let status = DutyStatus {
        state: DutyState::Waiting,
        last_run_at: Some(1),
        last_result: None,
        next_run_at: None,
        runs: 1,
        failures: 1,
        took: Some(Duration::from_millis(1)),
        deadline: Duration::from_secs(1),
    };
    metrics.render(&Sample {
        id: "id".to_owned(),
        name: "name".to_owned(),
        version: "version".to_owned(),
        term: 1,
        acting: true,
        ready: true,
        agents: 1,
        round_trip: Some(Duration::from_millis(1)),
        lease_ttl: Duration::from_secs(2),
        clock_offset: Some(-0.5),
        grids: Some(Measures {
            nodes: 1,
            open_deploys: 1,
            oldest_open_deploy: Some(Duration::from_secs(1)),
            first_expiry: Some(1),
        }),
        database_commands: BTreeMap::from([(("find".to_owned(), "grids".to_owned()), 1)]),
        masters: vec![("acting", 1)],
        duties: vec![("probe", status)],
    })
}

/// The table as it should be, one line for each metric.
fn table(text: &str) -> BTreeSet<String> {
    let (mut kinds, mut helps, mut labels) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            kinds.insert(name, kind);
        } else if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' '))
        {
            helps.insert(name, help.trim_end_matches('.'));
        } else if let Some((name, rest)) = line.split_once('{') {
            let (inside, _) = rest.rsplit_once('}').unwrap();
            let keys = inside.split("\",").filter_map(|pair| Some(pair.split_once('=')?.0));
            let keys: Vec<String> = keys.filter(|key| *key != "le").map(|key| format!("`{key}`")).collect();
            labels.insert(name, keys.join(", "));
        }
    }
    let line = |(name, kind): (&str, &str)| {
        let suffix = match kind {
            "counter" => "_total",
            "histogram" => "_bucket",
            _ => "",
        };
        let full = format!("{name}{suffix}");
        let keys = labels.get(full.as_str()).cloned().unwrap_or_default();
        let shown = if kind == "histogram" { name } else { full.as_str() };
        format!("| `{shown}` | {kind} | {keys} | {} |", helps[name])
    };
    kinds.into_iter().map(line).collect()
}

#[test]
fn the_page_about_the_metrics_names_all_that_there_are_as_they_are() {
    let expected = table(&everything());
    assert!(expected.len() > 25, "{expected:#?}");
    let found: BTreeSet<String> =
        PAGE.lines().filter(|line| line.starts_with("| `kontena_")).map(str::to_owned).collect();
    let expected_text = expected.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(found == expected, "packaging/monitoring/METRICS.md must have this table:\n{expected_text}");
}
