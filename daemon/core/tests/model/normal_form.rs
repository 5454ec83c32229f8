//! One form for all states that have the same future, so that the space is finite and small.
//!
//! Each reduction is sound because the production step cannot tell the states that it joins apart:
//!
//! * *Time is relative.* The step uses sums and differences of times of one clock of one master only.
//! * *Old is old.* A time that is further back than every limit that is ever added to it has the same effect
//!   as one at that limit: a deadline that passed, a silence that lasts long enough, a time that is due.
//! * *A sight that can count no more is none*: one older than the greatest gap, or of a version that neither
//!   stands in the database nor is on its way to this master. Versions do not come back.
//! * *Sequence numbers are compared for equality only*, and names of holders as well: both are renumbered,
//!   and masters that differ by their place only are put in one order.
//!   (Where two masters have the same key, the order is kept as it was: such states may be visited twice.)
//! * *A late request that can match no more is none.*
//! * *What is for people only* is the same everywhere: reasons, and the lease as it was seen last.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use kontena_core::election::{
    Answer, Bar, Call, Command, EndReason, Fence, Holding, Lease, Next, Releasing, Role, Sight, State,
    Timing, Version,
};

use crate::database::Database;
use crate::master::{Flight, Health, Master, holder};
use crate::rules::Rules;
use crate::setting::Setting;
use crate::time::NOW;
use crate::world::{Late, Request, World};

/// The reason that stands for all.
const REASON: EndReason = EndReason::Released;
/// The sequence number of the lease that stands in the database. Older ones count down from it.
const CURRENT_SEQ: u64 = 9;

/// Lets a tick pass for a master: its times move away from its now. `suspended` is a pause of the whole host,
/// during which the monotonic clock stands still.
pub(crate) fn pass_tick(master: &mut Master, suspended: bool) {
    let boot = master.rate.tick();
    let mono = if suspended && master.health == Health::Paused { Duration::ZERO } else { boot };
    master.raise_sent_at -= mono;
    if let Some(held) = master.aside.shelved.as_deref_mut() {
        age_holding(held, mono, boot);
    }
    // Without `..`, so that a new field does not compile before somebody decided how it ages.
    let State {
        role,
        call,
        raising: _,
        next_call_at,
        look_again: _,
        highest: _,
        bar,
        renounced: _,
        eligible: _,
        yields: _,
        raise_failures: _,
        last_seen: _,
    } = &mut master.election.state;
    *next_call_at -= mono;
    if let Some(Bar { reason: _, lifted_above: _, until: Some(until) }) = bar {
        *until -= mono;
    }
    if let Some(Call { command: _, sent_at }) = call {
        sent_at.monotonic -= mono;
        sent_at.boottime -= boot;
    }
    match role {
        Role::Following { sight, next: _ } => {
            if let Some(Sight { version: _, since, last }) = sight {
                *since -= mono;
                *last -= mono;
            }
        }
        Role::Holding(holding) => age_holding(holding, mono, boot),
        Role::Releasing(Releasing { term: _, reason: _ }) => {}
    }
}

fn age_holding(holding: &mut Holding, mono: Duration, boot: Duration) {
    let Holding { term: _, confirmed_at, counted_ttl: _, fence, since } = holding;
    if let Some(at) = confirmed_at {
        *at -= boot;
    }
    if let Fence::Due(at) = fence {
        *at -= mono;
    }
    *since -= mono;
}

/// Brings a state into its one form.
pub(crate) fn normalise(world: &mut World, setting: Setting) {
    let current = world.database.lease.map(|lease| lease.version);
    for master in world.masters.iter_mut() {
        normalise_master(master, setting, current);
    }
    world.left.cap();
    drop_inert(world, setting);
    renumber(world);
    sort(world);
    world.late.sort_by_cached_key(fold);
}

fn not_before(at: &mut Duration, age: Duration) {
    *at = (*at).max(NOW.monotonic.saturating_sub(age));
}

fn normalise_master(master: &mut Master, setting: Setting, current: Option<Version>) {
    let timing = setting.longest();
    // Under the rule that failed reads do not interrupt the silence, no gap does.
    let gaps_count = setting.rules != Rules::SilenceOverFailedReads;
    not_before(&mut master.raise_sent_at, timing.raise_call_limit);
    if master.election.state.raising.is_none() {
        master.raise_sent_at = NOW.monotonic;
    }
    let coming = match &master.lease {
        Flight::Answered(Answer::Seen(Some(lease))) => Some(lease.version),
        _ => None,
    };
    let State {
        role,
        call,
        raising: _,
        next_call_at,
        look_again: _,
        highest: _,
        bar,
        renounced,
        eligible: _,
        yields: _,
        raise_failures,
        last_seen,
    } = &mut master.election.state;
    not_before(next_call_at, Duration::ZERO);
    if let Some(Bar { reason, lifted_above: _, until }) = bar {
        *reason = REASON;
        if let Some(until) = until {
            not_before(until, Duration::ZERO);
        }
    }
    if let Some((_, reason)) = renounced {
        *reason = REASON;
    }
    // The first wait is the longest in this model's times.
    *raise_failures = 0;
    *last_seen = None;
    if let Some(Call { command, sent_at }) = call {
        not_before(&mut sent_at.monotonic, timing.every.max(timing.call_limit).max(timing.acquire_limit));
        not_before(&mut sent_at.boottime, Timing::hold(timing.ttl));
        if let Command::Release { reason, .. } = command {
            *reason = REASON;
        }
    }
    match role {
        Role::Following { sight, next: _ } => {
            *sight = sight.filter(|Sight { version, since: _, last }| {
                !(gaps_count && NOW.monotonic.saturating_sub(*last) > Timing::gap_limit(timing.ttl))
                    && (current == Some(*version) || coming == Some(*version))
            });
            if let Some(sight) = sight {
                not_before(&mut sight.since, timing.ttl);
                not_before(&mut sight.last, timing.ttl);
            }
        }
        Role::Holding(holding) => normalise_holding(holding, timing),
        Role::Releasing(Releasing { term: _, reason }) => *reason = REASON,
    }
    if let Some(held) = master.aside.shelved.as_deref_mut() {
        normalise_holding(held, timing);
    }
}

fn normalise_holding(holding: &mut Holding, timing: Timing) {
    if holding.deadline().is_some_and(|deadline| deadline <= NOW.boottime) {
        holding.confirmed_at = None;
    }
    let Holding { term: _, confirmed_at: _, counted_ttl: _, fence, since } = holding;
    match fence {
        Fence::Due(at) => {
            not_before(at, Duration::ZERO);
            not_before(since, timing.raise_limit);
        }
        Fence::Raised => *since = NOW.monotonic,
    }
}

/// Drops the late requests that can have no effect any more.
fn drop_inert(world: &mut World, setting: Setting) {
    let database = world.database.clone();
    let taking: Vec<_> = world
        .late
        .iter()
        .filter(|late| matches!(late.request, Request::Command(Command::Acquire { .. })))
        .map(|late| late.from)
        .collect();
    world.late.retain_mut(|late| {
        if let Request::Command(Command::Release { reason, .. }) = &mut late.request {
            *reason = REASON;
        }
        can_match(&database, setting, late) || (late.request == Request::Bury && taking.contains(&late.from))
    });
}

fn can_match(database: &Database, setting: Setting, late: &Late) -> bool {
    let lease = database.lease;
    match &late.request {
        Request::Bury => lease.is_some_and(|lease| lease.holder == Some(late.from)),
        Request::Command(command) => match command {
            Command::Look => false,
            Command::Create => lease.is_none(),
            Command::Acquire { observed, .. } => lease.is_some_and(|lease| {
                lease.version == *observed
                    || (setting.rules == Rules::AcquireByTermAlone && lease.version.term == observed.term)
            }),
            Command::Renew { term, .. } | Command::Release { term, .. } => {
                lease.is_some_and(|lease| lease.version.term == *term && lease.holder == Some(late.from))
            }
            // One at or below the fence ends sessions only, which is never needed for a breach.
            Command::Raise { term } => database.fence < *term,
        },
    }
}

/// Gives the versions the highest possible sequence numbers, in the same order.
fn renumber(world: &mut World) {
    let mut numbers: Vec<u64> = Vec::new();
    each_version(world, &mut |version| numbers.push(version.seq));
    numbers.sort_unstable_by_key(|number| std::cmp::Reverse(*number));
    numbers.dedup();
    each_version(world, &mut |version| {
        let mut below = CURRENT_SEQ;
        for number in &numbers {
            if *number == version.seq {
                break;
            }
            below -= 1;
        }
        version.seq = below;
    });
}

fn each_version(world: &mut World, visit: &mut impl FnMut(&mut Version)) {
    for lease in [&mut world.database.lease, &mut world.database.former].into_iter().flatten() {
        visit(&mut lease.version);
    }
    for master in world.masters.iter_mut() {
        if let Flight::Answered(Answer::Seen(Some(Lease { version, .. }))) = &mut master.lease {
            visit(version);
        }
        if let Some(Call { command: Command::Acquire { observed, .. }, .. }) = &mut master.election.state.call
        {
            visit(observed);
        }
        if let Role::Following { sight, next } = &mut master.election.state.role {
            if let Some(sight) = sight {
                visit(&mut sight.version);
            }
            if let Next::Acquire(observed) = next {
                visit(observed);
            }
        }
    }
    for late in &mut world.late {
        if let Request::Command(Command::Acquire { observed, .. }) = &mut late.request {
            visit(observed);
        }
    }
}

/// Puts the masters in an order that depends on nothing but what they are.
fn sort(world: &mut World) {
    let mut order = [0, 1, 2].map(|slot| (key(world, slot), slot));
    order.sort_unstable();
    if order.map(|(_, slot)| slot) == [0, 1, 2] {
        return;
    }
    let [(_, a), (_, b), (_, c)] = order;
    world.rename(&|id| {
        if id == holder(a) {
            holder(0)
        } else if id == holder(b) {
            holder(1)
        } else if id == holder(c) {
            holder(2)
        } else {
            id
        }
    });
    // The last place is right once the others are.
    let mut slots = [0, 1, 2];
    for (place, wanted) in [a, b].into_iter().enumerate() {
        if let Some(found) = slots.iter().position(|slot| *slot == wanted) {
            slots.swap(place, found);
            world.masters.swap(place, found);
        }
    }
}

/// What a master is, apart from its place.
fn key(world: &World, slot: usize) -> u64 {
    let own = Some(holder(slot));
    let master = &world.masters[slot];
    let mut order = Order::default();
    let Master { rate, health, election, lease, fence, raise_sent_at, aside } = master;
    (rate, health, election.candidate.timing.ttl, &election.state, fence, raise_sent_at, aside)
        .hash(&mut order);
    if let Flight::Answered(Answer::Seen(Some(seen))) = lease {
        (seen.version, seen.holder == own, seen.holder.is_some()).hash(&mut order);
    } else {
        lease.hash(&mut order);
    }
    let holds = world.database.lease.is_some_and(|lease| lease.holder == own);
    holds.hash(&mut order);
    let late = world.late.iter().filter(|late| Some(late.from) == own);
    late.map(|late| fold(&(&late.request, late.urgent))).fold(0, u64::wrapping_add).hash(&mut order);
    order.finish()
}

/// A number for anything, the same in every run of the program.
pub(crate) fn fold(value: &impl Hash) -> u64 {
    let mut order = Order::default();
    value.hash(&mut order);
    order.finish()
}

/// A fast hash that is used for order and sampling only: a collision costs a reduction, never soundness.
#[derive(Default)]
struct Order(u64);

impl Hasher for Order {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value.unsigned_abs() as u64);
    }
}
