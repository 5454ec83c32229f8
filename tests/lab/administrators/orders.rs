//! What administrators want while everything breaks: each order is given until it is carried out, through one master
//! after the other, and what must be true in the end is remembered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::clients::Clients;
use super::{Item, Order, Wish, services_of};

/// Between two tries of an order.
const AGAIN: Duration = Duration::from_millis(250);
/// Between two looks at the deploy of a stack.
const LOOK: Duration = Duration::from_millis(300);

/// What must be true of an item when it is calm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A service with so many instances.
    Instances(u32),
    /// A service with one on each node of its grid.
    Everywhere,
    /// A stack of this version.
    Version(u32),
    /// A service that is there and does not run.
    Stopped,
    /// A node that is used.
    Used,
    /// Nothing is left of it.
    Nothing,
}

/// What became of an item's orders.
#[derive(Clone, Debug)]
pub(crate) struct Fate {
    pub(crate) item: Item,
    pub(crate) wanted: Wanted,
    /// What was wanted of a service before it was stopped.
    before: Wanted,
    /// What became of some try is not known, so that it may have taken effect after a later order.
    uncertain: bool,
    /// An answer that no order may get.
    refusal: Option<String>,
}

/// All items with those who carry their orders out, each in a task of its own, in order.
pub(crate) struct Orders {
    clients: Arc<Clients>,
    items: BTreeMap<Item, UnboundedSender<Wish>>,
    carrying: JoinSet<Fate>,
    failed_deploys: Arc<AtomicU64>,
}

/// What became of all orders.
pub(crate) struct Fates {
    pub(crate) wanted: BTreeMap<Item, Wanted>,
    /// Orders that were not carried out in time, as items.
    pub(crate) unfinished: u64,
    /// Items with an answer that no order may get.
    pub(crate) refused: u64,
    /// Deploys of stacks that failed and were asked for again.
    pub(crate) failed_deploys: u64,
}

impl Orders {
    pub(crate) fn new(clients: Arc<Clients>) -> Self {
        Self { clients, items: BTreeMap::new(), carrying: JoinSet::new(), failed_deploys: Arc::default() }
    }

    /// Takes an order. The plan bounds how many there are.
    pub(crate) fn give(&mut self, order: Order) {
        let Order { item, wish } = order;
        let sender = self.items.entry(item.clone()).or_insert_with(|| {
            let (sender, wishes) = unbounded_channel();
            let carrier = Carrier {
                clients: Arc::clone(&self.clients),
                failed_deploys: Arc::clone(&self.failed_deploys),
                fate: Fate {
                    item,
                    wanted: Wanted::Nothing,
                    before: Wanted::Nothing,
                    uncertain: false,
                    refusal: None,
                },
            };
            self.carrying.spawn(carrier.carry(wishes));
            sender
        });
        // Who carries them out ends only after a refusal, which counts by itself.
        let _taken = sender.send(wish);
    }

    /// Waits until all is carried out; then what may have been overtaken by a late try is ordered once more.
    pub(crate) async fn conclude(mut self, until: Instant, pause: Duration) -> Fates {
        let all = self.items.len();
        self.items.clear();
        let mut fates = gather(&mut self.carrying, until).await;
        sleep(pause).await;
        let mut settled = JoinSet::new();
        for fate in fates.extract_if(.., |fate| fate.uncertain) {
            let (clients, failed_deploys) = (Arc::clone(&self.clients), Arc::clone(&self.failed_deploys));
            settled.spawn(Carrier { clients, failed_deploys, fate }.settle());
        }
        fates.extend(gather(&mut settled, until).await);
        let refusals: Vec<&String> = fates.iter().filter_map(|fate| fate.refusal.as_ref()).collect();
        for refusal in &refusals {
            eprintln!("refused: {refusal}");
        }
        Fates {
            unfinished: u64::try_from(all - fates.len()).unwrap_or(u64::MAX),
            refused: u64::try_from(refusals.len()).unwrap_or(u64::MAX),
            wanted: fates.iter().map(|fate| (fate.item.clone(), fate.wanted)).collect(),
            failed_deploys: self.failed_deploys.load(Ordering::Relaxed),
        }
    }
}

async fn gather(carrying: &mut JoinSet<Fate>, until: Instant) -> Vec<Fate> {
    let mut fates = Vec::new();
    while let Ok(Some(Ok(fate))) = timeout_at(until, carrying.join_next()).await {
        fates.push(fate);
    }
    fates
}

/// Carries the orders of one item out.
struct Carrier {
    clients: Arc<Clients>,
    failed_deploys: Arc<AtomicU64>,
    fate: Fate,
}

impl Carrier {
    async fn carry(mut self, mut wishes: UnboundedReceiver<Wish>) -> Fate {
        while let Some(wish) = wishes.recv().await {
            if let Err(error) = self.obey(wish).await {
                self.fate.refusal = Some(format!("{}, {wish:?}: {error:#}", self.fate.item));
                break;
            }
        }
        self.fate
    }

    /// Orders once more what was ordered last.
    async fn settle(mut self) -> Fate {
        let start = Some(Wish::Start);
        let wishes = match self.fate.wanted {
            Wanted::Instances(instances) => [start, Some(Wish::Scale { instances })],
            Wanted::Everywhere => [start, None],
            Wanted::Stopped => [Some(Wish::Stop), None],
            Wanted::Version(version) => [Some(Wish::Upgrade { version }), None],
            Wanted::Used => [Some(Wish::Activate), None],
            Wanted::Nothing if self.fate.item.name.starts_with("shop") => [Some(Wish::RemoveStack), None],
            Wanted::Nothing => [Some(Wish::Remove), None],
        };
        self.fate.before = self.fate.wanted;
        for wish in wishes.into_iter().flatten() {
            if let Err(error) = self.obey(wish).await {
                self.fate.refusal = Some(format!("{}, {wish:?} once more: {error:#}", self.fate.item));
            }
        }
        self.fate
    }

    async fn obey(&mut self, wish: Wish) -> Result<()> {
        let Item { grid, name } = self.fate.item.clone();
        let grid = format!("grid-{}", grid + 1);
        let service = format!("/v1/services/{grid}/null/{name}");
        let stack = format!("/v1/stacks/{grid}/{name}");
        match wish {
            Wish::Make { strategy, instances } => {
                let body = json!({
                    "name": name, "image": "busybox:1", "stateful": false, "instances": instances,
                    "strategy": strategy,
                });
                self.order(Method::POST, &format!("/v1/grids/{grid}/services"), &body).await?;
                self.order(Method::POST, &format!("{service}/deploy"), &json!({})).await?;
                let everywhere = strategy == "daemon";
                self.fate.wanted = if everywhere { Wanted::Everywhere } else { Wanted::Instances(instances) };
            }
            Wish::Scale { instances } => {
                let body = json!({ "instances": instances });
                self.order(Method::POST, &format!("{service}/scale"), &body).await?;
                self.fate.wanted = Wanted::Instances(instances);
            }
            Wish::Update { version } => {
                let body = json!({ "image": format!("busybox:{version}") });
                self.order(Method::PUT, &service, &body).await?;
                self.order(Method::POST, &format!("{service}/deploy"), &json!({})).await?;
            }
            Wish::Stop => {
                self.order(Method::POST, &format!("{service}/stop"), &json!({})).await?;
                (self.fate.before, self.fate.wanted) = (self.fate.wanted, Wanted::Stopped);
            }
            Wish::Start => {
                self.order(Method::POST, &format!("{service}/start"), &json!({})).await?;
                self.fate.wanted = self.fate.before;
            }
            Wish::Drain | Wish::Activate => {
                let availability = if wish == Wish::Drain { "drain" } else { "active" };
                let body = json!({ "availability": availability });
                self.order(Method::PUT, &format!("/v1/nodes/{grid}/{name}"), &body).await?;
                self.fate.wanted = Wanted::Used;
            }
            Wish::Remove => {
                self.order(Method::DELETE, &service, &Value::Null).await?;
                self.fate.wanted = Wanted::Nothing;
            }
            Wish::Install { version } | Wish::Upgrade { version } => {
                let body = definition(&name, version);
                if matches!(wish, Wish::Install { .. }) {
                    self.order(Method::POST, &format!("/v1/grids/{grid}/stacks"), &body).await?;
                } else {
                    self.order(Method::PUT, &stack, &body).await?;
                }
                self.deploy_stack(&stack).await?;
                self.fate.wanted = Wanted::Version(version);
            }
            Wish::RemoveStack => {
                self.order(Method::DELETE, &stack, &Value::Null).await?;
                while self.ask(Method::GET, &stack, &Value::Null).await.0 != StatusCode::NOT_FOUND {
                    sleep(LOOK).await;
                }
                self.fate.wanted = Wanted::Nothing;
            }
        }
        Ok(())
    }

    /// A stack's deploy may fail, as when a host is lost meanwhile; then its user asks for it again.
    async fn deploy_stack(&mut self, stack: &str) -> Result<()> {
        loop {
            let deploy = self.order(Method::POST, &format!("{stack}/deploy"), &json!({})).await?;
            let id = deploy["id"].as_str().context("a deploy without an id")?.to_owned();
            let end = loop {
                let (status, deploy) =
                    self.ask(Method::GET, &format!("{stack}/deploys/{id}"), &Value::Null).await;
                match deploy["state"].as_str() {
                    _ if status == StatusCode::NOT_FOUND => bail!("the deploy {id} of {stack} is lost"),
                    Some(state @ ("success" | "error")) => break state.to_owned(),
                    _ => sleep(LOOK).await,
                }
            };
            if end == "success" {
                return Ok(());
            }
            self.failed_deploys.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Asks until there is an answer that is one.
    async fn ask(&mut self, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
        loop {
            match self.clients.any(method.clone(), path, body).await {
                Ok((status, answer)) if !status.is_server_error() => return (status, answer),
                _ => {}
            }
            sleep(AGAIN).await;
        }
    }

    /// Orders until it is acknowledged. After a try of which nothing is known it may have been done already.
    async fn order(&mut self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let mut unknown = false;
        loop {
            match self.clients.any(method.clone(), path, body).await {
                Ok((status, answer)) if status.is_success() => return Ok(answer),
                Ok((status, answer)) if !status.is_server_error() => {
                    let text = answer.to_string();
                    let made = method == Method::POST
                        && status == StatusCode::UNPROCESSABLE_ENTITY
                        && (text.contains("already taken") || text.contains("already exists"));
                    let gone = method == Method::DELETE && status == StatusCode::NOT_FOUND;
                    let uncertain = unknown || self.fate.uncertain;
                    if uncertain && (made || gone) {
                        return Ok(answer);
                    }
                    bail!("{method} {path}: {status} {text}");
                }
                Ok(_) | Err(_) => {
                    unknown = true;
                    self.fate.uncertain = true;
                }
            }
            sleep(AGAIN).await;
        }
    }
}

fn definition(name: &str, version: u32) -> Value {
    let services: Vec<Value> = services_of(version)
        .into_iter()
        .map(|(service, instances, links)| {
            let links: Vec<Value> =
                links.iter().map(|link| json!({ "name": link, "alias": link })).collect();
            json!({
                "name": service, "image": format!("redis:{version}"), "stateful": false, "instances": instances,
                "links": links,
            })
        })
        .collect();
    json!({
        "name": name, "stack": format!("acme/{name}"), "version": format!("{version}.0"), "registry": "file://",
        "source": format!("stack: acme/{name}\nversion: {version}.0\n"), "services": services,
    })
}
