//! Certificates that somebody else issued.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use x509_parser::der_parser::der::parse_der_sequence;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::OID_PKCS1_RSAENCRYPTION;
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::form::{Form, Invalid, list, text};

/// A certificate to be kept. The key never shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateImport {
    /// The domain in its subject.
    pub subject: String,
    /// Further domains.
    pub alt_names: Vec<String>,
    /// Milliseconds since 1970.
    pub valid_until: i64,
    /// PEM.
    pub certificate: String,
    /// PEM of the issuers, one after another.
    pub chain: String,
    /// PEM.
    pub private_key: String,
}

impl fmt::Debug for CertificateImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateImport").field("subject", &self.subject).finish_non_exhaustive()
    }
}

struct Facts {
    subject: String,
    alt_names: Vec<String>,
    valid_until: i64,
}

impl CertificateImport {
    /// Reads and judges a request to keep a certificate as that of `subject`.
    pub fn read(input: &Map<String, Value>, subject: &str) -> Result<Self, Invalid> {
        let mut form = Form::new(input);
        let certificate = form.required("certificate", &text());
        let private_key = form.required("private_key", &text());
        let chain = form.optional("chain", &list(text())).unwrap_or_default();
        let (certificate, private_key) = form.conclude(certificate.zip(private_key))?;
        let mut faults = Invalid::default();
        let facts = facts(&certificate);
        if facts.is_none() {
            faults.add("certificate", "not enough data");
        }
        if !is_private_key(&private_key) {
            faults.add("private_key", "Could not parse PKey: no start line");
        }
        if chain.iter().any(|link| self::facts(link).is_none()) {
            faults.add("chain", "not enough data");
        }
        let Some(Facts { subject: found, alt_names, valid_until }) = facts else { return Err(faults) };
        faults.check()?;
        if found != subject {
            let message =
                format!("Certificate subject '{found}' does not match expected subject '{subject}'");
            return Err(Invalid::of("subject", message));
        }
        let chain: Vec<String> = chain.iter().map(|link| with_line_end(link)).collect();
        let (certificate, private_key) = (with_line_end(&certificate), traditional(&private_key));
        Ok(Self { subject: found, alt_names, valid_until, certificate, chain: chain.concat(), private_key })
    }
}

/// What is read between the marks is put together again byte for byte by the clients.
fn with_line_end(pem: &str) -> String {
    format!("{}\n", pem.trim_end())
}

fn pem(text: &str) -> Option<Pem> {
    Pem::iter_from_buffer(text.as_bytes()).next()?.ok()
}

fn facts(text: &str) -> Option<Facts> {
    let pem = pem(text).filter(|pem| pem.label == "CERTIFICATE")?;
    let (_, certificate) = X509Certificate::from_der(&pem.contents).ok()?;
    let subject = certificate.subject().iter_common_name().next()?.as_str().ok()?.to_owned();
    let alternatives = certificate.subject_alternative_name().ok()?;
    let names = alternatives.iter().flat_map(|names| &names.value.general_names);
    let alt_names = names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) if *name != subject => Some((*name).to_owned()),
            _ => None,
        })
        .collect();
    let valid_until = certificate.validity().not_after.timestamp().checked_mul(1000)?;
    Some(Facts { subject, alt_names, valid_until })
}

/// The key as the original writes it again: RSA keys in their own form, not wrapped.
fn traditional(text: &str) -> String {
    let unwrapped = pem(text).filter(|pem| pem.label == "PRIVATE KEY").and_then(|pem| {
        let (_, info) = parse_der_sequence(&pem.contents).ok()?;
        let mut fields = info.as_sequence().ok()?.iter();
        let algorithm = fields.nth(1)?.as_sequence().ok()?.first()?.as_oid().ok()?;
        let key = fields.next()?.as_slice().ok()?;
        (algorithm == &OID_PKCS1_RSAENCRYPTION).then(|| key.to_vec())
    });
    let Some(key) = unwrapped else { return with_line_end(text) };
    let encoded = STANDARD.encode(key);
    let mut pem = "-----BEGIN RSA PRIVATE KEY-----\n".to_owned();
    for line in encoded.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END RSA PRIVATE KEY-----\n");
    pem
}

/// The original only parses the key, and so do we: whether it belongs to the certificate is not asked.
fn is_private_key(text: &str) -> bool {
    pem(text).is_some_and(|pem| pem.label.ends_with("PRIVATE KEY") && pem.contents.first() == Some(&0x30))
}
