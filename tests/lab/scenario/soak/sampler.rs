//! Looks at masters and database once in a while, and keeps all that was seen.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};
use tokio::time::{Instant, timeout};

use super::verdict::{Bound, Points};
use crate::process::{TICKS, descriptors, rss_mib, threads, ticks};
use crate::rig::Rig;

/// For one question to the database.
const WITHIN: Duration = Duration::from_secs(10);
/// Rows of `leader_history` that are kept, ended deploys of a service, and what may come between two tidy runs.
const HISTORY_KEPT: f64 = 1000.0;
const DEPLOYS_KEPT: f64 = 100.0;
const UNTIDY: f64 = 50.0;
/// What a capped collection may hold beyond its size, as the database removes in batches.
const CAPPED_OVER: f64 = 1.1;
/// Why the size of a collection says nothing that its rows do not.
pub(super) const BY_ROWS: &str = "judged by its rows";
/// Collections that keep what people did, as the original's do: they grow with each deed, however long ago it was.
const DEEDS: [&str; 3] = ["audit_logs", "stack_deploys", "stack_revisions"];

/// All that was seen, by name; the name carries the unit.
pub(super) struct Sampler {
    database: Database,
    begun: Instant,
    series: BTreeMap<String, (Points, Bound)>,
    /// Of each master: its process, and its processor time at a moment.
    lives: Vec<Option<(u32, f64, Instant)>>,
    pub(super) nodes_offline: u64,
}

impl Sampler {
    pub(super) fn new(database: Database, masters: usize) -> Self {
        let (begun, lives) = (Instant::now(), vec![None; masters]);
        Self { database, begun, series: BTreeMap::new(), lives, nodes_offline: 0 }
    }

    /// Every series with what it may do.
    pub(super) fn series(&self) -> impl Iterator<Item = (&String, &Points, Bound)> {
        self.series.iter().map(|(name, (points, bound))| (name, points, *bound))
    }

    fn add(&mut self, name: String, value: f64, bound: Bound) {
        let at = self.begun.elapsed().as_secs_f64() / 3600.0;
        let (points, last) = self.series.entry(name).or_insert_with(|| (Points::new(), bound));
        points.push((at, value));
        // What may be there depends on what else is there.
        if let (Bound::AtMost(before), Bound::AtMost(now)) = (*last, bound) {
            *last = Bound::AtMost(before.max(now));
        }
    }

    /// Looks at all masters that run. `mortal` is the one that is killed now and then.
    pub(super) fn masters(&mut self, rig: &Rig, mortal: usize) -> Result<()> {
        for (index, place) in rig.places.iter().enumerate() {
            let Some(pid) = place.master.pid() else { continue };
            let (used, now) = (ticks(pid)?, Instant::now());
            let before = self.lives.get_mut(index).context("no such master")?.replace((pid, used, now));
            let name = |what: &str| format!("{}_{what}", place.master.name());
            let bound =
                |bound| if index == mortal { Bound::Told("it is killed now and then") } else { bound };
            let memory = Bound::Slope { per_hour: 1.0, rise: 1.0, watched: 1.0 };
            let steady = Bound::Slope { per_hour: 2.0, rise: 20.0, watched: 0.05 };
            self.add(name("rss_mib"), rss_mib(pid)?, bound(memory));
            self.add(name("descriptors"), descriptors(pid)?, bound(steady));
            self.add(name("threads"), threads(pid)?, bound(steady));
            if let Some((same, then, at)) = before
                && same == pid
                && now > at
            {
                let percent = (used - then) / TICKS / (now - at).as_secs_f64() * 100.0;
                self.add(name("cpu_percent"), percent, Bound::Told("it depends on who leads"));
            }
        }
        Ok(())
    }

    /// Looks at every collection.
    pub(super) async fn database(&mut self) -> Result<()> {
        let stats = self.ask(doc! { "dbStats": 1 }).await?;
        let told = Bound::Told("the sum of the collections");
        self.add("database_mib".to_owned(), mib(number(&stats, "dataSize")), told);
        let mut names = timeout(WITHIN, async { self.database.list_collection_names().await }).await??;
        names.retain(|name| !name.starts_with("system."));
        let mut found = Vec::new();
        for name in names {
            let stats = self.ask(doc! { "collStats": &name }).await?;
            found.push((name, stats));
        }
        let services = found.iter().find(|(name, _)| name == "grid_services");
        let services = services.map_or(0.0, |(_, stats)| number(stats, "count"));
        for (name, stats) in found {
            let (rows, size) = (number(&stats, "count"), number(&stats, "size"));
            let (of_rows, of_size) = bounds(&name, &stats, services);
            self.add(format!("{name}_rows"), rows, of_rows);
            self.add(format!("{name}_mib"), mib(size), of_size);
        }
        let offline = self.database.collection::<Document>("host_nodes");
        let offline = offline.count_documents(doc! { "connected": false });
        self.nodes_offline = self.nodes_offline.max(timeout(WITHIN, async { offline.await }).await??);
        Ok(())
    }

    async fn ask(&self, command: Document) -> Result<Document> {
        Ok(timeout(WITHIN, async { self.database.run_command(command).await }).await??)
    }
}

/// What rows and size of a collection may do.
fn bounds(name: &str, stats: &Document, services: f64) -> (Bound, Bound) {
    let size = Bound::Told(BY_ROWS);
    if stats.get_bool("capped").unwrap_or(false) {
        let most = mib(number(stats, "maxSize")) * CAPPED_OVER;
        return (Bound::Told("judged by its size"), Bound::AtMost(most));
    }
    match name {
        _ if DEEDS.contains(&name) => (Bound::Told("what people did is kept, as by the original"), size),
        "leader_history" => (Bound::AtMost(HISTORY_KEPT + UNTIDY), size),
        "grid_service_deploys" => (Bound::AtMost(DEPLOYS_KEPT * services + UNTIDY), size),
        _ => (Bound::Slope { per_hour: 10.0, rise: 30.0, watched: 0.5 }, size),
    }
}

fn number(document: &Document, key: &str) -> f64 {
    match document.get(key) {
        Some(Bson::Double(value)) => *value,
        Some(Bson::Int32(value)) => f64::from(*value),
        // A number of bytes or rows: what it loses above 2^53 is nothing.
        Some(Bson::Int64(value)) => value.to_string().parse().unwrap_or(f64::MAX),
        _ => 0.0,
    }
}

fn mib(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_collection_has_its_own_bound() {
        let capped = doc! { "capped": true, "maxSize": 10_i64 << 20 };
        let (rows, size) = bounds("container_logs", &capped, 8.0);
        assert!(matches!((rows, size), (Bound::Told(_), Bound::AtMost(most)) if (most - 11.0).abs() < 0.01));
        assert!(matches!(bounds("audit_logs", &doc! {}, 8.0).0, Bound::Told(_)));
        assert_eq!(bounds("grid_service_deploys", &doc! {}, 8.0).0, Bound::AtMost(850.0));
        assert!(matches!(bounds("whatever_is_new", &doc! {}, 8.0).0, Bound::Slope { .. }));
    }
}
