//! What the user looks at, asked for as long as it is looked at: one list after the other, never two of a kind at
//! once, and slower where the masters are slow. What has not changed is not sent again.

use std::time::Duration;

use kontena_wire::services::ServiceList;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::Sender;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep, sleep_until};

use super::http::{Answered, Failure, Master};
use crate::event::{Event, Link};
use crate::place::{Look, Subject};

/// Between two lists of agents.
const AGENTS_PACE: Duration = Duration::from_secs(5);
/// Between two of everything else, at least.
const PACE: Duration = Duration::from_secs(1);
/// Between two lists of services, for each that it has: who looks at ten thousand does not see that one changed.
const SERVICE_PACE: Duration = Duration::from_millis(1);
/// Of the time, at most one part in so many is spent with asking.
const RESTRAINT: u32 = 4;
/// Who walks through a list does not read every row's details.
const SETTLE: Duration = Duration::from_millis(80);

/// The task of one connection.
pub(super) struct Watcher {
    pub(super) master: Master,
    pub(super) events: Sender<Event>,
    pub(super) looks: Receiver<Look>,
}

/// What is to be asked for again.
struct Due {
    lists: bool,
    services: bool,
    agents: bool,
}

/// What the lists were when they came last.
#[derive(Default)]
struct Tags {
    services: Option<String>,
    stacks: Option<String>,
    subject: Option<String>,
    /// How many services there were.
    service_count: u32,
}

impl Watcher {
    pub(super) async fn run(mut self) {
        let mut tags = Tags::default();
        let mut before = Look::default();
        let mut lists_at = Instant::now();
        let (mut services_at, mut agents_at) = (lists_at, lists_at);
        // The newest event of the grids that came.
        let mut newest: Option<String> = None;
        let mut failing = false;
        loop {
            let look = self.looks.borrow_and_update().clone();
            if look.of != before.of {
                tags.subject = None;
            }
            let begun = Instant::now();
            if look.agents && !before.agents {
                agents_at = begun;
            }
            let (of, log) = (look.of.clone(), look.log.clone());
            if look != (Look { of, log, ..before.clone() }) {
                (lists_at, services_at) = (begun, begun);
            }
            let due =
                Due { lists: lists_at <= begun, services: services_at <= begun, agents: agents_at <= begun };
            let asked = self.ask(&look, &due, &mut tags, &mut newest).await;
            let pace = |least: Duration| begun + least.max(begun.elapsed() * RESTRAINT);
            // Walking through a list asks for details only.
            if due.lists {
                lists_at = pace(PACE);
            }
            if look.services && due.services {
                services_at = pace(PACE.max(SERVICE_PACE * tags.service_count));
            }
            if look.agents && due.agents {
                agents_at = pace(AGENTS_PACE);
            }
            if let Err(failure) = &asked
                && !failing
            {
                let told = Event::Link(Link::Unavailable(failure.words.clone()));
                let _ended = self.events.send(told).await;
            }
            failing = asked.is_err();
            before = look;
            tokio::select! {
                changed = self.looks.changed() => match changed {
                    Ok(()) => sleep(SETTLE).await,
                    Err(_) => return,
                },
                () = sleep_until(lists_at) => {}
            }
        }
    }

    async fn ask(
        &self,
        look: &Look,
        due: &Due,
        tags: &mut Tags,
        newest: &mut Option<String>,
    ) -> Result<(), Failure> {
        // One that fails keeps the others from nothing.
        let mut asked = Ok(());
        if let Some(subject) = &look.of {
            asked = asked.and(self.subject(subject, &mut tags.subject).await);
        }
        if look.services && due.services {
            let count = &mut tags.service_count;
            let sorted = |list: &mut ServiceList| {
                *count = u32::try_from(list.services.len()).unwrap_or(u32::MAX);
                // Sorted here, where nobody waits for a frame; sorting again what is sorted costs little.
                list.services.sort_by(|a, b| (&a.grid, &a.stack, &a.name).cmp(&(&b.grid, &b.stack, &b.name)));
            };
            let list = self.list("/v1/cluster/services", &mut tags.services, sorted, Link::Services);
            asked = asked.and(list.await);
        }
        if look.stacks && due.lists {
            asked = asked.and(self.list("/v1/cluster/stacks", &mut tags.stacks, |_| {}, Link::Stacks).await);
        }
        if look.agents && due.agents {
            asked = asked.and(self.agents().await);
        }
        if look.grid_events && due.lists {
            asked = asked.and(self.grid_events(newest).await);
        }
        asked
    }

    async fn agents(&self) -> Result<(), Failure> {
        let list = self.master.agents().await?;
        self.tell(Link::Agents(list)).await;
        Ok(())
    }

    async fn grid_events(&self, newest: &mut Option<String>) -> Result<(), Failure> {
        let Some(list) = self.master.grid_events(newest.as_deref()).await? else { return Ok(()) };
        if let Some(last) = list.events.iter().map(|event| &event.at).max() {
            *newest = Some(last.clone());
            self.tell(Link::GridEvents(list)).await;
        }
        Ok(())
    }

    async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        tag: &mut Option<String>,
        prepare: impl FnOnce(&mut T),
        event: impl FnOnce(Option<T>) -> Link,
    ) -> Result<(), Failure> {
        match self.master.unless_known(path, tag).await? {
            Answered::New(mut list) => {
                prepare(&mut list);
                self.tell(event(Some(list))).await;
            }
            Answered::Missing => self.tell(event(None)).await,
            Answered::Known => {}
        }
        Ok(())
    }

    /// The details of what is selected. What is gone meanwhile, the lists tell.
    async fn subject(&self, subject: &Subject, tag: &mut Option<String>) -> Result<(), Failure> {
        match subject {
            Subject::Node(node) => {
                let path = format!("/v1/cluster/agents/{node}/instances");
                if let Answered::New(list) = self.master.unless_known(&path, tag).await? {
                    self.tell(Link::Node(node.clone(), list)).await;
                }
            }
            Subject::Service(place) => {
                if let Answered::New(sight) = self.master.unless_known(&place.route(), tag).await? {
                    self.tell(Link::Service(place.clone(), Box::new(sight))).await;
                }
            }
            Subject::Stack(place) => {
                if let Answered::New(sight) = self.master.unless_known(&place.route(), tag).await? {
                    self.tell(Link::Stack(place.clone(), sight)).await;
                }
            }
        }
        Ok(())
    }

    async fn tell(&self, link: Link) {
        // The program ends when nobody takes it.
        let _ended = self.events.send(Event::Link(link)).await;
    }
}
