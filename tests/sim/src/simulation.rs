//! The event loop: lets drivers go on as long as one of them can, then goes on to the next event.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use kontena_core::election::HolderId;
use kontena_server::election::Request;

use crate::chaos::Chaos;
use crate::database::Database;
use crate::dice::{Dice, ms};
use crate::event::{DutyStep, End, Event, Queue};
use crate::history::History;
use crate::host::{Host, HostClock};
use crate::invariants::ActingMaster;
use crate::network::{Ask, Network};
use crate::oracle::Oracle;
use crate::outcome::{Outcome, Stats};
use crate::process::Life;
use crate::sabotage::Sabotage;
use crate::scenario::{Scenario, Setup};
use crate::seat::Seat;
use crate::shared::Shared;
use crate::time::{Present, Time};
use crate::weather::Weather;
use crate::world::{Action, World};

/// The rate of a clock that is slower than any clock may be.
const SLOW_CLOCK: u64 = 700_000;
/// How often the masters are looked at while they recover.
const VERDICT_EVERY: Duration = ms(250);

/// How to run a seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What is broken on purpose.
    pub sabotage: Sabotage,
    /// Whether to write down everything that happens.
    pub narrated: bool,
}

/// Runs one seed.
#[must_use]
pub fn run(seed: u64) -> Outcome {
    run_with(seed, Options::default())
}

/// Runs one seed in a certain way.
#[must_use]
pub fn run_with(seed: u64, options: Options) -> Outcome {
    let mut simulation = Simulation::new(seed, options);
    // Without a runtime a driver has no cooperative budget, and one that spins would never come back.
    if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() {
        runtime.block_on(simulation.run());
    }
    simulation.outcome()
}

struct Simulation {
    seed: u64,
    scenario: Scenario,
    present: Present,
    world: Shared<World>,
    /// The running processes of all hosts, with their numbers.
    seats: Vec<Option<(usize, Seat)>>,
    recovered: bool,
}

impl Simulation {
    fn new(seed: u64, options: Options) -> Self {
        let Options { sabotage, narrated } = options;
        let mut dice = Dice::new(seed);
        let scenario = Scenario::draw(&mut dice);
        let present = Present::default();
        let hosts: Vec<Host> = scenario.masters.iter().map(host).collect();
        if let (Sabotage::SlowClock, Some(host)) = (sabotage, hosts.first()) {
            host.clock.lock().set_rate(Time::default(), SLOW_CLOCK);
        }
        let mut queue = Queue::default();
        for (host, setup) in scenario.masters.iter().enumerate() {
            queue.push(Time::default().after(setup.starts), Event::End(End::Down { host }));
        }
        queue.push(Time::default().after(scenario.first_fault), Event::Mischief);
        queue.push(Time::default().after(scenario.chaos), Event::Calm);
        let mut world = World {
            present: present.clone(),
            dice,
            oracle: Oracle::new(hosts.len(), scenario.documents),
            hosts,
            processes: Vec::new(),
            database: Database::new(scenario.documents, sabotage),
            network: Network::default(),
            history: History::new(narrated),
            chaos: Chaos::new(&scenario),
            faults: Vec::new(),
            sabotage,
            queue,
            sleeps: 0,
        };
        if scenario.stormy_start {
            world.stormy_start();
        }
        Self {
            seed,
            seats: scenario.masters.iter().map(|_| None).collect(),
            scenario,
            present,
            world: Shared::new(world),
            recovered: false,
        }
    }

    async fn run(&mut self) {
        while !self.recovered && !self.world.lock().oracle.violated() {
            if let Some(host) = self.ready() {
                self.round(host);
                give_way().await;
            } else if !self.next_event() {
                break;
            }
        }
    }

    /// Goes on to the next event. False if there is none.
    fn next_event(&mut self) -> bool {
        let mut world = self.world.lock();
        let Some(event) = world.next() else { return false };
        let changes_database = matches!(event, Event::Replicated { .. } | Event::Mischief);
        let action = world.handle(event);
        drop(world);
        if let Some(action) = action {
            self.act(action);
        }
        if changes_database {
            self.look();
        }
        true
    }

    /// A host whose driver can go on.
    fn ready(&self) -> Option<usize> {
        self.seats.iter().position(|seat| {
            seat.as_ref().is_some_and(|(process, seat)| seat.ready() && !self.world.lock().frozen(*process))
        })
    }

    /// Lets one driver go on, and looks at what it may do then.
    fn round(&mut self, host: usize) {
        let Some((process, seat)) = &mut self.seats[host] else { return };
        let process = *process;
        let before = seat.acting();
        let ended = seat.poll().is_ready();
        let after = seat.acting();
        let reads = seat.take_reads();
        let now = self.present.get();
        let mut world = self.world.lock();
        if before != after {
            world.history.tell(now, || format!("master {host}: acted in {before:?}, acts in {after:?}"));
        }
        world.history.mix(reads << 32 | after.map_or(0, |term| term.0 + 1));
        world.oracle.round(now, host, reads, before, after);
        if ended {
            let asked = world.processes[process].life == Life::Retiring;
            world.oracle.driver_ended(now, host, asked);
            world.ended(host);
        }
        drop(world);
        if after.is_some() {
            self.look();
        }
        if ended {
            self.remove(process);
        }
    }

    /// Looks at who may act now.
    fn look(&self) {
        let mut acting: Vec<ActingMaster> = Vec::new();
        let mut holders: Vec<HolderId> = Vec::new();
        let now = self.present.get();
        for (host, (_, seat)) in
            self.seats.iter().enumerate().filter_map(|(host, seat)| Some((host, seat.as_ref()?)))
        {
            if let Some(term) = seat.acting() {
                acting.push(ActingMaster { master: host, term, until: now });
                holders.push(seat.holder);
            }
        }
        if let [_, _, ..] = acting.as_slice() {
            for acting in &mut acting {
                if let Some((_, seat)) = &self.seats[acting.master] {
                    acting.until = seat.acting_until();
                }
            }
        }
        if !acting.is_empty() {
            self.world.lock().oracle.acting(now, &acting, &holders);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Start { host } => self.start(host),
            Action::Kill { process } => {
                let mut world = self.world.lock();
                if world.sabotage == Sabotage::DriverDies {
                    let (now, host) = (world.now(), world.processes[process].host);
                    world.oracle.driver_ended(now, host, false);
                }
                drop(world);
                self.remove(process);
            }
            Action::Request { process, request } => {
                if let Some(seat) = self.seat(process) {
                    seat.request(request);
                }
            }
            Action::Retire { process, abandoned } => {
                if let Some(seat) = self.seat(process) {
                    seat.request(Request::Retire);
                    if abandoned {
                        seat.abandon();
                    }
                }
            }
            Action::Duty { process, step } => self.duty(process, step),
            Action::Calm => {
                let world = self.world.lock();
                for (process, seat) in self.seats.iter().flatten() {
                    if world.processes[*process].life == Life::Running {
                        seat.request(Request::Eligible(true));
                    }
                }
            }
            Action::Verdict => self.verdict(),
        }
    }

    fn start(&mut self, host: usize) {
        let Ok((process, seat)) = Seat::start(&self.world, host) else { return };
        let mut world = self.world.lock();
        let now = world.now();
        let holder = seat.holder;
        world.history.tell(now, || format!("master {host}: process {process} starts as {holder}"));
        // It stands when it has found the database fit.
        let fit = world.dice.skewed(Duration::ZERO, ms(500));
        world.push_in(fit, Event::End(End::Ineligible { process }));
        world.push_in(ms(50), Event::Duty { process, step: DutyStep::Begin });
        self.seats[host] = Some((process, seat));
    }

    /// The process is gone, and everything in it.
    fn remove(&mut self, process: usize) {
        let mut world = self.world.lock();
        world.processes[process].life = Life::Over;
        let host = world.processes[process].host;
        world.hosts[host].process = None;
        // What it waits for asks for the world when it is dropped.
        drop(world);
        self.seats[host] = None;
    }

    /// A duty of one fenced write at a time, as the writer makes it: it begins only while this master acts, looks
    /// again before it commits, and tells the election if the fence stands elsewhere.
    fn duty(&mut self, process: usize, step: DutyStep) {
        let world = self.world.clone();
        let Some(seat) = self.seat(process) else { return };
        let (acting, next) = (seat.acting(), DutyStep::Begin);
        let (wait, next) = match step {
            DutyStep::Begin => match acting {
                Some(term) => (world.lock().dice.skewed(Duration::ZERO, ms(400)), DutyStep::Decide(term)),
                None => (world.lock().dice.span(ms(50), ms(300)), next),
            },
            DutyStep::Decide(term) if seat.may_act(term) => {
                let mut world = world.lock();
                let longest = if world.dice.chance(100) { ms(1500) } else { ms(5) };
                (world.dice.span(Duration::ZERO, longest), DutyStep::Commit(term))
            }
            DutyStep::Decide(_) => (ms(100), next),
            DutyStep::Commit(term) => {
                let mut world = world.lock();
                world.ask(process, Ask::Effect(term));
                (world.dice.span(ms(50), ms(500)), next)
            }
            DutyStep::Superseded(term) => return seat.request(Request::Superseded(term)),
        };
        world.lock().push_in(wait, Event::Duty { process, step: next });
    }

    fn verdict(&mut self) {
        let mut world = self.world.lock();
        let now = world.now();
        let Some(recovery) = world.oracle.recovery() else { return };
        if let Some((master, term)) = recovery.acting()
            && !self.seats[master].as_ref().is_some_and(|(_, seat)| seat.may_act(term))
        {
            recovery.lapsed();
        }
        let configured = world.hosts.iter().map(|host| host.ttl).max().unwrap_or_default();
        let ttl = world.database.committed.lease.map_or(configured, |lease| lease.ttl.max(configured));
        if world.oracle.recovered(now, ttl) {
            drop(world);
            self.recovered = true;
        } else {
            world.push_in(VERDICT_EVERY, Event::Verdict);
        }
    }

    fn seat(&mut self, process: usize) -> Option<&mut Seat> {
        let (_, seat) = self.seats.iter_mut().flatten().find(|(number, _)| *number == process)?;
        Some(seat)
    }

    fn outcome(self) -> Outcome {
        drop(self.seats);
        let mut world = self.world.lock();
        let faults = std::mem::take(&mut world.faults);
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Outcome {
            seed: self.seed,
            scenario: self.scenario.to_string(),
            violations: world.oracle.take_violations(),
            stats: Stats {
                terms: count(world.oracle.terms()),
                calls: world.network.calls(),
                effects: world.oracle.effects_committed,
                faults: count(faults.len()),
                simulated: self.present.get().elapsed(),
            },
            faults,
            hash: world.history.hash(),
            history: world.history.take_lines(),
        }
    }
}

fn host(setup: &Setup) -> Host {
    Host {
        clock: Shared::new(HostClock::new(setup.clocks, setup.rate)),
        ttl: setup.ttl,
        process: None,
        partitioned: false,
        hints_lost: false,
        weather: Weather::FAIR,
        suspensions: 0,
    }
}

/// Hands over to the runtime once: it renews the cooperative budget, and wakes who had used it up.
async fn give_way() {
    let mut given = false;
    poll_fn(|context| {
        if given {
            return Poll::Ready(());
        }
        given = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
