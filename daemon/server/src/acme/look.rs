//! What the authority says of an order.

use instant_acme::{
    Account, AuthorizationState, AuthorizationStatus, ChallengeStatus, ChallengeType, Order, OrderStatus,
};
use kontena_core::acme::{Method, ProofStatus, Status, answer};

use super::trouble::words;
use super::{Acme, Trouble};

/// A challenge as it is offered.
pub(super) struct Offer {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) token: String,
    /// What answers it.
    pub(super) answer: String,
    /// Whether the authority waits to be told.
    pub(super) waits: bool,
}

/// A domain of an order.
pub(super) struct Domain {
    pub(super) name: String,
    pub(super) status: ProofStatus,
    pub(super) offers: Vec<Offer>,
}

impl Domain {
    pub(super) fn offer(&self, method: Method) -> Option<&Offer> {
        self.offers.iter().find(|offer| offer.method == method)
    }
}

/// An order with its domains.
pub(super) struct Looked {
    pub(super) order: Order,
    pub(super) status: Status,
    pub(super) error: Option<String>,
    pub(super) domains: Vec<Domain>,
}

impl Acme {
    /// Looks at an order. `None`: the authority does not know it, or not any more.
    pub(super) async fn look(&self, account: &Account, url: &str) -> Result<Option<Looked>, Trouble> {
        let mut order = match account.order(url.to_owned()).await.map_err(Trouble::from) {
            Err(Trouble::Gone(why)) => {
                tracing::info!(url, why, "the authority does not know an order any more");
                return Ok(None);
            }
            order => order?,
        };
        let state = order.state();
        let (status, error) = (status(state.status), state.error.as_ref().map(words));
        let mut domains = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            domains.push(domain(&*authorization?, account.key_thumbprint()));
        }
        Ok(Some(Looked { order, status, error, domains }))
    }

    /// Tells the authority that the answers for these domains are there.
    pub(super) async fn tell_ready(
        &self,
        order: &mut Order,
        ready: &[(String, Method)],
    ) -> Result<(), Trouble> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            let name = authorization.identifier().to_string();
            let Some((_, method)) = ready.iter().find(|(domain, _)| *domain == name) else { continue };
            if let Some(mut challenge) = authorization.challenge(kind(*method)) {
                // What it says then, the next look shows better.
                challenge
                    .set_ready()
                    .await
                    .map_err(|error| Trouble::Passing(Trouble::from(error).to_string()))?;
            }
        }
        Ok(())
    }
}

fn kind(method: Method) -> ChallengeType {
    match method {
        Method::Http => ChallengeType::Http01,
        Method::Dns => ChallengeType::Dns01,
    }
}

fn status(status: OrderStatus) -> Status {
    match status {
        OrderStatus::Pending => Status::Pending,
        OrderStatus::Ready => Status::Ready,
        OrderStatus::Processing => Status::Processing,
        OrderStatus::Valid => Status::Valid,
        OrderStatus::Invalid => Status::Invalid,
    }
}

fn domain(state: &AuthorizationState, thumbprint: &str) -> Domain {
    let offer = |method: Method| {
        let offered = state.challenges.iter().find(|challenge| challenge.r#type == kind(method))?;
        Some(Offer {
            method,
            url: offered.url.clone(),
            token: offered.token.clone(),
            answer: answer(method, &offered.token, thumbprint),
            waits: offered.status == ChallengeStatus::Pending,
        })
    };
    let refused = || {
        let why = state.challenges.iter().find_map(|challenge| challenge.error.as_ref().map(words));
        why.unwrap_or_else(|| format!("The authority has ended the proof ({:?})", state.status))
    };
    let status = match state.status {
        AuthorizationStatus::Pending => ProofStatus::Pending,
        AuthorizationStatus::Valid => ProofStatus::Valid,
        AuthorizationStatus::Invalid
        | AuthorizationStatus::Revoked
        | AuthorizationStatus::Expired
        | AuthorizationStatus::Deactivated => ProofStatus::Refused(refused()),
    };
    let offers = [Method::Http, Method::Dns].into_iter().filter_map(offer).collect();
    Domain { name: state.identifier().to_string(), status, offers }
}
