//! Everything but the drivers: hosts, processes, the database, what is on its way, and what is known of it all.

use std::time::Duration;

use kontena_core::election::{HolderId, Lane};

use crate::chaos::Chaos;
use crate::database::Database;
use crate::dice::{Dice, ms, us};
use crate::event::{DutyStep, End, Event, Queue};
use crate::fault::{Fault, Injected};
use crate::history::History;
use crate::host::Host;
use crate::network::{Ask, Network};
use crate::oracle::Oracle;
use crate::process::Process;
use crate::sabotage::Sabotage;
use crate::time::{Present, Time};
use kontena_server::election::Request;

/// What has to be done to a driver, which the world does not hold.
#[derive(Debug)]
pub(crate) enum Action {
    /// Start a master's process.
    Start { host: usize },
    /// End a process at once.
    Kill { process: usize },
    /// Ask something of a driver.
    Request { process: usize, request: Request },
    /// Ask a driver to retire, and perhaps leave nobody who could ask for anything else.
    Retire { process: usize, abandoned: bool },
    /// Let the duty go on.
    Duty { process: usize, step: DutyStep },
    /// Ask all drivers to stand.
    Calm,
    /// See whether the masters have recovered.
    Verdict,
}

pub(crate) struct World {
    pub(crate) present: Present,
    pub(crate) dice: Dice,
    pub(crate) hosts: Vec<Host>,
    pub(crate) processes: Vec<Process>,
    pub(crate) database: Database,
    pub(crate) network: Network,
    pub(crate) oracle: Oracle,
    pub(crate) history: History,
    pub(crate) chaos: Chaos,
    pub(crate) faults: Vec<Injected>,
    pub(crate) sabotage: Sabotage,
    pub(crate) queue: Queue,
    pub(crate) sleeps: u64,
}

impl World {
    pub(crate) fn now(&self) -> Time {
        self.present.get()
    }

    pub(crate) fn push_in(&mut self, wait: Duration, event: Event) {
        self.queue.push(self.now().after(wait), event);
    }

    /// Goes on to the next event. False if there is none.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let (at, event) = self.queue.pop()?;
        self.present.set(at);
        Some(event)
    }

    /// Takes in an event, and returns what is to be done to a driver.
    pub(crate) fn handle(&mut self, event: Event) -> Option<Action> {
        self.note(&event);
        match event {
            Event::Wake { process, sleep } => self.wake(process, sleep),
            Event::Arrive { call } => self.arrive(call),
            Event::Execute { call } => self.execute(call),
            Event::Raise { call } => self.raise(call),
            Event::Replicated { position, reign } => self.replicated(position, reign),
            Event::Answer { call, reply } => return self.answered(call, reply),
            Event::Hint { process } => self.hint(process),
            Event::Duty { process, step } => return self.duty_step(process, step),
            Event::Mischief => return self.mischief(),
            Event::End(end) => return self.end(end),
            Event::Calm => {
                self.calm();
                return Some(Action::Calm);
            }
            Event::Verdict => return Some(Action::Verdict),
        }
        None
    }

    /// Writes a fault down.
    pub(crate) fn inject(&mut self, fault: Fault) {
        let now = self.now();
        self.history.tell(now, || format!("FAULT {fault}"));
        self.faults.push(Injected { at: now.elapsed(), fault });
    }

    /// Whether nothing of the process moves.
    pub(crate) fn frozen(&self, process: usize) -> bool {
        let process = &self.processes[process];
        process.stopped || self.hosts[process.host].clock.lock().suspended()
    }

    /// Lets a process go on, with everything that came meanwhile.
    pub(crate) fn thaw(&mut self, process: usize) {
        if !self.processes[process].alive() || self.frozen(process) {
            return;
        }
        self.processes[process].ready.set();
        for step in std::mem::take(&mut self.processes[process].parked) {
            self.push_in(Duration::ZERO, Event::Duty { process, step });
        }
        self.set_alarms(process);
    }

    /// Begins a wait of a process until its monotonic clock shows `until`.
    pub(crate) fn sleep(&mut self, process: usize, until: Duration) -> u64 {
        let sleep = self.sleeps;
        self.sleeps += 1;
        self.processes[process].sleeps.push((sleep, until));
        // Timers are never early, often a little late, and sometimes more than a little.
        let lateness = match self.dice.below(20) {
            0 => self.dice.skewed(ms(1), ms(15)),
            1..10 => self.dice.span(us(10), ms(1)),
            _ => Duration::ZERO,
        };
        self.set_alarm(process, sleep, until, lateness);
        sleep
    }

    pub(crate) fn forget_sleep(&mut self, process: usize, sleep: u64) {
        self.processes[process].sleeps.retain(|(id, _)| *id != sleep);
    }

    pub(crate) fn take_hint(&mut self, process: usize) -> bool {
        self.processes[process].take_hint()
    }

    pub(crate) fn lane_entered(&mut self, process: usize, lane: Lane) {
        let mut under_way = self.processes[process].enter(lane);
        if self.sabotage == Sabotage::CallsDoubled {
            under_way += 1;
        }
        let (now, host) = (self.now(), self.processes[process].host);
        self.oracle.lane_entered(now, host, lane, under_way);
    }

    /// The clocks of a host changed: all waits there are computed anew.
    pub(crate) fn clock_changed(&mut self, host: usize) {
        if let Some(process) = self.hosts[host].process {
            self.set_alarms(process);
        }
    }

    /// Lets the duty of a process go on, or keeps the step until it can.
    pub(crate) fn duty_step(&mut self, process: usize, step: DutyStep) -> Option<Action> {
        if !self.processes[process].alive() {
            return None;
        }
        if self.frozen(process) {
            self.processes[process].parked.push(step);
            return None;
        }
        Some(Action::Duty { process, step })
    }

    /// Tells all who listen that the lease has changed.
    pub(crate) fn send_hints(&mut self) {
        for host in 0..self.hosts.len() {
            let Some(process) = self.hosts[host].process else { continue };
            if self.hosts[host].hints_lost || self.hosts[host].partitioned || self.dice.chance(20) {
                continue;
            }
            let latest = if self.dice.chance(50) { ms(2000) } else { ms(10) };
            let wait = self.dice.span(us(300), latest);
            self.push_in(wait, Event::Hint { process });
        }
    }

    /// The process that holds the lease, by what a majority has.
    pub(crate) fn holder(&self) -> Option<usize> {
        let holder = self.database.committed.lease?.holder?;
        self.processes.iter().position(|process| process.holder == holder)
    }

    /// The living process of a host.
    pub(crate) fn living(&self, host: usize) -> Option<usize> {
        self.hosts[host].process.filter(|process| self.processes[*process].alive())
    }

    /// A new process on a host.
    pub(crate) fn spawn(&mut self, host: usize, holder: HolderId) -> usize {
        let process = self.processes.len();
        self.processes.push(Process::new(host, holder));
        self.hosts[host].process = Some(process);
        process
    }

    /// Releases the lease on behalf of a process, by the way of its host.
    pub(crate) fn bury(&mut self, holder: HolderId) {
        if let Some(process) = self.processes.iter().position(|process| process.holder == holder) {
            self.ask_for(process, holder, Ask::Burial);
        }
    }

    fn hint(&mut self, process: usize) {
        if self.processes[process].alive() {
            let (now, host) = (self.now(), self.processes[process].host);
            self.oracle.hinted(now, host);
            self.processes[process].hint();
        }
    }

    fn wake(&mut self, process: usize, sleep: u64) {
        let asleep = &self.processes[process];
        let Some((_, until)) = asleep.sleeps.iter().find(|(id, _)| *id == sleep).copied() else { return };
        let monotonic = self.hosts[asleep.host].clock.lock().read(self.now()).monotonic;
        if monotonic < until {
            self.set_alarm(process, sleep, until, Duration::ZERO);
        } else {
            asleep.ready.set();
        }
    }

    fn set_alarms(&mut self, process: usize) {
        for (sleep, until) in self.processes[process].sleeps.clone() {
            self.set_alarm(process, sleep, until, Duration::ZERO);
        }
    }

    fn set_alarm(&mut self, process: usize, sleep: u64, until: Duration, lateness: Duration) {
        let host = self.processes[process].host;
        // While the clock stands there is no such moment: the end of the suspension sets the alarm again.
        let when = self.hosts[host].clock.lock().when(until);
        if let Some(when) = when {
            self.queue.push(when.max(self.now()).after(lateness), Event::Wake { process, sleep });
        }
    }

    fn note(&mut self, event: &Event) {
        let number = |place: usize| u64::try_from(place).unwrap_or(u64::MAX);
        let (kind, detail) = match event {
            Event::Wake { process, .. } => (1, number(*process)),
            Event::Arrive { call } => (2, number(*call)),
            Event::Execute { call } => (3, number(*call)),
            Event::Raise { call } => (4, number(*call)),
            Event::Replicated { position, .. } => (5, *position),
            Event::Answer { call, .. } => (6, number(*call)),
            Event::Hint { process } => (7, number(*process)),
            Event::Duty { process, .. } => (8, number(*process)),
            Event::Mischief => (9, 0),
            Event::End(End::Down { host }) => (10, number(*host)),
            Event::End(_) => (11, 0),
            Event::Calm => (12, 0),
            Event::Verdict => (13, 0),
        };
        self.history.mix(self.now().0);
        self.history.mix(kind << 32 | detail);
    }
}
