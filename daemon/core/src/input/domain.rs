//! Certificates from a certificate authority, and the proofs of domains that they need.

use serde_json::{Map, Value};

use crate::form::{Form, Invalid, list, text};

/// A domain that shall be proven to be the grid's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainAuthorizationRequest {
    /// Which.
    pub domain: String,
    /// `dns-01`, `http-01` or `tls-sni-01`.
    pub authorization_type: String,
    /// The service that answers the challenge, `stack/service`.
    pub linked_service: Option<String>,
}

impl DomainAuthorizationRequest {
    /// Reads and judges a request. `registered` says whether the grid has an account at the authority.
    pub fn read(input: &Map<String, Value>, registered: bool) -> Result<Self, Invalid> {
        let mut form = Form::new(input);
        let domain = form.required("domain", &text());
        let types = text().one_of(&["dns-01", "http-01", "tls-sni-01"]);
        let authorization_type = form.optional("authorization_type", &types);
        let linked_service = form.optional("linked_service", &text());
        let authorization_type = authorization_type.unwrap_or_else(|| "dns-01".to_owned());
        let made = domain.map(|domain| Self { domain, authorization_type, linked_service });
        let request = form.conclude(made)?;
        let mut faults = Invalid::default();
        if !registered {
            faults.add("le_registration", "Let's Encrypt registration missing");
        }
        let kind = &request.authorization_type;
        match (&request.linked_service, kind == "dns-01") {
            (None, false) => faults.add(
                "linked_service",
                format!("Service link needs to be given for the {kind} authorization type"),
            ),
            (Some(_), true) => faults.add(
                "linked_service",
                format!("Service link cannot be given for the {kind} authorization type"),
            ),
            (None, true) | (Some(_), false) => {}
        }
        faults.check()?;
        Ok(request)
    }
}

/// Domains for which a certificate shall be issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    /// The first is the subject.
    pub domains: Vec<String>,
}

impl CertificateRequest {
    /// Reads a request.
    pub fn read(input: &Map<String, Value>) -> Result<Self, Invalid> {
        let mut form = Form::new(input);
        let domains = form.required("domains", &list(text()));
        form.conclude(domains.map(|domains| Self { domains }))
    }
}
