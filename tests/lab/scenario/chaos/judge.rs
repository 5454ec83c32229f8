//! When it is calm: is everything as it was wanted, by the agents' own records and by the database?

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc, oid::ObjectId};
use tokio::time::{Instant, sleep};

use super::world::World;
use crate::administrators::{Item, Wanted, services_of};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// It must stay right for so long.
const STAYS: Duration = Duration::from_secs(5);

/// What is wrong at a moment, as lines for people.
#[derive(Debug, Default)]
pub(super) struct Wrong {
    /// Deploys that do not end.
    pub(super) stuck: Vec<String>,
    /// Instances that run on more than one host, or have more than one row.
    pub(super) doubled: Vec<String>,
    /// Everything else: services, instances and nodes that are not as they should be.
    pub(super) diverged: Vec<String>,
}

impl Wrong {
    fn is_nothing(&self) -> bool {
        self.stuck.is_empty() && self.doubled.is_empty() && self.diverged.is_empty()
    }

    fn lines(&self) -> impl Iterator<Item = &String> {
        self.stuck.iter().chain(&self.doubled).chain(&self.diverged)
    }

    /// Tells what is wrong, each thing in a line.
    pub(super) fn tell(&self) {
        for line in self.lines().take(40) {
            eprintln!("wrong: {line}");
        }
    }
}

/// Waits until nothing is wrong for a while; what is wrong in the end. A look that fails counts as one that sees
/// something wrong.
pub(super) async fn judge(world: &World, wanted: &BTreeMap<Item, Wanted>, until: Instant) -> Result<Wrong> {
    let mut right_since: Option<Instant> = None;
    loop {
        let wrong = look(world, wanted).await;
        let right = wrong.as_ref().is_ok_and(Wrong::is_nothing);
        right_since = if right { right_since.or_else(|| Some(Instant::now())) } else { None };
        if right_since.is_some_and(|since| since.elapsed() >= STAYS) || Instant::now() > until {
            return wrong;
        }
        sleep(LOOK).await;
    }
}

async fn rows(world: &World, collection: &str, filter: Document) -> Result<Vec<Document>> {
    Ok(world.grids.collection(collection).find(filter).await?.try_collect().await?)
}

/// Who a service is: its grid, its stack and its name.
type Path = (String, String, String);

async fn look(world: &World, wanted: &BTreeMap<Item, Wanted>) -> Result<Wrong> {
    let mut wrong = Wrong::default();
    let grids = names(&rows(world, "grids", doc! {}).await?);
    let stacks = rows(world, "stacks", doc! {}).await?;
    let stack_names = names(&stacks);
    let nodes = rows(world, "host_nodes", doc! {}).await?;
    let mut per_grid: BTreeMap<String, u32> = BTreeMap::new();
    for node in &nodes {
        let grid = node.get_object_id("grid_id").ok().and_then(|grid| grids.get(&grid)).cloned();
        *per_grid.entry(grid.unwrap_or_default()).or_default() += 1;
        if !node.get_bool("connected").unwrap_or(false) {
            wrong.diverged.push(format!("the node {} is not connected", text(node, "name")));
        }
    }
    if nodes.len() != world.agents.len() || world.connected() != world.agents.len() {
        let (rows, agents) = (nodes.len(), world.connected());
        wrong.diverged.push(format!("{rows} nodes and {agents} agents of {}", world.agents.len()));
    }
    let mut should = should(wanted, &per_grid);
    check_stacks(wanted, &stacks, &grids, &mut wrong);
    let truth = truth(world);
    let node_ids: BTreeMap<ObjectId, String> = nodes
        .iter()
        .filter_map(|node| Some((node.get_object_id("_id").ok()?, text(node, "node_id"))))
        .collect();
    let instances = rows(world, "grid_service_instances", doc! {}).await?;
    let mut services = BTreeSet::new();
    for service in rows(world, "grid_services", doc! {}).await? {
        let id = service.get_object_id("_id")?;
        services.insert(id.to_hex());
        let name = |names: &BTreeMap<ObjectId, String>, key: &str| {
            let id = service.get_object_id(key).ok();
            id.and_then(|id| names.get(&id)).cloned().unwrap_or_default()
        };
        let path: Path = (name(&grids, "grid_id"), name(&stack_names, "stack_id"), text(&service, "name"));
        let Some(count) = should.remove(&path) else {
            wrong.diverged.push(format!("{path:?} is there and should not be"));
            continue;
        };
        let of_service: Vec<&Document> = instances
            .iter()
            .filter(|row| row.get_object_id("grid_service_id").is_ok_and(|of| of == id))
            .collect();
        check_instances(&path, &id.to_hex(), count, &of_service, (&truth, &node_ids), &mut wrong);
    }
    for path in should.keys() {
        wrong.diverged.push(format!("{path:?} is not there"));
    }
    for (service, number) in truth.keys().filter(|(service, _)| !services.contains(service)) {
        wrong.diverged.push(format!("instance {number} of the service {service} runs, which is no more"));
    }
    open_deploys(world, &services, &stack_names, &mut wrong).await?;
    Ok(wrong)
}

fn names(rows: &[Document]) -> BTreeMap<ObjectId, String> {
    rows.iter().filter_map(|row| Some((row.get_object_id("_id").ok()?, text(row, "name")))).collect()
}

fn text(row: &Document, key: &str) -> String {
    row.get_str(key).unwrap_or_default().to_owned()
}

/// All services that should be, with how many instances; none of a service that is stopped.
fn should(wanted: &BTreeMap<Item, Wanted>, per_grid: &BTreeMap<String, u32>) -> BTreeMap<Path, Option<u32>> {
    let mut should = BTreeMap::new();
    for (Item { grid, name }, wanted) in wanted {
        let grid = format!("grid-{}", grid + 1);
        let mut single = |count| should.insert((grid.clone(), "null".to_owned(), name.clone()), count);
        match wanted {
            Wanted::Instances(count) => drop(single(Some(*count))),
            Wanted::Everywhere => drop(single(Some(per_grid.get(&grid).copied().unwrap_or(0)))),
            Wanted::Stopped => drop(single(None)),
            Wanted::Version(version) => {
                for (service, count, _) in services_of(*version) {
                    should.insert((grid.clone(), name.clone(), service.to_owned()), Some(count));
                }
            }
            Wanted::Used | Wanted::Nothing => {}
        }
    }
    should
}

fn check_stacks(
    wanted: &BTreeMap<Item, Wanted>,
    stacks: &[Document],
    grids: &BTreeMap<ObjectId, String>,
    wrong: &mut Wrong,
) {
    let mut should: BTreeSet<(String, String)> = wanted
        .iter()
        .filter(|(_, wanted)| matches!(wanted, Wanted::Version(_)))
        .map(|(item, _)| (format!("grid-{}", item.grid + 1), item.name.clone()))
        .collect();
    for stack in stacks.iter().filter(|stack| text(stack, "name") != "null") {
        let grid = stack.get_object_id("grid_id").ok().and_then(|grid| grids.get(&grid)).cloned();
        let path = (grid.unwrap_or_default(), text(stack, "name"));
        if !should.remove(&path) {
            wrong.diverged.push(format!("the stack {path:?} is there and should not be"));
        }
    }
    wrong.diverged.extend(should.iter().map(|path| format!("the stack {path:?} is not there")));
}

/// On which hosts each instance runs, as the agents have it: by service and number.
type Truth = BTreeMap<(String, i64), Vec<String>>;

fn truth(world: &World) -> Truth {
    let mut truth = Truth::new();
    for (settings, agent) in &world.agents {
        let pods = agent.as_ref().map(|agent| agent.record().truth()).unwrap_or_default();
        for (key, pod) in pods {
            if pod.state == "running" {
                truth.entry(key).or_default().push(settings.node_id.clone());
            }
        }
    }
    truth
}

fn check_instances(
    path: &Path,
    id: &str,
    count: Option<u32>,
    rows: &[&Document],
    (truth, node_ids): (&Truth, &BTreeMap<ObjectId, String>),
    wrong: &mut Wrong,
) {
    let running: BTreeMap<i64, &Vec<String>> = truth
        .iter()
        .filter(|((service, _), _)| service == id)
        .map(|((_, number), at)| (*number, at))
        .collect();
    let is_count = |found: usize| u32::try_from(found).is_ok_and(|found| found == count.unwrap_or(0));
    if !is_count(running.len()) {
        let runs: Vec<_> = running.keys().collect();
        wrong.diverged.push(format!("{path:?}: {} instances should run and {runs:?} do", count.unwrap_or(0)));
    }
    for (number, at) in running.iter().filter(|(_, at)| at.len() > 1) {
        wrong.doubled.push(format!("{path:?}: instance {number} runs on {at:?}"));
    }
    let mut seen = BTreeSet::new();
    for row in rows {
        let number =
            row.get_i32("instance_number").map(i64::from).or_else(|_| row.get_i64("instance_number"));
        let number = number.unwrap_or_default();
        let node = row.get_object_id("host_node_id").ok().and_then(|node| node_ids.get(&node));
        let (state, desired) = (text(row, "state"), text(row, "desired_state"));
        if !seen.insert(number) {
            wrong.doubled.push(format!("{path:?}: instance {number} has two rows"));
        }
        let there = node.zip(running.get(&number)).is_some_and(|(node, at)| at.contains(node));
        let told = text(row, "rev") == text(row, "deploy_rev");
        let right = match count {
            Some(_) => there && state == "running" && desired == "running" && told,
            None => state != "running" && desired == "stopped",
        };
        if !right {
            wrong.diverged.push(format!(
                "{path:?}: instance {number} is {state} and should be {desired} on {node:?}, and runs on {:?}; \
                 reported {}, deployed {}",
                running.get(&number),
                text(row, "rev"),
                text(row, "deploy_rev")
            ));
        }
    }
    if count.is_some() && !is_count(rows.len()) {
        wrong
            .diverged
            .push(format!("{path:?}: {count:?} instances should have a row and {} have", rows.len()));
    }
}

/// Deploys of what still exists that are not over.
async fn open_deploys(
    world: &World,
    services: &BTreeSet<String>,
    stacks: &BTreeMap<ObjectId, String>,
    wrong: &mut Wrong,
) -> Result<()> {
    let open = doc! { "_deploy_state": { "$in": ["created", "ongoing"] } };
    for deploy in rows(world, "grid_service_deploys", open.clone()).await? {
        let service = deploy.get_object_id("grid_service_id").context("a deploy of no service")?;
        if services.contains(&service.to_hex()) {
            wrong.stuck.push(format!("the deploy of a service: {deploy}"));
        }
    }
    for deploy in rows(world, "stack_deploys", open).await? {
        let stack = deploy.get_object_id("stack_id").context("a deploy of no stack")?;
        if stacks.contains_key(&stack) {
            wrong.stuck.push(format!("the deploy of a stack: {deploy}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = "0102030405060708090a0b0c";

    fn row(node: ObjectId, number: i64, state: &str) -> Document {
        doc! {
            "instance_number": number, "host_node_id": node, "state": state, "desired_state": "running",
            "rev": "r1", "deploy_rev": "r1",
        }
    }

    /// What is wrong with a service of two instances: counts of what is doubled and what diverged.
    fn judged(rows: &[Document], runs: &[(i64, &[&str])], nodes: &[(ObjectId, &str)]) -> (usize, usize) {
        let node_ids = nodes.iter().map(|(id, name)| (*id, (*name).to_owned())).collect();
        let runs = runs.iter().map(|(number, at)| {
            ((SERVICE.to_owned(), *number), at.iter().map(|node| (*node).to_owned()).collect())
        });
        let path = ("grid-1".to_owned(), "null".to_owned(), "web".to_owned());
        let mut wrong = Wrong::default();
        let rows: Vec<&Document> = rows.iter().collect();
        check_instances(&path, SERVICE, Some(2), &rows, (&runs.collect(), &node_ids), &mut wrong);
        (wrong.doubled.len(), wrong.diverged.len())
    }

    #[test]
    fn what_is_doubled_lost_elsewhere_or_not_told_is_found() {
        let (one, two) = (ObjectId::from_bytes([1; 12]), ObjectId::from_bytes([2; 12]));
        let nodes = [(one, "a"), (two, "b")];
        let rows = [row(one, 1, "running"), row(two, 2, "running")];
        assert_eq!(judged(&rows, &[(1, &["a"]), (2, &["b"])], &nodes), (0, 0));
        assert_eq!(judged(&rows, &[(1, &["a", "b"]), (2, &["b"])], &nodes), (1, 0), "doubled");
        assert_ne!(judged(&rows, &[(1, &["a"])], &nodes), (0, 0), "lost");
        assert_ne!(judged(&rows, &[(1, &["b"]), (2, &["b"])], &nodes), (0, 0), "elsewhere");
        assert_ne!(judged(&rows[..1], &[(1, &["a"]), (2, &["b"])], &nodes), (0, 0), "without a row");
        let told = [row(one, 1, "running"), row(two, 2, "stopped")];
        assert_ne!(judged(&told, &[(1, &["a"]), (2, &["b"])], &nodes), (0, 0), "told otherwise");
        let twice = [row(one, 1, "running"), row(two, 1, "running"), row(two, 2, "running")];
        assert_eq!(judged(&twice, &[(1, &["a", "b"]), (2, &["b"])], &nodes).0, 2, "two rows");
    }

    #[test]
    fn what_is_wanted_of_a_stack_is_wanted_of_its_services() {
        let item = |name: &str| Item { grid: 1, name: name.to_owned() };
        let wanted = BTreeMap::from([
            (item("shop-1"), Wanted::Version(2)),
            (item("web-1"), Wanted::Everywhere),
            (item("web-2"), Wanted::Nothing),
        ]);
        let should = should(&wanted, &BTreeMap::from([("grid-2".to_owned(), 5)]));
        let counts: Vec<(&str, &str, Option<u32>)> =
            should.iter().map(|((_, stack, name), count)| (stack.as_str(), name.as_str(), *count)).collect();
        assert_eq!(
            counts,
            [
                ("null", "web-1", Some(5)),
                ("shop-1", "api", Some(1)),
                ("shop-1", "db", Some(1)),
                ("shop-1", "worker", Some(3))
            ]
        );
    }
}
