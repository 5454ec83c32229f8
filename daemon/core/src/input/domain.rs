//! Certificates from a certificate authority, and the proofs of domains that they need.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::is_strict_name;
use crate::acme::{DOMAINS_MAX, is_domain};
use crate::form::{Form, Invalid, list, text};

/// No address is longer.
const EMAIL_MAX: usize = 254;

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
        if !is_domain(&request.domain) {
            faults.add("domain", "Domain isn't a domain name");
        }
        faults.check()?;
        Ok(request)
    }
}

/// An address at which an authority may reach the owner of a grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Of an electronic letter box.
    pub email: String,
}

impl Registration {
    /// Reads a request.
    pub fn read(input: &Map<String, Value>) -> Result<Self, Invalid> {
        let mut form = Form::new(input);
        let email = form.required("email", &text().max(EMAIL_MAX));
        form.conclude(email.map(|email| Self { email }))
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
        let mut request = form.conclude(domains.map(|domains| Self { domains }))?;
        let mut seen = BTreeSet::new();
        request.domains.retain(|domain| seen.insert(domain.clone()));
        let count = request.domains.len();
        if count == 0 {
            return Err(Invalid::of("domains", "Domains can't be blank"));
        }
        if count > DOMAINS_MAX {
            return Err(Invalid::of("domains", format!("Domains are {count}: at most {DOMAINS_MAX} fit")));
        }
        Ok(request)
    }
}

/// The same in the way of old command lines, which keep what is issued as secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretCertificateRequest {
    /// How the names of the secrets begin.
    pub secret_name: String,
    /// The first is the subject.
    pub domains: Vec<String>,
    /// `cert`, `chain` or `fullchain`.
    pub cert_type: String,
}

impl SecretCertificateRequest {
    /// Reads a request.
    pub fn read(input: &Map<String, Value>) -> Result<Self, Invalid> {
        let mut form = Form::new(input);
        let name = form.required("secret_name", &text().matching(is_strict_name));
        let cert_type = form.optional("cert_type", &text().one_of(&["cert", "chain", "fullchain"]));
        let secret_name = form.conclude(name)?;
        let CertificateRequest { domains } = CertificateRequest::read(input)?;
        let cert_type = cert_type.unwrap_or_else(|| "fullchain".to_owned());
        Ok(Self { secret_name, domains, cert_type })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(body: &Value) -> Result<Vec<String>, Invalid> {
        let fields = body.as_object().cloned().unwrap_or_default();
        CertificateRequest::read(&fields).map(|request| request.domains)
    }

    #[test]
    fn domains_are_named_once_and_not_too_many() {
        assert_eq!(request(&json!({ "domains": ["b.c", "a.c", "b.c"] })).unwrap(), ["b.c", "a.c"]);
        assert!(request(&json!({ "domains": [] })).is_err());
        let many: Vec<String> = (0..=DOMAINS_MAX).map(|number| format!("{number}.c")).collect();
        assert!(request(&json!({ "domains": many })).is_err());
    }
}
