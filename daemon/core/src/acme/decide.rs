//! The next act for an order.

use super::{
    Challenge, DEPLOY_WITHIN, Deploying, Fault, Goal, Held, Method, Proof, ProofStatus, Recorded, Sight,
    Status, VERIFY_WITHIN, record_name,
};

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Make an order at the authority: there is none, or none that could still be of use.
    Create,
    /// Write the challenges of these domains, by their places, into their authorizations, and deploy what answers.
    Present(Vec<usize>, Then),
    /// Nothing now, and why.
    Wait(&'static str),
    /// Tell the authority that the answers for these domains, by their places, are there.
    Answer(Vec<usize>),
    /// Keep a private key for the certificate.
    MakeKey,
    /// Ask for the certificate.
    Finalize,
    /// Take the certificate.
    Fetch,
    /// All domains are proven, and nothing more is wanted.
    Proven,
    /// It ends without what it was for.
    Fail(Fault),
}

/// What follows when challenges were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// The order goes on.
    GoOn,
    /// It rests until somebody asks for more, with what a person has to do before.
    Rest(Option<Fault>),
}

/// The next act for an order. `sight` is `None` if no order at the authority is recorded, or it is gone there.
#[must_use]
pub fn decide(recorded: &Recorded, sight: Option<&Sight>) -> Next {
    let Some(Sight { status, error, proofs }) = sight else { return within(recorded, 1, Next::Create) };
    let count = proofs.len();
    match status {
        // What failed before anything was answered is of an earlier time.
        Status::Invalid if recorded.answered.is_some() || recorded.keyed => {
            Next::Fail(refused(proofs, error.as_deref()))
        }
        Status::Invalid => within(recorded, count, Next::Create),
        Status::Pending => pending(recorded, proofs),
        Status::Ready => match recorded.goal {
            Goal::Offer => offer(proofs),
            Goal::Prove => Next::Proven,
            Goal::Issue if recorded.keyed => within(recorded, count, Next::Finalize),
            Goal::Issue => Next::MakeKey,
        },
        Status::Processing | Status::Valid => match (recorded.goal, recorded.keyed, status) {
            (Goal::Issue, true, Status::Valid) => Next::Fetch,
            (Goal::Issue, true, _) => {
                within(recorded, count, Next::Wait("the authority makes the certificate"))
            }
            // It was used up for an earlier certificate.
            _ => within(recorded, count, Next::Create),
        },
    }
}

fn pending(recorded: &Recorded, proofs: &[Proof]) -> Next {
    if recorded.goal == Goal::Offer {
        return offer(proofs);
    }
    if let Some(fault) = proofs.iter().find_map(obstacle) {
        return Next::Fail(fault);
    }
    let open = || proofs.iter().enumerate().filter(|(_, proof)| proof.status == ProofStatus::Pending);
    let strange: Vec<usize> = open().filter(|(_, proof)| !answers(proof)).map(|(at, _)| at).collect();
    if !strange.is_empty() {
        let records: Vec<&Proof> = strange
            .iter()
            .filter_map(|at| proofs.get(*at))
            .filter(|proof| proof.held.as_ref().is_some_and(|held| held.method == Method::Dns))
            .collect();
        let then = if records.is_empty() { Then::GoOn } else { Then::Rest(Some(new_records(&records))) };
        return Next::Present(strange, then);
    }
    let deploying = |wanted: Deploying| {
        open().find(|(_, proof)| proof.held.as_ref().is_some_and(|held| held.deploying == wanted))
    };
    if let Some((_, proof)) = deploying(Deploying::Failed) {
        let message = format!("The deploy of the service that answers for {} has failed", proof.domain);
        return Next::Fail(Fault::new("linked_service", message));
    }
    if deploying(Deploying::Open).is_some() {
        return within(recorded, proofs.len(), Next::Wait("a service is deployed"));
    }
    let untold = |challenge: &Challenge| challenge.waits && !challenge.told;
    let untold: Vec<usize> =
        open().filter(|(_, proof)| proof.challenge.as_ref().is_some_and(untold)).map(|(at, _)| at).collect();
    let next = if untold.is_empty() {
        Next::Wait("the authority looks for the answers")
    } else {
        Next::Answer(untold)
    };
    within(recorded, proofs.len(), next)
}

/// Challenges are offered once they stand in the authorization.
fn offer(proofs: &[Proof]) -> Next {
    if let Some(fault) = proofs.iter().find_map(obstacle) {
        return Next::Fail(fault);
    }
    let written = |proof: &Proof| {
        let own = proof.held.as_ref().is_some_and(|held| held.own);
        own && (proof.status == ProofStatus::Valid || answers(proof))
    };
    let unwritten = proofs.iter().enumerate().filter(|(_, proof)| !written(proof)).map(|(at, _)| at);
    Next::Present(unwritten.collect(), Then::Rest(None))
}

/// Whether the answer to the challenge of this order stands in the authorization.
fn answers(proof: &Proof) -> bool {
    let held = proof.held.as_ref().and_then(|held| held.token.as_deref());
    held.is_some() && held == proof.challenge.as_ref().map(|challenge| challenge.token.as_str())
}

/// What keeps a domain from being proven at all.
fn obstacle(proof: &Proof) -> Option<Fault> {
    let Proof { domain, status, challenge, held } = proof;
    match (status, held, challenge) {
        (ProofStatus::Refused(why), ..) => Some(Fault::new("challenge", why.clone())),
        (_, None, _) => Some(Fault::unauthorized(domain)),
        (ProofStatus::Pending, Some(Held { method, .. }), None) => {
            let message = format!("The authority does not offer {} for {domain}", method.name());
            Some(Fault::new("challenge", message))
        }
        (ProofStatus::Pending, Some(_), Some(_)) | (ProofStatus::Valid, Some(_), _) => None,
    }
}

fn refused(proofs: &[Proof], error: Option<&str>) -> Fault {
    let of_domain = proofs.iter().find_map(|proof| match &proof.status {
        ProofStatus::Refused(why) => Some(Fault::new("challenge", why.clone())),
        ProofStatus::Pending | ProofStatus::Valid => None,
    });
    of_domain.unwrap_or_else(|| {
        Fault::new("acme_client", error.unwrap_or("The authority has refused the order without saying why"))
    })
}

fn new_records(proofs: &[&Proof]) -> Fault {
    let record = |proof: &&Proof| {
        let content = proof.challenge.as_ref().map_or("", |challenge| challenge.answer.as_str());
        format!("{} to {content}", record_name(&proof.domain))
    };
    let records: Vec<String> = proofs.iter().map(record).collect();
    let message = format!(
        "The authority asks for a new proof: set the TXT record {}, then request the certificate again",
        records.join(" and ")
    );
    Fault::new("dns_record", message)
}

/// An act, unless time has run out for so many domains.
fn within(recorded: &Recorded, domains: usize, next: Next) -> Next {
    let verifying = VERIFY_WITHIN.saturating_mul(u32::try_from(domains.max(1)).unwrap_or(u32::MAX));
    let late = recorded.answered.is_some_and(|since| since > verifying * 2)
        || recorded.age > verifying.saturating_mul(3) + DEPLOY_WITHIN;
    if late { Next::Fail(Fault::new("challenge_verify", "Challenge verification timeout")) } else { next }
}
