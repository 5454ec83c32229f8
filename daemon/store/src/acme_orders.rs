//! `acme_orders`: what is to be had from a certificate authority, and how far it is. Any master writes down what is
//! wanted; everything else is the leader's (`steps.rs`). While an order is of use, its `slot` keeps a second one for the
//! same domains from being made.

mod steps;

use std::time::Duration;

use kontena_core::acme::{Goal, Method};
use kontena_core::id::Id;
use mongodb::bson::{Bson, Document, doc};

use crate::client::Store;
use crate::command::Failure;
use crate::document::{Read, fresh, oid, oids};
use crate::effect::{Effect, Statement};
use crate::table::Table;

pub use steps::{Issued, OrderSteps, Presented};

pub(crate) const ORDERS: &str = "acme_orders";
/// How often an order that others change at the same time is looked at again.
const TRIES: usize = 8;
/// How many are worked on at a time.
const TOGETHER: i64 = 50;

/// How far an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderState {
    /// Somebody wants it.
    Wanted,
    /// A leader has begun.
    Open,
    /// It stands at the authority, and rests until more is wanted of it.
    Resting,
    /// The certificate is kept.
    Done,
    /// It ended without.
    Failed,
}

impl OrderState {
    /// The leader works on these.
    const UNDER_WAY: [Self; 2] = [Self::Wanted, Self::Open];

    fn name(self) -> &'static str {
        match self {
            Self::Wanted => "wanted",
            Self::Open => "open",
            Self::Resting => "resting",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    fn named(name: &str) -> Self {
        let all = [Self::Wanted, Self::Open, Self::Resting, Self::Done];
        all.into_iter().find(|state| state.name() == name).unwrap_or(Self::Failed)
    }

    /// Whether the leader works on it.
    #[must_use]
    pub fn is_under_way(self) -> bool {
        Self::UNDER_WAY.contains(&self)
    }
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRow {
    /// Its id.
    pub id: Id,
    /// For which grid.
    pub grid: Id,
    /// The first is the subject of the certificate.
    pub domains: Vec<String>,
    /// What for.
    pub goal: Goal,
    /// How far.
    pub state: OrderState,
    /// The authority, by its directory.
    pub directory: String,
    /// How the domain shall be proven that is offered.
    pub method: Option<Method>,
    /// The service that answers for it.
    pub service: Option<Id>,
    /// Orders of single domains that must have come to their end before.
    pub after: Vec<Id>,
    /// Whether it renews a certificate by itself.
    pub renews: bool,
    /// Where the authority has it.
    pub url: Option<String>,
    /// The certificate's private key, encrypted.
    pub key: Option<String>,
    /// What went wrong: field and message.
    pub fault: Option<(String, String)>,
    /// Since it was asked for, by the database's clock.
    pub age: Duration,
    /// Since the authority was told that answers are there.
    pub answered: Option<Duration>,
    asked_at: Bson,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish<'a> {
    /// For which grid.
    pub grid: Id,
    /// The first is the subject.
    pub domains: &'a [String],
    /// What for.
    pub goal: Goal,
    /// The authority, by its directory.
    pub directory: &'a str,
    /// How the one domain shall be proven, if it is to be offered.
    pub method: Option<Method>,
    /// The service that answers for it.
    pub service: Option<Id>,
    /// Orders that must have come to their end before.
    pub after: &'a [Id],
}

/// What became of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// This order is under way for it.
    Order(Id),
    /// The same domains are under way for something else.
    Busy,
}

/// The collection.
#[derive(Clone, Debug)]
pub struct AcmeOrders {
    orders: Table,
}

impl Store {
    /// Orders at certificate authorities.
    #[must_use]
    pub fn acme_orders(&self) -> AcmeOrders {
        AcmeOrders { orders: Table::new(self.database(), ORDERS) }
    }
}

impl AcmeOrders {
    /// Asks for something, by an order that rests or a new one; what others ask for already is joined.
    pub async fn ask(&self, wish: &Wish<'_>) -> Result<Asked, Failure> {
        for _ in 0..TRIES {
            let slot = slot(wish.grid, wish.domains);
            let Some(found) = self.orders.one(doc! { "slot": &slot }).await? else {
                match self.orders.insert_computed(wished(wish, false), asked_now()).await {
                    Ok(made) => return Ok(Asked::Order(made.own_id()?)),
                    Err(Failure::Duplicate) => continue,
                    Err(failure) => return Err(failure),
                }
            };
            let id = found.own_id()?;
            if OrderState::named(&found.text_or_empty("state")).is_under_way() {
                let same = goal_named(&found.text_or_empty("goal")) == wish.goal;
                return Ok(if same { Asked::Order(id) } else { Asked::Busy });
            }
            let again = doc! {
                "$set": wished(wish, false),
                "$unset": { "fault": "", "answered_at": "" },
                "$currentDate": { "asked_at": true },
            };
            let resting = doc! { "_id": oid(id), "state": OrderState::Resting.name() };
            if self.orders.change(resting, again).await?.is_some() {
                return Ok(Asked::Order(id));
            }
        }
        Err(Failure::unknown("the order changes too fast"))
    }

    /// Asks that single domains be proven whose challenges were offered by this authority. Which orders do it.
    pub async fn prove(&self, grid: Id, domains: &[String], directory: &str) -> Result<Vec<Id>, Failure> {
        let slots: Vec<String> =
            domains.iter().map(|domain| slot(grid, std::slice::from_ref(domain))).collect();
        let filter = doc! { "slot": { "$in": slots }, "directory": directory };
        let mut ids = Vec::new();
        for row in self.orders.all(filter, doc! { "_id": 1 }).await? {
            let id = row.own_id()?;
            let change = doc! {
                "$set": { "state": OrderState::Wanted.name(), "goal": goal_name(Goal::Prove) },
                "$unset": { "fault": "", "answered_at": "" },
                "$currentDate": { "asked_at": true },
            };
            let resting = doc! { "_id": oid(id), "state": OrderState::Resting.name() };
            let changed = self.orders.change(resting, change).await?.is_some();
            if changed || OrderState::named(&row.text_or_empty("state")).is_under_way() {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// One.
    pub async fn by_id(&self, order: Id) -> Result<Option<OrderRow>, Failure> {
        Ok(self.find(doc! { "_id": oid(order) }, 1).await?.pop())
    }

    /// Several; those that are gone are left out.
    pub async fn by_ids(&self, orders: &[Id]) -> Result<Vec<OrderRow>, Failure> {
        if orders.is_empty() {
            return Ok(Vec::new());
        }
        self.find(doc! { "_id": { "$in": oids(orders.iter().copied()) } }, TOGETHER).await
    }

    /// Those that the leader works on, the oldest first.
    pub async fn under_way(&self) -> Result<Vec<OrderRow>, Failure> {
        let states = OrderState::UNDER_WAY.map(OrderState::name);
        self.find(doc! { "state": { "$in": states.to_vec() } }, TOGETHER).await
    }

    /// For which of these domains an order is under way.
    pub(crate) async fn slots_in_use(&self, slots: &[String]) -> Result<Vec<String>, Failure> {
        let filter = doc! { "slot": { "$in": slots }, "state": { "$in": OrderState::UNDER_WAY.map(OrderState::name).to_vec() } };
        let rows = self.orders.fields(filter, doc! {}, doc! { "slot": 1 }).await?;
        Ok(rows.iter().filter_map(|row| row.text("slot")).collect())
    }

    async fn find(&self, filter: Document, count: i64) -> Result<Vec<OrderRow>, Failure> {
        let since = |field: &str| doc! { "$subtract": ["$$NOW", format!("${field}")] };
        let pipeline = vec![
            doc! { "$match": filter },
            doc! { "$sort": { "_id": 1 } },
            doc! { "$limit": count },
            doc! { "$set": { "age": since("asked_at"), "since_answered": since("answered_at") } },
        ];
        self.orders.aggregate(pipeline).await?.iter().map(parse).collect()
    }
}

/// What names the domains of an order, in whatever order they were given.
pub(crate) fn slot(grid: Id, domains: &[String]) -> String {
    let mut sorted: Vec<&str> = domains.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted.dedup();
    format!("{grid}/{}", sorted.join(","))
}

pub(crate) fn asked_now() -> Document {
    doc! { "asked_at": "$$NOW" }
}

/// A wish as it is stored.
pub(crate) fn wished(wish: &Wish<'_>, renews: bool) -> Document {
    let Wish { grid, domains, goal, directory, method, service, after } = wish;
    doc! {
        "grid_id": oid(*grid), "slot": slot(*grid, domains), "domains": domains.to_vec(), "goal": goal_name(*goal),
        "state": OrderState::Wanted.name(), "directory": *directory, "renews": renews,
        "method": method.map_or(Bson::Null, |method| method.name().into()),
        "grid_service_id": service.map_or(Bson::Null, |service| oid(service).into()),
        "after": oids(after.iter().copied()),
    }
}

/// Gives up what rests for these domains.
pub(crate) fn retire(slot: &str) -> Effect {
    let filter = doc! { "slot": slot, "state": OrderState::Resting.name() };
    let change = doc! {
        "$set": { "state": OrderState::Failed.name() }, "$unset": { "slot": "", "encrypted_key": "" },
        "$currentDate": { "updated_at": true },
    };
    Effect { collection: ORDERS, statement: Statement::UpdateMany { filter, change } }
}

/// A new id for an effect that inserts.
pub(crate) fn new_one() -> Document {
    doc! { "_id": fresh() }
}

fn goal_name(goal: Goal) -> &'static str {
    match goal {
        Goal::Offer => "offer",
        Goal::Prove => "prove",
        Goal::Issue => "issue",
    }
}

fn goal_named(name: &str) -> Goal {
    match name {
        "offer" => Goal::Offer,
        "prove" => Goal::Prove,
        _ => Goal::Issue,
    }
}

fn parse(row: &Document) -> Result<OrderRow, Failure> {
    let passed =
        |key: &str| row.whole(key).map(|passed| Duration::from_millis(u64::try_from(passed).unwrap_or(0)));
    let fault = row.get_document("fault").ok();
    Ok(OrderRow {
        id: row.own_id()?,
        grid: row.id("grid_id").ok_or_else(|| Failure::unknown("an order of no grid"))?,
        domains: row.texts("domains"),
        goal: goal_named(&row.text_or_empty("goal")),
        state: OrderState::named(&row.text_or_empty("state")),
        directory: row.text_or_empty("directory"),
        method: row.text("method").and_then(|name| Method::named(&name)),
        service: row.id("grid_service_id"),
        after: row.ids("after"),
        renews: row.flag("renews").unwrap_or_default(),
        url: row.text("url"),
        key: row.text("encrypted_key"),
        fault: fault.map(|fault| (fault.text_or_empty("field"), fault.text_or_empty("message"))),
        age: passed("age").unwrap_or_default(),
        answered: passed("since_answered"),
        asked_at: row.get("asked_at").cloned().unwrap_or(Bson::Null),
    })
}
