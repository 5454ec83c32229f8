//! The ways in which hosts are broken: what each one hits, and how long nobody may be in charge for it.

use std::ops::Range;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

/// `WatchdogSec=` of the unit.
pub(super) const WATCHDOG: Duration = Duration::from_secs(5);
/// Per cent of the packets, and milliseconds for each way: another one each round.
const LOSS: [u32; 4] = [1, 5, 10, 20];
const DELAY: [u32; 4] = [50, 100, 200, 300];
/// From when on they are told to administrators.
const LOSS_TOLD: u32 = 20;
const DELAY_TOLD: u32 = 100;

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Fault {
    /// SIGKILL to the leader's daemon: the unit gives its lease back.
    Kill,
    /// The leader's lease thread hangs, and nothing else.
    HungLease,
    /// The leader's duties hang, and the lease thread goes on.
    HungDuties,
    /// Power loss of the leader's host.
    PowerLoss,
    /// The leader's host is cut off from everybody.
    Cut,
    /// What the leader's host sends vanishes.
    CutFrom,
    /// What is sent to the leader's host vanishes.
    CutTo,
    /// The leader's host is cut off from one other only: that of the database's primary, if it is another.
    CutPeer,
    /// The leader's daemon cannot reach the database, which its host can.
    CutDatabase,
    /// All of the leader's host stands still, and wakes up later.
    Freeze,
    /// The leader's host loses 1, 5, 10, 20 % of its packets, each way.
    Loss,
    /// Packets from and to the leader's host take 50, 100, 200, 300 ms more.
    Delay,
    /// SIGKILL to all daemons at once.
    KillAll,
    /// All hosts are reset at once.
    ResetAll,
    /// Power loss of the one host that has both the leader and the database's primary.
    LeaderAndPrimary,
    /// Power loss of the host of the database's primary; the leader is on another one.
    PrimaryPowerLoss,
    /// The host of the primary is cut off from everybody.
    PrimaryCut,
    /// What the host of the primary sends vanishes.
    PrimaryCutFrom,
    /// What is sent to the host of the primary vanishes.
    PrimaryCutTo,
    /// The host of the primary is cut off from that of the leader only.
    PrimaryCutPeer,
    /// All of the host of the primary stands still.
    PrimaryFreeze,
    /// The host of the primary loses 1, 5, 10, 20 % of its packets, each way.
    PrimaryLoss,
    /// Packets from and to the host of the primary take 50, 100, 200, 300 ms more.
    PrimaryDelay,
    /// The leader's daemon gets no more file descriptors.
    FilesFullMaster,
    /// The database's primary gets no more file descriptors.
    FilesFullMember,
    /// The file systems of journal and runtime directory are full on the leader's host.
    DiskFullMaster,
    /// The disk of the database's primary is full.
    DiskFullMember,
    /// The three are upgraded one by one, and back, under load.
    Upgrade,
    /// The .rpm is installed, upgraded and erased on one of them.
    Rpm,
    /// One master with a wall clock that jumps, or a clock that is too slow or too fast.
    Clocks,
}

/// What is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// The leader, or its host, whatever else that has.
    Leader,
    /// The database's primary, or its host, on which the leader is not.
    Primary,
    /// The host of both.
    Both,
    /// All three.
    All,
}

/// How it is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Kill,
    HungLease,
    HungDuties,
    PowerLoss,
    Cut,
    CutFrom,
    CutTo,
    CutPeer,
    CutDatabase,
    Freeze,
    Loss,
    Delay,
    FilesFull,
    DiskFull,
}

impl Fault {
    /// What is hit and how; none of those that are stories of their own.
    pub(super) fn parts(self) -> Option<(Whom, Way)> {
        Some(match self {
            Self::Kill => (Whom::Leader, Way::Kill),
            Self::HungLease => (Whom::Leader, Way::HungLease),
            Self::HungDuties => (Whom::Leader, Way::HungDuties),
            Self::PowerLoss => (Whom::Leader, Way::PowerLoss),
            Self::Cut => (Whom::Leader, Way::Cut),
            Self::CutFrom => (Whom::Leader, Way::CutFrom),
            Self::CutTo => (Whom::Leader, Way::CutTo),
            Self::CutPeer => (Whom::Leader, Way::CutPeer),
            Self::CutDatabase => (Whom::Leader, Way::CutDatabase),
            Self::Freeze => (Whom::Leader, Way::Freeze),
            Self::Loss => (Whom::Leader, Way::Loss),
            Self::Delay => (Whom::Leader, Way::Delay),
            Self::KillAll => (Whom::All, Way::Kill),
            Self::ResetAll => (Whom::All, Way::PowerLoss),
            Self::LeaderAndPrimary => (Whom::Both, Way::PowerLoss),
            Self::PrimaryPowerLoss => (Whom::Primary, Way::PowerLoss),
            Self::PrimaryCut => (Whom::Primary, Way::Cut),
            Self::PrimaryCutFrom => (Whom::Primary, Way::CutFrom),
            Self::PrimaryCutTo => (Whom::Primary, Way::CutTo),
            Self::PrimaryCutPeer => (Whom::Primary, Way::CutPeer),
            Self::PrimaryFreeze => (Whom::Primary, Way::Freeze),
            Self::PrimaryLoss => (Whom::Primary, Way::Loss),
            Self::PrimaryDelay => (Whom::Primary, Way::Delay),
            Self::FilesFullMaster => (Whom::Leader, Way::FilesFull),
            Self::FilesFullMember => (Whom::Primary, Way::FilesFull),
            Self::DiskFullMaster => (Whom::Leader, Way::DiskFull),
            Self::DiskFullMember => (Whom::Primary, Way::DiskFull),
            Self::Upgrade | Self::Rpm | Self::Clocks => return None,
        })
    }

    /// As it is called on the command line.
    pub(super) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// What the journal of the host must say of it.
    pub(super) fn journal_says(self) -> Option<&'static str> {
        match self {
            Self::Kill => Some("released the lease of the dead master"),
            Self::HungLease => Some("Watchdog timeout"),
            Self::HungDuties => Some("does not stand for 60s"),
            _ => None,
        }
    }
}

/// Who names a fault that lasts, and by which word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// `doctor` on the host that is hit.
    There(&'static str),
    /// On another one.
    Elsewhere(&'static str),
}

/// What `kontena-master doctor` must say while it lasts. What is over in a moment, or does hardly any harm, is not named.
pub(super) fn named(whom: Whom, way: Way, strength: u32) -> Option<Named> {
    const MEMBER: &str = "the database's member";
    match (whom, way) {
        (Whom::All, _) | (_, Way::Kill | Way::HungLease | Way::HungDuties) => None,
        (_, Way::Cut | Way::CutFrom | Way::CutTo | Way::CutPeer | Way::CutDatabase) => {
            Some(Named::There("database"))
        }
        (_, Way::PowerLoss | Way::Freeze) | (Whom::Primary, Way::FilesFull | Way::DiskFull) => {
            Some(Named::Elsewhere(MEMBER))
        }
        (_, Way::Loss) => (strength >= LOSS_TOLD).then_some(Named::Elsewhere("database")),
        (_, Way::Delay) => (strength >= DELAY_TOLD).then_some(Named::Elsewhere("database")),
        (_, Way::DiskFull) => Some(Named::There("disk")),
        (_, Way::FilesFull) => Some(Named::There("open files")),
    }
}

impl Way {
    /// Whether a leader that is hit is sure to lose its term.
    pub(super) fn ends_term(self) -> bool {
        !matches!(self, Self::CutPeer | Self::Loss | Self::Delay | Self::FilesFull | Self::DiskFull)
    }

    /// Whether it is in this round that somebody looks whether it is told.
    pub(super) fn is_looked_for(self, round: usize) -> bool {
        let first = match self {
            Self::Loss => LOSS.iter().position(|strength| *strength >= LOSS_TOLD),
            Self::Delay => DELAY.iter().position(|strength| *strength >= DELAY_TOLD),
            _ => Some(0),
        };
        first.is_some_and(|first| round == first + 1)
    }

    /// How strong it is in this round: per cent or milliseconds.
    pub(super) fn strength(self, round: usize) -> u32 {
        let steps = if self == Self::Loss { LOSS } else { DELAY };
        steps.get(round.saturating_sub(1) % steps.len()).copied().unwrap_or_default()
    }
}

/// What the loss of a leader may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    pub(super) ttl: Duration,
    /// And so much more.
    pub(super) margin: Duration,
}

/// How much of an interruption is the database's, which took no writes in these gaps before its end, if it is.
pub(super) fn stopped(
    gaps: &[Range<Duration>],
    interruption: &Range<Duration>,
    ended: bool,
    pace: Duration,
) -> Option<Duration> {
    let back = if ended {
        // Silence is counted anew after each.
        gaps.last()?.end
    } else {
        // A leader that goes on needs a database that goes on: a write between two gaps is nothing yet.
        let gaps = gaps.iter().filter(|gap| gap.end > interruption.start);
        gaps.fold(None, |back: Option<Duration>, gap| {
            let follows = gap.start <= back.unwrap_or(interruption.start) + pace;
            if follows { Some(gap.end) } else { back }
        })?
    };
    Some(back.saturating_sub(interruption.start))
}

/// How long nobody may be in charge, if the database took no writes for `stopped`, and if the term ended.
pub(super) fn bound(
    whom: Whom,
    way: Way,
    stopped: Option<Duration>,
    ended: bool,
    Allowance { ttl, margin }: Allowance,
) -> Duration {
    // One more renewal of a leader that hears nothing may arrive.
    let late = if way == Way::CutTo { ttl / 4 } else { Duration::ZERO };
    let silent = ttl + late + margin;
    match (whom, way) {
        (Whom::Leader, Way::Kill) => margin,
        (_, Way::HungLease) => silent.min(WATCHDOG + Duration::from_secs(1)),
        // A runtime that stands still for a ttl, seen at the next look.
        (_, Way::HungDuties) => ttl + Duration::from_secs(1) + margin,
        // A gap between two looks begins the count of silence anew.
        _ => match stopped {
            None => silent,
            Some(stopped) if ended => stopped + silent,
            Some(stopped) => stopped + margin,
        },
    }
}

#[cfg(test)]
mod tests {
    use kontena_core::election::TTL_DEFAULT;

    use super::*;

    const MARGIN: Duration = Duration::from_millis(500);
    const AWAY: Duration = Duration::from_secs(5);

    #[test]
    fn what_the_database_costs_is_nobodys_fault_and_all_else_is() {
        let of = |whom, way, stopped, ended| {
            bound(whom, way, stopped, ended, Allowance { ttl: TTL_DEFAULT, margin: MARGIN })
        };
        assert_eq!(of(Whom::Leader, Way::Kill, None, true), MARGIN);
        assert_eq!(of(Whom::Leader, Way::Cut, None, true), TTL_DEFAULT + MARGIN);
        assert_eq!(of(Whom::Primary, Way::Cut, Some(AWAY), false), AWAY + MARGIN, "the leader was not lost");
        assert_eq!(of(Whom::Both, Way::PowerLoss, Some(AWAY), true), AWAY + TTL_DEFAULT + MARGIN);
        assert_eq!(of(Whom::All, Way::Kill, None, true), TTL_DEFAULT + MARGIN);
    }

    #[test]
    fn the_database_is_back_when_it_goes_on_taking_writes() {
        fn of(gaps: &[Range<Duration>], ended: bool) -> Option<u128> {
            let interruption = Duration::from_millis(140)..Duration::from_millis(7170);
            stopped(gaps, &interruption, ended, MARGIN).map(|time| time.as_millis())
        }
        let ms = Duration::from_millis;
        assert_eq!(of(&[ms(137)..ms(6516), ms(6516)..ms(7133)], false), Some(6993));
        // It took writes for a second, and the leader made none.
        assert_eq!(of(&[ms(137)..ms(4000), ms(5000)..ms(6000)], false), Some(3860));
        assert_eq!(of(&[ms(137)..ms(4000), ms(5000)..ms(6000)], true), Some(5860));
        // What came long after its interruption began is no excuse.
        assert_eq!(of(&[ms(2000)..ms(2900)], false), None);
        assert_eq!((of(&[], false), of(&[], true)), (None, None));
    }

    #[test]
    fn every_row_that_breaks_a_host_has_its_parts_and_a_name_of_its_own() {
        let mut names = std::collections::BTreeSet::new();
        for fault in Fault::value_variants() {
            assert!(names.insert(fault.name()));
            let story = matches!(fault, Fault::Upgrade | Fault::Rpm | Fault::Clocks);
            assert_eq!(fault.parts().is_none(), story, "{}", fault.name());
            let of_primary = fault.name().starts_with("primary-");
            assert!(!of_primary || fault.parts().is_some_and(|(whom, _)| whom == Whom::Primary));
        }
    }

    #[test]
    fn who_looks_whether_a_fault_is_told_looks_once_and_when_it_is_strong_enough() {
        for way in [Way::Cut, Way::Loss, Way::Delay] {
            let rounds: Vec<usize> = (1..=20).filter(|round| way.is_looked_for(*round)).collect();
            assert!(
                matches!(rounds.as_slice(), [round] if named(Whom::Leader, way, way.strength(*round)).is_some())
            );
        }
        assert_eq!(named(Whom::Primary, Way::Loss, 1), None);
    }

    #[test]
    fn rounds_go_through_all_strengths() {
        let all = |way: Way| (1..=4).map(|round| way.strength(round)).collect::<Vec<_>>();
        assert_eq!((all(Way::Loss), all(Way::Delay)), (LOSS.to_vec(), DELAY.to_vec()));
    }
}
