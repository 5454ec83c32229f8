//! What comes next with an order, from every sight of it; and an order that is carried on by a new leader after each
//! act, which ends with one certificate.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails there has failed")]

use std::time::Duration;

use kontena_core::acme::{
    Challenge, Deploying, Goal, Held, Method, Next, Proof, ProofStatus, Recorded, Sight, Status, Then, decide,
};

fn recorded(goal: Goal) -> Recorded {
    Recorded { goal, age: Duration::ZERO, answered: None, keyed: false }
}

fn proof(method: Method, offered: &str, held: Option<&str>) -> Proof {
    Proof {
        domain: "a.example.com".to_owned(),
        status: ProofStatus::Pending,
        challenge: Some(Challenge {
            token: offered.to_owned(),
            answer: format!("answer-to-{offered}"),
            waits: true,
            told: false,
        }),
        held: Some(Held {
            method,
            token: held.map(str::to_owned),
            own: held.is_some(),
            deploying: Deploying::Done,
        }),
    }
}

fn sight(status: Status, proofs: Vec<Proof>) -> Sight {
    Sight { status, error: None, proofs }
}

fn fault(next: Next) -> (&'static str, String) {
    match next {
        Next::Fail(fault) | Next::Present(_, Then::Rest(Some(fault))) => (fault.field, fault.message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn challenges_are_offered_once_and_rest() {
    let offer = recorded(Goal::Offer);
    assert_eq!(decide(&offer, None), Next::Create);
    let new = sight(Status::Pending, vec![proof(Method::Dns, "t", None)]);
    assert_eq!(decide(&offer, Some(&new)), Next::Present(vec![0], Then::Rest(None)));
    let written = sight(Status::Pending, vec![proof(Method::Dns, "t", Some("t"))]);
    assert_eq!(decide(&offer, Some(&written)), Next::Present(vec![], Then::Rest(None)));
    // What is over, or used up, is ordered anew.
    for status in [Status::Invalid, Status::Valid, Status::Processing] {
        assert_eq!(decide(&offer, Some(&sight(status, vec![]))), Next::Create);
    }
    let mut none = proof(Method::Http, "t", None);
    none.challenge = None;
    assert_eq!(fault(decide(&offer, Some(&sight(Status::Pending, vec![none])))).0, "challenge");
}

#[test]
fn answers_are_told_when_they_can_be_found() {
    let issue = recorded(Goal::Issue);
    let mut open = proof(Method::Http, "t", Some("t"));
    let at = |proof: &Proof| decide(&issue, Some(&sight(Status::Pending, vec![proof.clone()])));
    assert_eq!(at(&open), Next::Answer(vec![0]));
    let held = |deploying| Held { deploying, ..open.held.clone().unwrap() };
    let deploying = |state| Proof { held: Some(held(state)), ..open.clone() };
    assert!(matches!(at(&deploying(Deploying::Open)), Next::Wait(_)));
    assert_eq!(fault(at(&deploying(Deploying::Failed))).0, "linked_service");
    // A challenge that is not the one whose answer is there is written first; a file goes on, a record rests.
    assert_eq!(at(&proof(Method::Http, "new", Some("old"))), Next::Present(vec![0], Then::GoOn));
    let (field, message) = fault(at(&proof(Method::Dns, "new", Some("old"))));
    assert_eq!(field, "dns_record");
    assert!(message.contains("_acme-challenge.a.example.com to answer-to-new"), "{message}");
    if let Some(challenge) = open.challenge.as_mut() {
        challenge.told = true;
    }
    assert!(matches!(at(&open), Next::Wait(_)));
    open.status = ProofStatus::Refused("why".to_owned());
    assert_eq!(fault(at(&open)), ("challenge", "why".to_owned()));
    open.held = None;
    open.status = ProofStatus::Pending;
    assert_eq!(fault(at(&open)).0, "authorization");
}

#[test]
fn nothing_waits_for_ever() {
    let mut issue = recorded(Goal::Issue);
    let mut told = proof(Method::Http, "t", Some("t"));
    if let Some(challenge) = told.challenge.as_mut() {
        challenge.told = true;
    }
    let pending = sight(Status::Pending, vec![told]);
    issue.answered = Some(Duration::from_secs(59));
    assert!(matches!(decide(&issue, Some(&pending)), Next::Wait(_)));
    issue.answered = Some(Duration::from_secs(61));
    assert_eq!(fault(decide(&issue, Some(&pending))).0, "challenge_verify");
    let old = Recorded { age: Duration::from_secs(1000), ..recorded(Goal::Issue) };
    assert_eq!(fault(decide(&old, None)).0, "challenge_verify");
}

#[test]
fn what_failed_after_it_was_answered_is_told_and_what_failed_before_is_ordered_anew() {
    let mut issue = recorded(Goal::Issue);
    let mut refused = proof(Method::Http, "t", Some("t"));
    refused.status = ProofStatus::Refused("why".to_owned());
    let invalid = sight(Status::Invalid, vec![refused]);
    assert_eq!(decide(&issue, Some(&invalid)), Next::Create);
    issue.answered = Some(Duration::ZERO);
    assert_eq!(fault(decide(&issue, Some(&invalid))), ("challenge", "why".to_owned()));
    let unfinished = Sight { error: Some("bad".to_owned()), ..sight(Status::Invalid, vec![]) };
    assert_eq!(fault(decide(&issue, Some(&unfinished))), ("acme_client", "bad".to_owned()));
}

/// An authority with one order, and what is recorded of it.
struct Model {
    recorded: Recorded,
    located: bool,
    sight: Sight,
    finalized: usize,
    orders: usize,
}

/// An act of a leader: what it writes, then what it does elsewhere.
fn act(model: &mut Model, next: &Next, dies_between: bool) -> bool {
    match next {
        Next::Create => {
            // Here what is done comes before what is written.
            model.orders += 1;
            if !dies_between {
                model.located = true;
            }
        }
        Next::Present(_, _) => {
            for proof in &mut model.sight.proofs {
                let token = proof.challenge.as_ref().map(|challenge| challenge.token.clone());
                if let Some(held) = proof.held.as_mut() {
                    held.token = token;
                }
            }
        }
        Next::Answer(_) => {
            model.recorded.answered = Some(Duration::ZERO);
            if !dies_between {
                model.sight.status = Status::Ready;
                model.sight.proofs.iter_mut().for_each(|proof| proof.status = ProofStatus::Valid);
            }
        }
        Next::MakeKey => model.recorded.keyed = true,
        Next::Finalize => {
            assert!(model.recorded.keyed, "without a key");
            assert_eq!(model.sight.status, Status::Ready, "finalized in another state");
            model.finalized += 1;
            model.sight.status = Status::Valid;
        }
        Next::Fetch => return !dies_between,
        other => panic!("{other:?}"),
    }
    false
}

#[test]
fn leaders_that_die_within_any_act_finalize_one_order_once() {
    for deaths in 0_u32..64 {
        let mut model = Model {
            recorded: recorded(Goal::Issue),
            located: false,
            sight: sight(Status::Pending, vec![proof(Method::Http, "new", Some("old"))]),
            finalized: 0,
            orders: 0,
        };
        let ended = (0..40).any(|step: u32| {
            let next = decide(&model.recorded, model.located.then_some(&model.sight));
            let dies = step < 6 && deaths & (1 << step) != 0;
            act(&mut model, &next, dies)
        });
        assert!(ended, "{deaths:b} does not end");
        assert_eq!(model.finalized, 1, "{deaths:b}");
    }
}
