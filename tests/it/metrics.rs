//! What monitoring is told: the alerts and the dashboard ask for what there is, and a master tells it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::TryStreamExt;
use kontena_store::{Measures, Purpose};
use kontena_testkit::master::{Master, Settings, TOKEN};
use kontena_testkit::mongod::shared;
use mongodb::bson::{DateTime, Document, doc, oid::ObjectId};
use serde_json::Value;
use tokio::time::sleep;

use crate::store::{open, prepare};

const PATIENCE: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);

fn monitoring(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/monitoring").join(name)
}

/// The names in the page about the metrics, with those that a histogram's series have.
fn documented() -> Result<BTreeSet<String>> {
    let page = fs::read_to_string(monitoring("METRICS.md"))?;
    let mut names = BTreeSet::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("| `")) {
        let (name, rest) = line.split_once('`').context("no name")?;
        if rest.starts_with(" | histogram") {
            names.extend(["bucket", "sum", "count"].map(|suffix| format!("{name}_{suffix}")));
        } else {
            names.insert(name.to_owned());
        }
    }
    Ok(names)
}

/// The metrics of ours that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let starts = text.match_indices("kontena_master_").map(|(at, _)| &text[at..]);
    let inside = |c: &char| c.is_ascii_lowercase() || *c == '_';
    starts.map(|rest| rest.chars().take_while(inside).collect()).collect()
}

/// The expressions of the dashboard.
fn expressions(dashboard: &Value) -> Vec<String> {
    match dashboard {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| match value {
                Value::String(text) if key == "expr" => vec![text.clone()],
                other => expressions(other),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(expressions).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn the_alerts_and_the_dashboard_ask_for_what_there_is() -> Result<()> {
    let documented = documented()?;
    for file in ["alerts.yaml", "alerts.test.yaml", "dashboard.json"] {
        let named = named(&fs::read_to_string(monitoring(file))?);
        assert!(named.len() > 8, "{file} names {named:?} only");
        let unknown: Vec<&String> = named.difference(&documented).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}, which no master tells");
    }
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(monitoring("dashboard.json"))?)?;
    let panels = dashboard["panels"].as_array().context("no panels")?;
    let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len());
    assert!(expressions(&dashboard).len() > panels.len());
    Ok(())
}

#[tokio::test]
async fn grids_are_measured_without_reading_every_deploy() -> Result<()> {
    let database = shared().await?.database();
    prepare(&database).await?;
    let store = open(&database.uri, Purpose::Main).await?;
    let nothing = Measures { nodes: 0, open_deploys: 0, oldest_open_deploy: None, first_expiry: None };
    assert_eq!(store.measures().await?, nothing);
    let outside = mongodb::Client::with_uri_str(&database.uri).await?.database(&database.name);
    let put = async |name: &str, rows: Vec<Document>| {
        outside.collection::<Document>(name).insert_many(rows).await.map(drop)
    };
    let ago = |time: Duration| {
        DateTime::from_millis(
            DateTime::now().timestamp_millis() - i64::try_from(time.as_millis()).unwrap_or(0),
        )
    };
    let deploy = |created: Duration, finished: Option<DateTime>| {
        doc! { "grid_service_id": ObjectId::new(), "created_at": ago(created), "finished_at": finished }
    };
    let ended = (0..500).map(|_| deploy(HOUR * 5, Some(DateTime::now())));
    put("grid_service_deploys", ended.chain([deploy(HOUR, None), deploy(HOUR * 2, None)]).collect()).await?;
    let grid = ObjectId::new();
    let node = |number: i32| doc! { "grid_id": grid, "name": format!("n-{number}"), "node_number": number };
    put("host_nodes", (1..=3).map(node).collect()).await?;
    let certificate = |subject: &str, end: i64| {
        doc! { "grid_id": grid, "subject": subject, "valid_until": DateTime::from_millis(end) }
    };
    put("certificates", vec![certificate("a", 2_000), certificate("b", 1_000)]).await?;
    outside.run_command(doc! { "profile": 2 }).await?;
    let found = store.measures().await?;
    outside.run_command(doc! { "profile": 0 }).await?;
    let age = found.oldest_open_deploy.context("no open deploy")?;
    assert!((HOUR * 2..HOUR * 3).contains(&age), "{age:?}");
    assert_eq!((found.nodes, found.open_deploys, found.first_expiry), (3, 2, Some(1_000)));
    let asked = doc! { "ns": format!("{}.grid_service_deploys", database.name), "op": "command" };
    let profile = outside.collection::<Document>("system.profile");
    let rows: Vec<Document> = profile.find(asked).await?.try_collect().await?;
    assert!(!rows.is_empty(), "the query was not seen");
    for row in rows {
        let examined = row.get_i32("docsExamined")?;
        assert!(examined <= 2, "{examined} documents were read: {}", row.get_str("planSummary")?);
    }
    Ok(())
}

#[tokio::test]
async fn a_leader_tells_what_the_alerts_need() -> Result<()> {
    let database = shared().await?.database();
    let master = Master::start(Settings::new("only", &database.uri)).await?;
    let http = kontena_testkit::http::client().timeout(PATIENCE).build()?;
    let deadline = Instant::now() + PATIENCE;
    let text = loop {
        let request = http.get(format!("{}/metrics", master.url())).bearer_auth(TOKEN);
        let text = request.send().await?.error_for_status()?.text().await?;
        if text.contains("\nkontena_master_nodes ")
            && text.contains("\nkontena_master_masters{state=\"acting\"} 1")
        {
            break text;
        }
        ensure!(Instant::now() < deadline, "{text}");
        sleep(Duration::from_millis(50)).await;
    };
    let value = |name: &str| -> Result<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("no {name}"))?.parse()?)
    };
    assert_eq!(value("kontena_master_acting")?.to_bits(), 1.0_f64.to_bits());
    assert_eq!(value("kontena_master_lease_ttl_seconds")?.to_bits(), 2.0_f64.to_bits());
    // One host, one clock.
    assert!(value("kontena_master_clock_offset_seconds")?.abs() < 1.0);
    assert_eq!(value("kontena_master_open_deploys")?.to_bits(), 0.0_f64.to_bits());
    assert_eq!(value("kontena_master_oldest_open_deploy_seconds")?.to_bits(), 0.0_f64.to_bits());
    // What is told is documented.
    let documented = documented()?;
    let told: BTreeSet<String> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split([' ', '{']).next()?.to_owned()))
        .collect();
    let unknown: Vec<&String> = told.difference(&documented).collect();
    assert!(unknown.is_empty(), "METRICS.md does not name {unknown:?}");
    Ok(())
}

#[test]
#[ignore = "wants promtool (apt-get install prometheus): .ci/run runs it"]
fn by_their_own_checker_the_alerts_are_right() -> Result<()> {
    let promtool = |arguments: &[&str]| -> Result<()> {
        let mut command = Command::new("promtool");
        let checked = command.args(arguments).current_dir(monitoring("")).output();
        let checked = checked.context("cannot run promtool (apt-get install prometheus)")?;
        let told = [checked.stdout, checked.stderr].concat();
        ensure!(checked.status.success(), "{}", String::from_utf8_lossy(&told));
        Ok(())
    };
    promtool(&["check", "rules", "alerts.yaml"])?;
    promtool(&["test", "rules", "alerts.test.yaml"])?;
    promtool(&["check", "config", "--syntax-only", "prometheus.yaml"])?;
    // The expressions of the dashboard, as rules: Grafana puts a time in before it asks.
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(monitoring("dashboard.json"))?)?;
    let rules: Vec<Value> = expressions(&dashboard)
        .into_iter()
        .enumerate()
        .map(|(number, expression)| {
            let expression = expression.replace("$__rate_interval", "5m");
            serde_json::json!({ "record": format!("panel:{number}"), "expr": expression })
        })
        .collect();
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("dashboard.yaml");
    fs::write(&file, serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] }).to_string())?;
    promtool(&["check", "rules", &file.display().to_string()])
}
