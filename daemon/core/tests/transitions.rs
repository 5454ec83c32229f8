//! The rules of the election one by one, as a master on its own meets them; and what must hold after any sequence
//! of inputs whatever.

#![allow(clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use kontena_core::clock::Reading;
use kontena_core::election::{
    Answer, Candidate, Command, Election, EndReason, Fence, HolderId, Input, Lease, PROTOCOL, RaiseAnswer,
    Role, SitOut, TTL_DEFAULT, Term, Timing, Version,
};
use proptest::prelude::*;

const ME: HolderId = HolderId::from_bytes([1; 16]);
const OTHER: HolderId = HolderId::from_bytes([2; 16]);
const TTL: Duration = TTL_DEFAULT;

fn at(ms: u64) -> Reading {
    // The two clocks have different zeros, and nothing may depend on either.
    Reading { monotonic: Duration::from_millis(10_000 + ms), boottime: Duration::from_millis(70_000 + ms) }
}

fn timing(ttl: Duration) -> Timing {
    Timing::new(ttl).expect("a valid ttl")
}

fn follower() -> Election {
    Election::new(Candidate { id: ME, timing: timing(TTL) }, at(0))
}

fn lease(term: u64, seq: u64, holder: Option<HolderId>) -> Lease {
    Lease { protocol: PROTOCOL, version: Version { term: Term(term), seq }, holder, ttl: TTL }
}

fn seen(lease: Lease) -> Input {
    Input::Answered(Answer::Seen(Some(lease)))
}

fn acquire(term: u64, seq: u64) -> Command {
    Command::Acquire { observed: Version { term: Term(term), seq }, term: Term(term + 1), ttl: TTL }
}

/// A master that took term 4 with a call sent at 10 ms and answered at 20 ms, and whose fence stands.
fn leader() -> Election {
    let mut election = follower();
    assert_eq!(election.step(at(0), Input::Tick), [Command::Look]);
    assert_eq!(election.step(at(10), seen(lease(3, 7, None))), [acquire(3, 7)]);
    assert_eq!(election.step(at(20), Input::Answered(Answer::Applied)), [Command::Raise { term: Term(4) }]);
    assert_eq!(election.acting(), None, "nobody acts before the fence stands");
    assert_eq!(election.step(at(25), Input::RaiseAnswered(RaiseAnswer::Raised)), []);
    election
}

#[test]
fn a_free_lease_is_left_to_a_preferred_master_for_a_while_only() {
    let mut election = follower();
    election.step(at(0), Input::Yield(true));
    assert_eq!(election.step(at(10), seen(lease(3, 7, None))), []);
    assert_eq!(election.next_wake(at(10)), Some(Duration::from_millis(100)));
    assert_eq!(election.step(at(110), Input::Tick), [Command::Look]);
    // The preferred one did not take it.
    assert_eq!(election.step(at(111), seen(lease(3, 7, None))), [acquire(3, 7)]);
}

#[test]
fn silence_is_nobodys_to_leave() {
    let mut election = follower();
    election.step(at(0), Input::Yield(true));
    let mut now = 0;
    let acquired = loop {
        let commands = election.step(at(now), seen(lease(3, 7, Some(OTHER))));
        if let [command @ Command::Acquire { .. }] = commands.as_slice() {
            break command.clone();
        }
        now += 500;
        assert_eq!(election.step(at(now), Input::Tick), [Command::Look], "at {now} ms");
    };
    assert_eq!((now, acquired), (2000, acquire(3, 7)));
}

#[test]
fn acting_lasts_nine_tenths_of_the_ttl_from_before_the_request_left() {
    let acting = leader().acting().expect("acting");
    assert_eq!((acting.term, acting.until), (Term(4), at(10 + 1800).boottime));
}

#[test]
fn a_missing_lease_is_created_and_looked_at() {
    let mut election = follower();
    election.step(at(0), Input::Tick);
    assert_eq!(election.step(at(5), Input::Answered(Answer::Seen(None))), [Command::Create]);
    assert_eq!(election.step(at(9), Input::Answered(Answer::Refused)), [Command::Look]);
}

#[test]
fn a_silent_lease_is_taken_after_its_own_ttl_and_not_before() {
    let mut election = follower();
    let held = Lease { ttl: Duration::from_secs(5), ..lease(3, 7, Some(OTHER)) };
    election.step(at(0), Input::Tick);
    assert_eq!(election.step(at(4), seen(held)), []);
    let mut now = 4;
    loop {
        let wake = election.next_wake(at(now)).expect("it looks again");
        now += u64::try_from(wake.as_millis()).expect("short");
        assert_eq!(election.step(at(now), Input::Tick), [Command::Look]);
        now += 1;
        let commands = election.step(at(now), seen(held));
        if now < 5004 {
            assert_eq!(commands, [], "at {now} ms");
        } else {
            assert_eq!(commands, [acquire(3, 7)]);
            assert!(now < 5020, "taken at {now} ms: it looks when the silence ends");
            break;
        }
    }
}

#[test]
fn silence_is_counted_anew_after_a_change_a_failure_and_a_gap() {
    let held = |seq| seen(lease(3, seq, Some(OTHER)));
    let mut election = follower();
    let mut look = |from: u64, to: u64, input: Input| {
        election.step(at(from), Input::Hint);
        let commands = election.step(at(to), input);
        let since = match election.state.role {
            Role::Following { sight, .. } => sight.map(|sight| sight.since),
            _ => None,
        };
        (commands, since)
    };
    assert_eq!(look(0, 5, held(1)), (vec![], Some(at(5).monotonic)));
    assert_eq!(look(400, 405, held(1)), (vec![], Some(at(5).monotonic)), "unchanged");
    assert_eq!(look(800, 805, held(2)), (vec![], Some(at(805).monotonic)), "renewed");
    assert_eq!(look(1200, 1205, Input::Answered(Answer::Unknown)).1, None, "failed");
    assert_eq!(look(1300, 1305, held(2)), (vec![], Some(at(1305).monotonic)));
    assert_eq!(look(1805, 2205, held(2)), (vec![], Some(at(1305).monotonic)), "as slow as a look may be");
    assert_eq!(look(3100, 3106, held(2)), (vec![], Some(at(3106).monotonic)), "a gap of 901 ms");
    assert_eq!(look(3500, 3505, held(2)), (vec![], Some(at(3106).monotonic)));
}

#[test]
fn who_finds_itself_holder_acts_only_by_a_renewal_of_now() {
    let mut election = follower();
    election.step(at(0), Input::Tick);
    election.step(at(10), seen(lease(3, 7, None)));
    // The acquire was made, but its answer was lost.
    assert_eq!(election.step(at(400), Input::Answered(Answer::Unknown)), []);
    assert_eq!(election.step(at(420), Input::Tick), [Command::Look]);
    let commands = election.step(at(425), seen(lease(4, 8, Some(ME))));
    assert_eq!(commands, [Command::Raise { term: Term(4) }, Command::Renew { term: Term(4), ttl: TTL }]);
    assert_eq!(election.step(at(430), Input::RaiseAnswered(RaiseAnswer::Raised)), []);
    assert_eq!(election.acting(), None);
    election.step(at(440), Input::Answered(Answer::Applied));
    assert_eq!(election.acting().expect("acting").until, at(425 + 1800).boottime);
}

#[test]
fn past_its_deadline_a_holder_resumes_the_same_term_if_nobody_took_it() {
    let mut election = leader();
    assert_eq!(election.step(at(510), Input::Tick), [Command::Renew { term: Term(4), ttl: TTL }]);
    election.step(at(910), Input::Answered(Answer::Unknown));
    assert_eq!(election.step(at(930), Input::Tick), [Command::Renew { term: Term(4), ttl: TTL }]);
    let deadline = election.acting().expect("a term").until;
    assert!(at(5000).boottime > deadline, "void long since");
    election.step(at(5000), Input::Answered(Answer::Unknown));
    election.step(at(5020), Input::Tick);
    election.step(at(5030), Input::Answered(Answer::Applied));
    let resumed = election.acting().expect("acting again");
    assert_eq!((resumed.term, resumed.until), (Term(4), at(5020 + 1800).boottime));
}

#[test]
fn who_stepped_down_never_acts_under_that_term_again_and_sits_out() {
    let mut election = leader();
    let renounce = Input::Renounce { reason: EndReason::SteppedDown, sit_out: SitOut::UntilOtherTerm };
    let release = Command::Release { term: Term(4), reason: EndReason::SteppedDown };
    assert_eq!(election.step(at(100), renounce), std::slice::from_ref(&release));
    assert_eq!(election.acting(), None, "before the release left");
    // Nobody knows whether it arrived: it is sent again, whatever a look would show.
    election.step(at(500), Input::Answered(Answer::Unknown));
    assert_eq!(election.step(at(520), Input::Tick), [release]);
    election.step(at(525), Input::Answered(Answer::Applied));
    assert_eq!(election.step(at(545), Input::Tick), [Command::Look]);
    assert_eq!(election.step(at(550), seen(lease(4, 9, None))), [], "free, but not for me");
    election.step(at(1045), Input::Tick);
    assert_eq!(election.step(at(1050), seen(lease(5, 10, Some(OTHER)))), []);
    election.step(at(1545), Input::Tick);
    assert_eq!(election.step(at(1550), seen(lease(5, 11, None))), [acquire(5, 11)], "another term was seen");
}

#[test]
fn nobody_else_standing_the_bar_ends_after_five_ttl() {
    let mut election = leader();
    election
        .step(at(100), Input::Renounce { reason: EndReason::SteppedDown, sit_out: SitOut::UntilOtherTerm });
    election.step(at(105), Input::Answered(Answer::Applied));
    election.step(at(10_000), Input::Tick);
    assert_eq!(election.step(at(10_090), seen(lease(4, 9, None))), []);
    election.step(at(10_600), Input::Tick);
    assert_eq!(election.step(at(10_605), seen(lease(4, 9, None))), [acquire(4, 9)]);
}

#[test]
fn who_knows_only_an_older_protocol_or_is_not_eligible_does_not_stand() {
    let mut election = follower();
    election.step(at(0), Input::Tick);
    let newer = Lease { protocol: PROTOCOL + 1, ..lease(3, 7, None) };
    assert_eq!(election.step(at(5), seen(newer)), []);
    let mut election = follower();
    election.step(at(0), Input::Eligible(false));
    assert_eq!(election.step(at(5), seen(lease(3, 7, None))), []);
    assert_eq!(election.step(at(50), Input::Eligible(true)), [Command::Look], "at once");
    assert_eq!(election.step(at(55), seen(lease(3, 7, None))), [acquire(3, 7)]);
    let mut election = leader();
    let commands = election.step(at(100), Input::Eligible(false));
    assert_eq!(commands, [Command::Release { term: Term(4), reason: EndReason::Resigned }]);
}

#[test]
fn a_fence_that_cannot_be_raised_in_time_costs_the_lease_and_a_growing_wait() {
    let mut election = follower();
    let mut now = 0;
    let mut waits = Vec::new();
    for round in 0..3_u64 {
        // Looks until it may stand, then takes the lease and never hears of the fence.
        let began = now;
        loop {
            let commands = election.step(at(now), Input::Tick);
            let looked = commands == [Command::Look];
            now += 5;
            if looked && !election.step(at(now), seen(lease(3 + round, 7, None))).is_empty() {
                break;
            }
        }
        waits.push(now - began);
        now += 5;
        assert_eq!(election.step(at(now), Input::Answered(Answer::Applied)).len(), 1);
        now += 2000;
        election.step(at(now), Input::RaiseAnswered(RaiseAnswer::Unknown));
        let released = matches!(election.state.role, Role::Releasing(_));
        assert!(released, "after one ttl: {:?}", election.state.role);
        if election.state.call.is_some() {
            election.step(at(now), Input::Answered(Answer::Applied));
        }
        if election.state.call.is_some() {
            election.step(at(now), Input::Answered(Answer::Applied));
        }
    }
    assert!((1000..1600).contains(&waits[1]), "{waits:?}");
    assert!((2000..2600).contains(&waits[2]), "{waits:?}");
}

#[test]
fn a_fence_above_the_own_term_ends_it_and_the_next_one_is_above_both() {
    let mut election = follower();
    election.step(at(0), Input::Tick);
    election.step(at(5), seen(lease(3, 7, None)));
    election.step(at(10), Input::Answered(Answer::Applied));
    let commands = election.step(at(15), Input::RaiseAnswered(RaiseAnswer::Higher(Term(9))));
    assert_eq!(commands, [Command::Release { term: Term(4), reason: EndReason::Resigned }]);
    election.step(at(20), Input::Answered(Answer::Applied));
    election.step(at(40), Input::Tick);
    let observed = Version { term: Term(4), seq: 9 };
    let commands = election.step(at(45), seen(lease(4, 9, None)));
    assert_eq!(commands, [Command::Acquire { observed, term: Term(10), ttl: TTL }]);
}

#[test]
fn the_answer_to_an_earlier_terms_raise_raises_nothing() {
    let mut election = follower();
    election.step(at(0), Input::Tick);
    election.step(at(5), seen(lease(3, 7, None)));
    assert_eq!(election.step(at(10), Input::Answered(Answer::Applied)), [Command::Raise { term: Term(4) }]);
    election.step(at(15), Input::Superseded { term: Term(4) });
    election.step(at(20), seen(lease(5, 9, None)));
    election.step(at(25), Input::Answered(Answer::Applied));
    // Only now the answer for term 4 comes.
    let commands = election.step(at(30), Input::RaiseAnswered(RaiseAnswer::Raised));
    assert_eq!(commands, [Command::Raise { term: Term(6) }]);
    assert_eq!(election.acting(), None);
}

#[test]
fn a_changed_time_counts_from_when_followers_may_go_by_it() {
    let second = Duration::from_secs(1);
    // Shorter: from the moment a renewal with it leaves.
    let mut election = leader();
    election.step(at(30), Input::Retime(timing(second)));
    assert_eq!(election.acting().expect("acting").until, at(10 + 1800).boottime);
    let commands = election.step(at(510), Input::Tick);
    assert_eq!(commands, [Command::Renew { term: Term(4), ttl: second }]);
    assert_eq!(election.acting().expect("acting").until, at(10 + 900).boottime);
    election.step(at(515), Input::Answered(Answer::Applied));
    assert_eq!(election.acting().expect("acting").until, at(510 + 900).boottime);
    // Longer: from the next term on, since a lost renewal with the shorter time may yet come true.
    election.step(at(520), Input::Retime(timing(TTL)));
    election.step(at(760), Input::Tick);
    election.step(at(770), Input::Answered(Answer::Applied));
    assert_eq!(election.acting().expect("acting").until, at(760 + 900).boottime);
}

/// Anything that can happen, in the words of a database and a process that do as they like.
fn anything() -> impl Strategy<Value = Vec<(u64, Input)>> {
    let holder = prop_oneof![Just(None), Just(Some(ME)), Just(Some(OTHER))];
    let input = prop_oneof![
        4 => Just(Input::Tick),
        1 => Just(Input::Hint),
        6 => (0..6_u64, 0..4_u64, holder).prop_map(|(term, seq, holder)| seen(lease(term, seq, holder))),
        4 => Just(Input::Answered(Answer::Applied)),
        1 => Just(Input::Answered(Answer::Refused)),
        1 => Just(Input::Answered(Answer::Unknown)),
        1 => Just(Input::Answered(Answer::Seen(None))),
        4 => Just(Input::RaiseAnswered(RaiseAnswer::Raised)),
        1 => Just(Input::RaiseAnswered(RaiseAnswer::Unknown)),
        1 => (0..9_u64).prop_map(|term| Input::RaiseAnswered(RaiseAnswer::Higher(Term(term)))),
        1 => (0..9_u64).prop_map(|term| Input::Superseded { term: Term(term) }),
        1 => any::<bool>().prop_map(Input::Eligible),
        1 => any::<bool>().prop_map(Input::Yield),
        1 => (1..4_u64).prop_map(|seconds| Input::Retime(timing(Duration::from_secs(seconds)))),
        1 => prop_oneof![
            Just(SitOut::UntilOtherTerm),
            Just(SitOut::For(Duration::from_secs(3))),
            Just(SitOut::Forever),
        ]
        .prop_map(|sit_out| Input::Renounce { reason: EndReason::SteppedDown, sit_out }),
    ];
    proptest::collection::vec((0..800_u64, input), 1..200)
}

proptest! {
    #[test]
    fn whatever_happens(events in anything()) {
        let mut election = follower();
        let mut now = 0;
        let mut renounced = Vec::new();
        let mut highest = Term(0);
        // When the last acknowledged call of the current term was sent, and its ttl.
        let mut confirmed: Option<(Term, Duration, Duration)> = None;
        for (pause, input) in events {
            now += pause;
            let call = election.state.call.clone();
            let (in_flight, raising) = (call.is_some(), election.state.raising.is_some());
            let answers_call = matches!(input, Input::Answered(_));
            let answers_raise = matches!(input, Input::RaiseAnswered(_));
            if let (Some(call), Input::Answered(Answer::Applied)) = (&call, &input) {
                match call.command {
                    Command::Acquire { term, ttl, .. } | Command::Renew { term, ttl } => {
                        confirmed = Some((term, call.sent_at.boottime, ttl));
                    }
                    _ => {}
                }
            }
            let commands = election.step(at(now), input);

            // At most one call a lane is under way, and each command occupies its lane.
            let raises = commands.iter().filter(|command| matches!(command, Command::Raise { .. })).count();
            prop_assert!(raises <= 1 && commands.len() - raises <= 1);
            prop_assert!(raises == 0 || !raising || answers_raise);
            prop_assert!(commands.len() == raises || !in_flight || answers_call);

            // Terms never fall.
            prop_assert!(election.state.highest >= highest);
            highest = election.state.highest;

            if let Some((term, _)) = election.state.renounced
                && renounced.last() != Some(&term)
            {
                renounced.push(term);
            }
            if let Some(acting) = election.acting() {
                let Role::Holding(holding) = &election.state.role else { panic!("acting without holding") };
                prop_assert_eq!(holding.fence, Fence::Raised);
                prop_assert!(!renounced.contains(&acting.term), "acts again under a term it gave up");
                let (term, sent_at, ttl) = confirmed.expect("acting without an acknowledged call");
                prop_assert_eq!(term, acting.term);
                prop_assert!(acting.until <= sent_at + Timing::hold(ttl));
            }
            // It never sleeps past what is due, and never spins: at the time it names, something is due.
            if let Some(wake) = election.next_wake(at(now)) {
                let then = Reading { monotonic: at(now).monotonic + wake, boottime: at(now).boottime + wake };
                let mut later = election.clone();
                let due = later.step(then, Input::Tick);
                prop_assert!(!due.is_empty() || later.next_wake(then) != Some(Duration::ZERO), "it spins");
            } else {
                prop_assert!(election.state.call.is_some(), "it sleeps for ever");
            }
        }
    }
}
