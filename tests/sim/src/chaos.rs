//! Faults of all kinds, until they end.

use std::time::Duration;

use kontena_core::election::{EndReason, SitOut, Timing};
use kontena_server::election::Request;

use crate::dice::ms;
use crate::event::{End, Event};
use crate::fault::Fault;
use crate::process::Life;
use crate::sabotage::Sabotage;
use crate::scenario::{self, Scenario, Style};
use crate::weather::Weather;
use crate::world::{Action, World};

/// What can strike, to be drawn by weight.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Stop,
    Suspend,
    Kill,
    Retire,
    Renounce,
    Ineligible,
    NoPrimary,
    Stall,
    Partition,
    Storm,
    Retime,
    ClockRate,
    SpuriousHints,
    HintsLost,
    Silence,
}

pub(crate) const KINDS: usize = 15;

const ALL: [Kind; KINDS] = [
    Kind::Stop,
    Kind::Suspend,
    Kind::Kill,
    Kind::Retire,
    Kind::Renounce,
    Kind::Ineligible,
    Kind::NoPrimary,
    Kind::Stall,
    Kind::Partition,
    Kind::Storm,
    Kind::Retime,
    Kind::ClockRate,
    Kind::SpuriousHints,
    Kind::HintsLost,
    Kind::Silence,
];

impl Kind {
    pub(crate) fn place(self) -> usize {
        self as usize
    }
}

/// What strikes in this run.
pub(crate) struct Chaos {
    weights: [u32; KINDS],
    between_faults: Duration,
    style: Style,
    /// All faults have ended.
    pub(crate) calm: bool,
    /// By which the length of faults is measured.
    unit: Duration,
}

impl Chaos {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self {
            weights: scenario.weights,
            between_faults: scenario.between_faults,
            style: scenario.style,
            calm: false,
            unit: scenario.masters.first().map_or(ms(2_000), |master| master.ttl),
        }
    }
}

impl World {
    /// The next fault strikes.
    pub(crate) fn mischief(&mut self) -> Option<Action> {
        if self.chaos.calm {
            return None;
        }
        let between = self.chaos.between_faults;
        let mut wait = self.dice.span(Duration::ZERO, between * 2);
        let action = match self.chaos.style {
            Style::Mixed => self.strike(),
            Style::Outages => {
                wait += self.chaos.unit;
                self.plain_outage();
                None
            }
            Style::Silences => {
                wait += self.chaos.unit * 2;
                self.strike()
            }
        };
        self.push_in(wait, Event::Mischief);
        action
    }

    fn strike(&mut self) -> Option<Action> {
        if self.sabotage == Sabotage::LivingBuried
            && let Some(leader) = self.holder()
        {
            let holder = self.processes[leader].holder;
            self.bury(holder);
        }
        let kind = ALL[self.dice.weighted(&self.chaos.weights)];
        let unit = self.chaos.unit;
        let master = self.victim();
        match kind {
            Kind::Stop => {
                let lasts = self.dice.skewed(ms(5), unit * 5);
                self.stop_for(master, lasts);
            }
            Kind::Suspend => {
                let lasts = self.dice.skewed(ms(5), unit * 5);
                self.suspend_for(master, lasts);
            }
            Kind::Kill => return self.kill(master),
            Kind::Retire => return self.retire(master),
            Kind::Renounce => return self.renounce(master),
            Kind::Ineligible => return self.ineligible(master),
            Kind::NoPrimary => {
                if self.dice.chance(500) {
                    self.lose_some();
                } else {
                    // It writes for a while what no majority gets.
                    let lasts = self.dice.skewed(ms(20), unit);
                    let stall = self.stall(lasts);
                    self.push_in(lasts, Event::End(End::Deposed { stall }));
                }
            }
            Kind::Stall => {
                let lasts = self.dice.skewed(ms(20), unit * 3);
                let stall = self.stall(lasts);
                self.push_in(lasts, Event::End(End::Stalled { stall }));
            }
            Kind::Partition => {
                let lasts = self.dice.skewed(ms(20), unit * 5);
                self.partition(master, lasts);
            }
            Kind::Storm => self.storm(master),
            Kind::Retime => {
                if self.dice.chance(500) {
                    let wait = self.dice.skewed(ms(20), unit * 2);
                    self.push_in(wait, Event::End(End::Retimed { host: master }));
                }
                return self.retime(master);
            }
            Kind::ClockRate => {
                let rate = u64::from(scenario::rate(&mut self.dice));
                let now = self.now();
                self.hosts[master].clock.lock().set_rate(now, rate);
                self.clock_changed(master);
                self.inject(Fault::ClockRate { master, rate });
            }
            Kind::SpuriousHints => self.spurious_hints(master),
            Kind::Silence => self.silence(),
            Kind::HintsLost => {
                let lasts = self.dice.skewed(ms(100), unit * 5);
                self.hosts[master].hints_lost = true;
                self.inject(Fault::HintsLost { master, lasts });
                self.push_in(lasts, Event::End(End::HintsLost { host: master }));
            }
        }
        None
    }

    /// A fault ends.
    pub(crate) fn end(&mut self, end: End) -> Option<Action> {
        match end {
            End::Stopped { process, stop } => {
                if self.processes[process].stops == stop {
                    self.go_on(process);
                }
            }
            End::Suspended { host, suspension } => {
                if self.hosts[host].suspensions == suspension {
                    self.resume(host);
                }
            }
            End::NoPrimary { reign } => self.elect_primary(reign),
            End::Stalled { stall } => self.end_stall(stall),
            End::Deposed { stall } => {
                if stall == self.database.stalls && self.database.stalled {
                    self.lose_some();
                }
            }
            End::Partitioned { host } => self.hosts[host].partitioned = false,
            End::Storm { host } => self.hosts[host].weather = Weather::FAIR,
            End::HintsLost { host } => self.hosts[host].hints_lost = false,
            End::Ineligible { process } => {
                let open = self.processes[process].life == Life::Running;
                return open.then_some(Action::Request { process, request: Request::Eligible(true) });
            }
            End::Retimed { host } => return (!self.chaos.calm).then(|| self.retime(host)).flatten(),
            End::Retiring { process } => {
                return self.processes[process].alive().then(|| {
                    let host = self.processes[process].host;
                    self.bury_and_restart(host);
                    Action::Kill { process }
                });
            }
            End::Down { host } => {
                return self.living(host).is_none().then_some(Action::Start { host });
            }
            End::Unburied { holder } => self.bury(holder),
        }
        None
    }

    /// All faults end.
    pub(crate) fn calm(&mut self) {
        let now = self.now();
        self.chaos.calm = true;
        self.history.tell(now, || "all faults end".to_owned());
        for host in 0..self.hosts.len() {
            self.hosts[host].weather = Weather::FAIR;
            self.hosts[host].partitioned = false;
            self.hosts[host].hints_lost = false;
            self.resume(host);
            if let Some(process) = self.living(host) {
                self.go_on(process);
                if self.processes[process].life == Life::Retiring {
                    self.push_in(ms(2_000), Event::End(End::Retiring { process }));
                }
            } else {
                self.push_in(ms(10), Event::End(End::Down { host }));
            }
        }
        self.end_stall(self.database.stalls);
        self.elect_primary(self.database.reign);
        self.oracle.calm(now);
        self.push_in(Duration::ZERO, Event::Verdict);
    }

    /// A driver has ended as it was asked to.
    pub(crate) fn ended(&mut self, host: usize) {
        let back_after = self.dice.skewed(ms(50), self.chaos.unit * 3);
        self.push_in(back_after, Event::End(End::Down { host }));
    }

    /// The leader every other time, anybody otherwise.
    fn victim(&mut self) -> usize {
        let leader = self.holder().map(|process| self.processes[process].host);
        match leader {
            Some(leader) if self.dice.chance(500) => leader,
            Some(_) | None => self.dice.place(self.hosts.len()),
        }
    }

    fn stop_for(&mut self, master: usize, lasts: Duration) {
        let Some(process) = self.living(master) else { return };
        self.processes[process].stopped = true;
        self.processes[process].stops += 1;
        let stop = self.processes[process].stops;
        self.inject(Fault::Stopped { master, lasts });
        self.push_in(lasts, Event::End(End::Stopped { process, stop }));
    }

    fn go_on(&mut self, process: usize) {
        self.processes[process].stopped = false;
        self.thaw(process);
    }

    fn suspend_for(&mut self, master: usize, lasts: Duration) {
        let now = self.now();
        self.hosts[master].clock.lock().set_suspended(now, true);
        self.hosts[master].suspensions += 1;
        let suspension = self.hosts[master].suspensions;
        self.inject(Fault::Suspended { master, lasts });
        self.push_in(lasts, Event::End(End::Suspended { host: master, suspension }));
    }

    fn resume(&mut self, host: usize) {
        let now = self.now();
        self.hosts[host].clock.lock().set_suspended(now, false);
        if let Some(process) = self.living(host) {
            self.thaw(process);
        }
    }

    fn kill(&mut self, master: usize) -> Option<Action> {
        let process = self.living(master)?;
        self.bury_and_restart(master);
        Some(Action::Kill { process })
    }

    /// What systemd does about a dead process, mostly.
    fn bury_and_restart(&mut self, host: usize) {
        let Some(process) = self.living(host) else { return };
        let holder = self.processes[process].holder;
        let buried_after = self.dice.chance(600).then(|| self.dice.skewed(ms(2), ms(100)));
        let back_after = match buried_after {
            Some(after) => after + self.dice.skewed(ms(5), ms(1_000)),
            None => self.dice.skewed(ms(50), self.chaos.unit * 3),
        };
        self.inject(Fault::Killed { master: host, buried_after, back_after });
        if let Some(after) = buried_after {
            self.push_in(after, Event::End(End::Unburied { holder }));
        }
        self.push_in(back_after, Event::End(End::Down { host }));
    }

    fn retire(&mut self, master: usize) -> Option<Action> {
        let process = self.living(master).filter(|process| self.processes[*process].life == Life::Running)?;
        let abandoned = self.dice.chance(400);
        self.processes[process].life = Life::Retiring;
        self.inject(Fault::Retired { master, abandoned });
        let limit = ms(2_000) + self.dice.skewed(Duration::ZERO, ms(5_000));
        self.push_in(limit, Event::End(End::Retiring { process }));
        Some(Action::Retire { process, abandoned })
    }

    fn renounce(&mut self, master: usize) -> Option<Action> {
        let process = self.living(master)?;
        let (reason, sit_out) = if self.dice.chance(500) {
            (EndReason::SteppedDown, SitOut::UntilOtherTerm)
        } else {
            (EndReason::Resigned, SitOut::For(self.dice.skewed(ms(10), ms(8_000))))
        };
        self.inject(Fault::Renounced { master, sit_out });
        Some(Action::Request { process, request: Request::Renounce { reason, sit_out } })
    }

    fn ineligible(&mut self, master: usize) -> Option<Action> {
        let process = self.living(master)?;
        let lasts = self.dice.skewed(ms(5), self.chaos.unit * 4);
        self.inject(Fault::Ineligible { master, lasts });
        self.push_in(lasts, Event::End(End::Ineligible { process }));
        Some(Action::Request { process, request: Request::Eligible(false) })
    }

    fn retime(&mut self, master: usize) -> Option<Action> {
        let ttl = scenario::ttl(&mut self.dice);
        let timing = Timing::new(ttl).ok()?;
        self.hosts[master].ttl = ttl;
        self.inject(Fault::Retimed { master, ttl });
        let process = self.living(master)?;
        Some(Action::Request { process, request: Request::Retime(timing) })
    }

    fn storm(&mut self, master: usize) {
        let weather = Weather::storm(&mut self.dice);
        let lasts = self.dice.skewed(ms(100), self.chaos.unit * 8);
        let everywhere = self.dice.chance(400);
        for host in 0..self.hosts.len() {
            if everywhere || host == master {
                self.set_weather(host, weather, lasts);
            }
        }
    }

    /// Calls fare badly before any master runs.
    pub(crate) fn stormy_start(&mut self) {
        for host in 0..self.hosts.len() {
            let weather = Weather::storm(&mut self.dice);
            let lasts = self.dice.skewed(ms(500), ms(5_000));
            self.set_weather(host, weather, lasts);
        }
    }

    fn set_weather(&mut self, host: usize, weather: Weather, lasts: Duration) {
        self.hosts[host].weather = weather;
        self.inject(Fault::Storm { master: host, how: weather.to_string(), lasts });
        self.push_in(lasts, Event::End(End::Storm { host }));
    }

    fn partition(&mut self, master: usize, lasts: Duration) {
        self.hosts[master].partitioned = true;
        self.inject(Fault::Partitioned { master, lasts });
        self.push_in(lasts, Event::End(End::Partitioned { host: master }));
    }

    /// The leader falls silent for about as long as it may, and comes back while the others reach for the lease,
    /// perhaps with requests that are late.
    fn silence(&mut self) {
        let Some(leader) = self.holder() else { return };
        let master = self.processes[leader].host;
        let ttl = self.database.committed.lease.map_or(self.chaos.unit, |lease| lease.ttl);
        let lasts = self.dice.span(ttl * 4 / 5, ttl * 7 / 5);
        if self.dice.chance(600) {
            let weather = Weather::late_acquires(&mut self.dice, ttl / 2);
            for host in (0..self.hosts.len()).filter(|host| *host != master) {
                self.set_weather(host, weather, lasts + ttl);
            }
        }
        match self.dice.below(3) {
            0 => self.stop_for(master, lasts),
            1 => self.suspend_for(master, lasts),
            _ => self.partition(master, lasts),
        }
    }

    fn spurious_hints(&mut self, master: usize) {
        let Some(process) = self.living(master) else { return };
        let count = 1 + self.dice.below(30);
        self.inject(Fault::SpuriousHints { master, count });
        for _ in 0..count {
            let wait = self.dice.span(Duration::ZERO, ms(300));
            self.push_in(wait, Event::Hint { process });
        }
    }

    /// An outage that strikes a leader that acts, in a run without any other fault.
    fn plain_outage(&mut self) {
        let Some(lease) = self.database.committed.lease else { return };
        let leads = lease.holder.is_some() && self.database.committed.fence == Some(lease.version.term);
        // A leader that has just raised the fence does not know it yet; one that had effects does.
        if !leads || self.oracle.latest_effect != Some(lease.version.term) || !self.database.primary {
            return;
        }
        self.oracle.outage(lease.version.term);
        let lasts = if self.dice.chance(500) {
            self.dice.span(lease.ttl * 3 / 4, lease.ttl * 3 / 2)
        } else {
            self.dice.skewed(ms(20), self.chaos.unit * 6)
        };
        self.lose_primary(self.database.at_risk(), lasts);
    }

    /// The primary is gone, and with it some of what no majority has.
    fn lose_some(&mut self) {
        let at_risk = self.database.at_risk();
        let kept = self.dice.place(at_risk + 1);
        let lasts = self.dice.skewed(ms(20), self.chaos.unit * 3);
        self.lose_primary(kept, lasts);
    }

    fn lose_primary(&mut self, kept: usize, lasts: Duration) {
        let now = self.now();
        let lost = self.database.at_risk() - kept;
        self.database.stalled = false;
        self.database.lose_primary(kept);
        let committed = self.database.committed;
        self.oracle.stands(now, committed, None);
        self.drop_unacknowledged();
        self.inject(Fault::NoPrimary { lasts, kept, lost });
        let reign = self.database.reign;
        self.push_in(lasts, Event::End(End::NoPrimary { reign }));
    }

    fn elect_primary(&mut self, reign: u64) {
        if reign != self.database.reign || self.database.primary {
            return;
        }
        let now = self.now();
        self.history.tell(now, || "database: there is a primary".to_owned());
        self.database.primary = true;
        let position = self.database.head_position();
        let wait = self.dice.span(ms(1), ms(20));
        self.push_in(wait, Event::Replicated { position, reign });
        self.serve_waiting();
    }

    fn stall(&mut self, lasts: Duration) -> u64 {
        self.database.stalled = true;
        self.database.stalls += 1;
        self.inject(Fault::Stalled { lasts });
        self.database.stalls
    }

    fn end_stall(&mut self, stall: u64) {
        if stall == self.database.stalls && self.database.stalled {
            self.database.stalled = false;
            let (position, reign) = (self.database.head_position(), self.database.reign);
            self.push_in(ms(1), Event::Replicated { position, reign });
        }
    }
}
