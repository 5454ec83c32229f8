//! What goes wrong with an authority: what ends an order, and what passes.

use instant_acme::{Error, Problem};
use kontena_core::acme::Fault;
use kontena_core::vault::Undecryptable;
use kontena_store::{Failure, WriteError};
use thiserror::Error;

/// Why a step was not made.
#[derive(Debug, Error)]
pub(crate) enum Trouble {
    /// It will be the same the next time.
    #[error("{}", .0.message)]
    Final(Fault),
    /// The next time may be better.
    #[error("{0}")]
    Passing(String),
    /// What is asked for is not there, or not any more.
    #[error("the authority does not know it: {0}")]
    Gone(String),
    #[error("no vault key is configured")]
    NoVault,
    #[error(transparent)]
    Vault(#[from] Undecryptable),
    #[error(transparent)]
    Database(#[from] Failure),
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => of(&problem),
            Error::Json(error) => {
                let message = "the authority answers with what is not ACME v2";
                Self::Passing(format!("{message} ({error}): check acme.directory"))
            }
            Error::Other(error) => Self::Passing(format!("the authority cannot be reached: {error}")),
            error => Self::Passing(error.to_string()),
        }
    }
}

/// What an authority says went wrong.
pub(super) fn words(problem: &Problem) -> String {
    match &problem.detail {
        Some(detail) if problem.subproblems.is_empty() => detail.clone(),
        _ => problem.to_string(),
    }
}

/// Whether it only has to be said again.
pub(super) fn is_bad_nonce(error: &Error) -> bool {
    matches!(error, Error::Api(problem) if kind(problem) == "badNonce")
}

fn kind(problem: &Problem) -> &str {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(kind)
}

fn of(problem: &Problem) -> Trouble {
    let words = words(problem);
    match (kind(problem), problem.status) {
        ("accountDoesNotExist", _) => Trouble::Final(Fault::unregistered()),
        // An order that has gone on meanwhile is looked at again.
        ("badNonce" | "serverInternal" | "orderNotReady", _) | (_, Some(500..)) => Trouble::Passing(words),
        ("malformed" | "unauthorized", Some(403 | 404)) => Trouble::Gone(words),
        _ => Trouble::Final(Fault::new("acme_client", words)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(kind: &str, status: u16) -> Trouble {
        let problem = Problem {
            r#type: Some(format!("urn:ietf:params:acme:error:{kind}")),
            detail: Some("why".to_owned()),
            status: Some(status),
            subproblems: Vec::new(),
        };
        Error::Api(problem).into()
    }

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        assert!(matches!(trouble("badNonce", 400), Trouble::Passing(_)));
        assert!(matches!(trouble("serverInternal", 500), Trouble::Passing(_)));
        assert!(matches!(trouble("orderNotReady", 403), Trouble::Passing(_)));
        assert!(matches!(trouble("malformed", 404), Trouble::Gone(_)));
        assert!(matches!(trouble("unknown", 503), Trouble::Passing(_)));
        let field = |trouble| match trouble {
            Trouble::Final(fault) => (fault.field, fault.message),
            other => panic!("{other:?}"),
        };
        assert_eq!(field(trouble("rateLimited", 429)), ("acme_client", "why".to_owned()));
        assert_eq!(field(trouble("rejectedIdentifier", 400)), ("acme_client", "why".to_owned()));
        assert_eq!(field(trouble("accountDoesNotExist", 400)).0, "le_registration");
    }
}
