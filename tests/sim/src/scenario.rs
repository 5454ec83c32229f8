//! What a seed decides before anything happens: the masters, their clocks and settings, what the database holds,
//! and what kinds of faults will strike how often.

use std::fmt;
use std::time::Duration;

use kontena_core::clock::Reading;
use kontena_core::election::{Lease, PROTOCOL, Term, Version};

use crate::chaos::{KINDS, Kind};
use crate::database::Documents;
use crate::dice::{Dice, ms};

/// True time in a million parts: how far a clock's rate may be off.
const RATES: (u32, u32) = (950_000, 1_050_000);

/// One master as it is set up.
pub(crate) struct Setup {
    pub(crate) clocks: Reading,
    /// In millionths of true time.
    pub(crate) rate: u64,
    pub(crate) ttl: Duration,
    /// When its first process starts.
    pub(crate) starts: Duration,
}

pub(crate) struct Scenario {
    pub(crate) masters: Vec<Setup>,
    pub(crate) documents: Documents,
    /// How often each kind of fault strikes, as shares.
    pub(crate) weights: [u32; KINDS],
    /// From one fault to the next, on average.
    pub(crate) between_faults: Duration,
    /// For how long faults strike.
    pub(crate) chaos: Duration,
    pub(crate) style: Style,
    /// When the first fault strikes.
    pub(crate) first_fault: Duration,
    /// Calls fare badly from the beginning.
    pub(crate) stormy_start: bool,
}

/// What strikes at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Some of everything.
    Mixed,
    /// Nothing but outages of the database.
    Outages,
    /// Leaders fall silent for about as long as they may, again and again.
    Silences,
}

impl Scenario {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let style = [Style::Mixed, Style::Outages, Style::Silences][dice.weighted(&[75, 10, 15])];
        let common_ttl = ttl(dice);
        let mixed = dice.chance(if style == Style::Outages { 700 } else { 300 });
        let masters: Vec<Setup> = (0..=dice.weighted(&[5, 10, 65, 10, 10]))
            .map(|_| Setup {
                clocks: clocks(dice),
                rate: u64::from(rate(dice)),
                ttl: if mixed { ttl(dice) } else { common_ttl },
                starts: dice.skewed(Duration::ZERO, ms(800)),
            })
            .collect();
        let mut weights = [0; KINDS];
        for weight in &mut weights {
            *weight = [0, 1, 3, 8][dice.weighted(&[4, 3, 2, 1])];
        }
        if style == Style::Silences {
            weights = [0; KINDS];
        }
        if weights.iter().all(|weight| *weight == 0) {
            weights[Kind::Silence.place()] = 1;
        }
        let longest = masters.iter().map(|master| master.ttl).max().unwrap_or(common_ttl);
        Self {
            masters,
            documents: documents(dice),
            weights,
            between_faults: dice.skewed(ms(150), ms(4_000)),
            chaos: (longest * (6 + dice.below(10))).clamp(ms(10_000), ms(40_000)),
            style,
            first_fault: dice.span(Duration::ZERO, ms(600)),
            stormy_start: style == Style::Mixed && dice.chance(150),
        }
    }
}

pub(crate) fn ttl(dice: &mut Dice) -> Duration {
    ms([1_000, 1_500, 2_000, 3_000, 5_000][dice.weighted(&[30, 10, 40, 10, 10])])
}

pub(crate) fn rate(dice: &mut Dice) -> u32 {
    let (slowest, fastest) = RATES;
    match dice.below(10) {
        0..2 => slowest,
        2..4 => fastest,
        4 => 1_000_000,
        _ => slowest + dice.below(fastest - slowest + 1),
    }
}

fn clocks(dice: &mut Dice) -> Reading {
    let monotonic = dice.span(Duration::ZERO, Duration::from_secs(1_000_000));
    Reading { monotonic, boottime: monotonic + dice.skewed(Duration::ZERO, Duration::from_secs(100_000)) }
}

fn documents(dice: &mut Dice) -> Documents {
    let term = Term(u64::from(dice.below(1000)));
    let lease = |dice: &mut Dice, term| Lease {
        protocol: PROTOCOL,
        version: Version { term, seq: u64::from(dice.below(1000)) },
        holder: dice.chance(500).then(|| dice.holder()),
        ttl: ttl(dice),
    };
    match dice.below(10) {
        // A database from before the election.
        0..5 => Documents::default(),
        // Left by masters that are gone.
        5..8 => Documents { lease: Some(lease(dice, term)), fence: Some(term) },
        // The lease was removed.
        8 => Documents { lease: None, fence: Some(term) },
        // The lease is older than the fence, as after a restore of one of them.
        _ => {
            let ahead = Term(term.0 + u64::from(dice.below(3)));
            Documents { lease: Some(lease(dice, term)), fence: Some(ahead) }
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            masters,
            documents,
            weights: _,
            between_faults,
            chaos,
            style,
            first_fault: _,
            stormy_start: _,
        } = self;
        let what = match style {
            Style::Mixed => "faults of all kinds",
            Style::Outages => "nothing but outages of the database",
            Style::Silences => "leaders that fall silent",
        };
        writeln!(f, "{} masters, {what} for {chaos:?}, one in {between_faults:?}", masters.len())?;
        for (number, Setup { rate, ttl, starts, .. }) in masters.iter().enumerate() {
            writeln!(
                f,
                "master {number}: ttl {ttl:?}, clocks at {rate} millionths, starts after {starts:?}"
            )?;
        }
        write!(f, "the database holds {documents:?}")
    }
}
