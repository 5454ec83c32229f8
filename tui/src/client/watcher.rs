//! What the user looks at, asked for as long as it is looked at: one list after the other, never two of a kind at
//! once, and slower where the masters are slow. What has not changed is not sent again.

use std::time::Duration;

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

/// What the lists were when they came last.
#[derive(Default)]
struct Tags {
    services: Option<String>,
    stacks: Option<String>,
    subject: Option<String>,
}

impl Watcher {
    pub(super) async fn run(mut self) {
        let mut tags = Tags::default();
        let mut before = Look::default();
        let mut agents_at = Instant::now();
        // The newest event of the grids that came.
        let mut newest: Option<String> = None;
        let mut failing = false;
        loop {
            let look = self.looks.borrow_and_update().clone();
            if look.of != before.of {
                tags.subject = None;
            }
            if look.agents && !before.agents {
                agents_at = Instant::now();
            }
            let begun = Instant::now();
            let asked = self.ask(&look, &mut tags, &mut agents_at, &mut newest).await;
            if let Err(failure) = &asked
                && !failing
            {
                let told = Event::Link(Link::Unavailable(failure.words.clone()));
                let _ended = self.events.send(told).await;
            }
            failing = asked.is_err();
            before = look;
            let next = Instant::now() + PACE.max(begun.elapsed() * RESTRAINT);
            tokio::select! {
                changed = self.looks.changed() => match changed {
                    Ok(()) => sleep(SETTLE).await,
                    Err(_) => return,
                },
                () = sleep_until(next) => {}
            }
        }
    }

    async fn ask(
        &self,
        look: &Look,
        tags: &mut Tags,
        agents_at: &mut Instant,
        newest: &mut Option<String>,
    ) -> Result<(), Failure> {
        if let Some(subject) = &look.of {
            self.subject(subject, &mut tags.subject).await?;
        }
        if look.services {
            let sorted = |list: &mut kontena_wire::services::ServiceList| {
                // Sorted here, where nobody waits for a frame; sorting again what is sorted costs little.
                list.services.sort_by(|a, b| (&a.grid, &a.stack, &a.name).cmp(&(&b.grid, &b.stack, &b.name)));
            };
            self.list("/v1/cluster/services", &mut tags.services, sorted, Link::Services).await?;
        }
        if look.stacks {
            self.list("/v1/cluster/stacks", &mut tags.stacks, |_| {}, Link::Stacks).await?;
        }
        if look.agents && *agents_at <= Instant::now() {
            *agents_at = Instant::now() + AGENTS_PACE;
            self.tell(Link::Agents(self.master.agents().await?)).await;
        }
        if look.grid_events
            && let Some(list) = self.master.grid_events(newest.as_deref()).await?
        {
            if let Some(last) = list.events.iter().map(|event| &event.at).max() {
                *newest = Some(last.clone());
            }
            if !list.events.is_empty() {
                self.tell(Link::GridEvents(list)).await;
            }
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
