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
        let private_key = self::private_key(&private_key);
        if private_key.is_none() {
            faults.add("private_key", "Could not parse PKey: no start line");
        }
        if chain.iter().any(|link| self::facts(link).is_none()) {
            faults.add("chain", "not enough data");
        }
        let (Some(facts), Some(private_key)) = (facts, private_key) else { return Err(faults) };
        let Facts { subject: found, alt_names, valid_until } = facts;
        faults.check()?;
        if found != subject {
            let message =
                format!("Certificate subject '{found}' does not match expected subject '{subject}'");
            return Err(Invalid::of("subject", message));
        }
        let chain: Vec<String> = chain.iter().map(|link| with_line_end(link)).collect();
        let certificate = with_line_end(&certificate);
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

/// The first private key of a file, as the original writes it again: alone, and RSA keys in their own form, not wrapped.
/// Programs write parameters before a key. The original only parses the key, and so do we: whether it belongs to the
/// certificate is not asked. What is encrypted nobody can read without its passphrase.
fn private_key(text: &str) -> Option<String> {
    let is_key = |pem: &Pem| pem.label == "PRIVATE KEY" || pem.label.ends_with(" PRIVATE KEY");
    // A block that cannot be read may be the key, which is then not looked for behind it.
    let block = Pem::iter_from_buffer(text.as_bytes()).find(|block| block.as_ref().map_or(true, is_key));
    let Pem { label, contents } = block?.ok()?;
    if label == "ENCRYPTED PRIVATE KEY" || contents.first() != Some(&0x30) {
        return None;
    }
    let unwrapped = if label == "PRIVATE KEY" { rsa(&contents) } else { None };
    Some(match unwrapped {
        Some(key) => encoded("RSA PRIVATE KEY", &key),
        None => encoded(&label, &contents),
    })
}

/// The RSA key that is wrapped in this one.
fn rsa(wrapped: &[u8]) -> Option<Vec<u8>> {
    let (_, info) = parse_der_sequence(wrapped).ok()?;
    let mut fields = info.as_sequence().ok()?.iter();
    let algorithm = fields.nth(1)?.as_sequence().ok()?.first()?.as_oid().ok()?;
    let key = fields.next()?.as_slice().ok()?;
    (algorithm == &OID_PKCS1_RSAENCRYPTION).then(|| key.to_vec())
}

fn encoded(label: &str, contents: &[u8]) -> String {
    let encoded = STANDARD.encode(contents);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in encoded.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(label: &str, contents: &str) -> String {
        format!("-----BEGIN {label}-----\n{contents}\n-----END {label}-----\n")
    }

    #[test]
    fn a_key_is_found_behind_its_parameters_and_kept_alone() {
        let (parameters, key) = (block("EC PARAMETERS", "BggqhkjOPQMBBw=="), block("EC PRIVATE KEY", "MIIB"));
        let certificate = block("CERTIFICATE", "MIIC");
        for file in [
            key.clone(),
            key.trim_end().replace('\n', "\r\n"),
            format!("{parameters}{key}"),
            format!("Bag Attributes: none\n{certificate}{key}{certificate}"),
            format!("{key}{}", block("PRIVATE KEY", "MIID")),
        ] {
            assert_eq!(private_key(&file).as_ref(), Some(&key), "{file}");
        }
        let wrapped = block("PRIVATE KEY", &STANDARD.encode([0x30; 100]));
        let lines: Vec<usize> = wrapped.lines().map(str::len).collect();
        assert_eq!(lines, [27, 136, 25], "one long line");
        let kept = private_key(&wrapped).unwrap();
        assert_eq!(kept.lines().map(str::len).collect::<Vec<_>>(), [27, 64, 64, 8, 25]);
    }

    #[test]
    fn rsa_keys_are_unwrapped() {
        let rsa = block("PRIVATE KEY", "MBYCAQAwDQYJKoZIhvcNAQEBBQAEAjAA");
        assert_eq!(private_key(&rsa), Some(block("RSA PRIVATE KEY", "MAA=")));
    }

    #[test]
    fn what_is_no_key_and_what_is_encrypted_is_refused() {
        let key = block("PRIVATE KEY", "MIIB");
        let headers = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMIIB";
        for file in [
            String::new(),
            "garbage".to_owned(),
            block("EC PARAMETERS", "BggqhkjOPQMBBw=="),
            block("CERTIFICATE", "MIIB"),
            block("SOME OTHERPRIVATE KEY", "MIIB"),
            block("OPENSSH PRIVATE KEY", "b3BlbnNzaA=="),
            block("PRIVATE KEY", ""),
            block("ENCRYPTED PRIVATE KEY", "MIIB"),
            format!("{}{key}", block("ENCRYPTED PRIVATE KEY", "MIIB")),
            format!("{}{key}", block("RSA PRIVATE KEY", headers)),
        ] {
            assert_eq!(private_key(&file), None, "{file}");
        }
    }
}
