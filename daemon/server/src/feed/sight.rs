//! What a master sees at one moment, and what happened between two such moments. Pure.

use std::collections::BTreeMap;

use kontena_core::election::{HolderId, Term};
use kontena_store::Person;
use kontena_wire::cluster::{DutyState, MasterState};

use super::Happening;
use crate::duties::DutyStatus;
use crate::election::Standing;

/// All that the feed is made from.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    pub(super) standing: Standing,
    /// The term of the lease, and who holds it.
    pub(super) lease: Option<(Term, Option<HolderId>)>,
    pub(super) masters: BTreeMap<HolderId, MasterSight>,
    pub(super) duties: BTreeMap<&'static str, DutySight>,
    /// Why the last heartbeat failed, if it did.
    pub(super) failure: Option<String>,
}

/// One master that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MasterSight {
    pub(super) name: String,
    pub(super) state: MasterState,
    pub(super) warnings: Vec<String>,
}

/// The last run of one duty.
#[derive(Clone, Debug)]
pub(super) struct DutySight {
    runs: u64,
    failures: u64,
    failed: bool,
    result: Option<String>,
}

impl DutySight {
    /// Counts alone do not tell how the last run ended; counts and the sight before do.
    pub(super) fn new(status: &DutyStatus, before: Option<&Self>) -> Self {
        let (runs, failures) = before.map_or((0, 0), |before| (before.runs, before.failures));
        let failed = if status.runs == runs {
            before.is_some_and(|before| before.failed)
        } else {
            status.failures > failures
        };
        // The result of a duty that does not run any more is an earlier leader's.
        let result = if status.state == DutyState::Off { None } else { status.last_result.clone() };
        Self { runs: status.runs, failures: status.failures, failed, result }
    }
}

impl Sight {
    pub(super) fn blank() -> Self {
        Self {
            standing: Standing::Following,
            lease: None,
            masters: BTreeMap::new(),
            duties: BTreeMap::new(),
            failure: None,
        }
    }

    fn person(&self, id: HolderId) -> Option<Person> {
        self.masters.get(&id).map(|master| Person { id: id.to_string(), name: master.name.clone() })
    }
}

/// What happened between two sights.
pub(super) fn happenings(before: &Sight, after: &Sight) -> Vec<Happening> {
    let mut found = Vec::new();
    if before.failure.is_some() != after.failure.is_some() {
        found.push(Happening::Database { failure: after.failure.clone() });
    }
    if before.lease != after.lease
        && let Some((term, holder)) = after.lease
    {
        let holder = holder.map(|id| {
            let known = after.person(id).or_else(|| before.person(id));
            known.unwrap_or_else(|| Person { id: id.to_string(), name: short(id) })
        });
        found.push(Happening::Lease { term, holder });
    }
    if before.standing != after.standing {
        found.push(Happening::Standing(after.standing));
    }
    let all = before.masters.keys().chain(after.masters.keys().filter(|id| !before.masters.contains_key(id)));
    for id in all {
        let (was, is) = (before.masters.get(id), after.masters.get(id));
        if was == is {
            continue;
        }
        let Some(known) = is.or(was) else { continue };
        found.push(Happening::Master {
            master: Person { id: id.to_string(), name: known.name.clone() },
            was: was.map(|master| master.state),
            is: is.map(|master| master.state),
            warnings: is.map(|master| master.warnings.clone()).unwrap_or_default(),
        });
    }
    for (name, duty) in &after.duties {
        let last = before.duties.get(name);
        let told = last.map(|last| (last.failed, &last.result));
        if told != Some((duty.failed, &duty.result))
            && let Some(result) = &duty.result
        {
            found.push(Happening::Duty { name, failed: duty.failed, result: result.clone() });
        }
    }
    found
}

/// A master of which only the id is known.
fn short(id: HolderId) -> String {
    id.to_string().chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: HolderId = HolderId::from_bytes([1; 16]);

    fn status(state: DutyState, runs: u64, failures: u64, result: &str) -> DutyStatus {
        DutyStatus {
            state,
            last_run_at: None,
            last_result: Some(result.to_owned()),
            next_run_at: None,
            runs,
            failures,
            took: None,
            deadline: std::time::Duration::ZERO,
        }
    }

    fn with_master(state: MasterState) -> Sight {
        let master = MasterSight { name: "one".to_owned(), state, warnings: Vec::new() };
        Sight { masters: BTreeMap::from([(A, master)]), ..Sight::blank() }
    }

    #[test]
    fn nothing_happens_between_equal_sights() {
        let sight = with_master(MasterState::Standby);
        assert_eq!(happenings(&sight, &sight), []);
    }

    #[test]
    fn masters_come_change_and_go() {
        let (blank, standby, lost) =
            (Sight::blank(), with_master(MasterState::Standby), with_master(MasterState::Lost));
        let master = |was, is| {
            vec![Happening::Master {
                master: Person { id: A.to_string(), name: "one".to_owned() },
                was,
                is,
                warnings: Vec::new(),
            }]
        };
        assert_eq!(happenings(&blank, &standby), master(None, Some(MasterState::Standby)));
        assert_eq!(happenings(&standby, &lost), master(Some(MasterState::Standby), Some(MasterState::Lost)));
        assert_eq!(happenings(&lost, &blank), master(Some(MasterState::Lost), None));
    }

    #[test]
    fn the_holder_of_the_lease_is_named_as_far_as_it_is_known() {
        let mut known = with_master(MasterState::Standby);
        known.lease = Some((Term(3), Some(A)));
        let named = |sight: &Sight| happenings(&Sight::blank(), sight).remove(0);
        let person = |name: &str| Some(Person { id: A.to_string(), name: name.to_owned() });
        assert_eq!(named(&known), Happening::Lease { term: Term(3), holder: person("one") });
        known.masters.clear();
        assert_eq!(named(&known), Happening::Lease { term: Term(3), holder: person("01010101") });
    }

    #[test]
    fn a_duty_is_told_when_its_runs_end_otherwise_and_only_then() {
        let sight = |status: DutyStatus, before: &Sight| Sight {
            duties: BTreeMap::from([("d", DutySight::new(&status, before.duties.get("d")))]),
            ..Sight::blank()
        };
        let blank = Sight::blank();
        let held = sight(status(DutyState::Waiting, 1, 0, "held"), &blank);
        let told =
            |failed, result: &str| vec![Happening::Duty { name: "d", failed, result: result.to_owned() }];
        assert_eq!(happenings(&blank, &held), told(false, "held"));
        let again = sight(status(DutyState::Running, 2, 0, "held"), &held);
        assert_eq!(happenings(&held, &again), []);
        let failed = sight(status(DutyState::Waiting, 3, 1, "failed: no"), &again);
        assert_eq!(happenings(&again, &failed), told(true, "failed: no"));
        let unchanged = sight(status(DutyState::Running, 3, 1, "failed: no"), &failed);
        assert_eq!(happenings(&failed, &unchanged), []);
        let off = sight(status(DutyState::Off, 3, 1, "failed: no"), &unchanged);
        assert_eq!(happenings(&unchanged, &off), [], "who does not lead says nothing of duties");
    }
}
