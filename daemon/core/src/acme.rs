//! What comes next with an order at a certificate authority (ACME v2, RFC 8555): decided from what is recorded of it
//! and from what the authority says of it at that moment, and from nothing else. So whoever leads after a crash goes on
//! where the order is, and nothing that takes effect elsewhere is repeated unseen.

mod decide;
mod issued;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

pub use decide::{Next, Then, decide};
pub use issued::{IssuedChain, issued, pkcs8};

/// How long an authority may take to look at each domain, once it was told that the answer is there.
pub const VERIFY_WITHIN: Duration = Duration::from_secs(30);
/// How long the deploy of a service may take that answers a challenge.
pub const DEPLOY_WITHIN: Duration = Duration::from_secs(300);
/// More domains no authority puts into one certificate.
pub const DOMAINS_MAX: usize = 100;
/// The pause after the first failed renewal; doubles with each further one.
const RENEWAL_PAUSE: Duration = Duration::from_secs(3600);
const RENEWAL_PAUSE_MAX: Duration = Duration::from_secs(24 * 3600);

/// What an order is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// To know the challenge of a domain.
    Offer,
    /// To have a domain proven, so that a certificate for several can be ordered.
    Prove,
    /// To have a certificate.
    Issue,
}

/// How a domain is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `dns-01`: by a record that a person makes.
    Dns,
    /// `http-01`: by a file that the linked service serves.
    Http,
}

impl Method {
    /// As the protocol calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns-01",
            Self::Http => "http-01",
        }
    }

    /// The method of this name, if there still is one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Dns, Self::Http].into_iter().find(|method| method.name() == name)
    }
}

/// Why an order ends without what it was for, under the name of the field that the original has for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Such as `challenge` or `acme_client`.
    pub field: &'static str,
    /// For people.
    pub message: String,
}

impl Fault {
    /// A fault of this field.
    #[must_use]
    pub fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self { field, message: message.into() }
    }

    /// There is no account at the authority. The command line registers one, and tries again.
    #[must_use]
    pub fn unregistered() -> Self {
        Self::new("le_registration", "Let's Encrypt registration missing")
    }

    /// A domain that was never authorized.
    #[must_use]
    pub fn unauthorized(domain: &str) -> Self {
        Self::new("authorization", format!("Domain authorization not found for domain {domain}"))
    }

    /// A domain whose method no authority offers any more.
    #[must_use]
    pub fn outdated(domain: &str, method: &str) -> Self {
        let message = format!(
            "No authority offers {method} any more: authorize the domain {domain} again, by http-01 or dns-01"
        );
        Self::new("authorization", message)
    }
}

/// What is recorded of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// What for.
    pub goal: Goal,
    /// Since it was asked for.
    pub age: Duration,
    /// Since the authority was first told that answers are there.
    pub answered: Option<Duration>,
    /// Whether the certificate's private key is kept.
    pub keyed: bool,
}

/// How far an order is, as the authority says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Domains wait to be proven.
    Pending,
    /// All are: it can be finalized.
    Ready,
    /// The certificate is being made.
    Processing,
    /// It is made.
    Valid,
    /// It has failed, or its time is over.
    Invalid,
}

/// How far the proof of a domain is, as the authority says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProofStatus {
    /// Not proven yet.
    Pending,
    /// Proven.
    Valid,
    /// Refused, with what the authority says.
    Refused(String),
}

/// What the authority asks for to prove a domain by the method chosen.
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Names it.
    pub token: String,
    /// What answers it.
    pub answer: String,
    /// Whether the authority waits to be told that the answer is there.
    pub waits: bool,
    /// Whether this process has told it.
    pub told: bool,
}

/// Beside tokens nothing in here is for anybody's eyes but those of the authority.
impl std::fmt::Debug for Challenge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Challenge")
            .field("waits", &self.waits)
            .field("told", &self.told)
            .finish_non_exhaustive()
    }
}

/// How far the deploy of the service is that answers a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deploying {
    /// None is needed, or it is done.
    Done,
    /// Under way.
    Open,
    /// It has failed.
    Failed,
}

/// What is recorded of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// How it is to be proven.
    pub method: Method,
    /// The challenge whose answer stands in the authorization.
    pub token: Option<String>,
    /// Whether the authorization was written for this order.
    pub own: bool,
    /// How far the service is that answers.
    pub deploying: Deploying,
}

/// One domain of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Which.
    pub domain: String,
    /// As the authority says.
    pub status: ProofStatus,
    /// Of the method that is held. `None`: the authority does not offer it.
    pub challenge: Option<Challenge>,
    /// `None`: the authorization was removed.
    pub held: Option<Held>,
}

/// An order as the authority shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// How far it is.
    pub status: Status,
    /// Why it failed, if the authority says so of the order as a whole.
    pub error: Option<String>,
    /// Domain by domain.
    pub proofs: Vec<Proof>,
}

/// How long to wait after so many failed renewals of a certificate.
#[must_use]
pub fn renewal_pause(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => RENEWAL_PAUSE.saturating_mul(1 << doublings.min(16)).min(RENEWAL_PAUSE_MAX),
    }
}

/// Whether a text can be a domain that authorities put into certificates, a wildcard included.
#[must_use]
pub fn is_domain(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && name.contains('.') && name.split('.').all(is_label)
}

/// What the record that proves a domain is called within it. Clients append the domain themselves.
pub const RECORD: &str = "_acme-challenge";

/// Where the record stands that proves a domain.
#[must_use]
pub fn record_name(domain: &str) -> String {
    format!("{RECORD}.{}", domain.strip_prefix("*.").unwrap_or(domain))
}

/// What answers a challenge: the content of the file, or of the record.
#[must_use]
pub fn answer(method: Method, token: &str, thumbprint: &str) -> String {
    let content = format!("{token}.{thumbprint}");
    match method {
        Method::Http => content,
        Method::Dns => URL_SAFE_NO_PAD.encode(Sha256::digest(content)),
    }
}

/// Whether a text can be the token of a challenge: it becomes a part of a path and the name of a variable.
#[must_use]
pub fn is_token(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_told_from_what_is_none() {
        for domain in ["example.com", "a-b.example.com", "*.example.com", "1.example.co"] {
            assert!(is_domain(domain), "{domain}");
        }
        let long = format!("{}.com", "a".repeat(64));
        for text in
            ["", "localhost", "a..b", "*.*.com", "-a.com", "a.com.", "Example.com", "a_b.com", "a/b.c", &long]
        {
            assert!(!is_domain(text), "{text}");
        }
        assert_eq!(record_name("*.example.com"), "_acme-challenge.example.com");
        assert!(is_token("aZ0-_") && !is_token("") && !is_token("a/b") && !is_token(&"a".repeat(129)));
    }

    #[test]
    fn failed_renewals_are_tried_again_ever_later_but_each_day() {
        let hours: Vec<u64> = [0, 1, 2, 3, 5, 6, 40].map(|n| renewal_pause(n).as_secs() / 3600).to_vec();
        assert_eq!(hours, [0, 1, 2, 4, 16, 24, 24]);
    }
}
