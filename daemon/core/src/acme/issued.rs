//! What an authority hands over: the certificate and those of its issuers, one behind the other.

use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate with its issuers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedChain {
    /// PEM.
    pub certificate: String,
    /// PEM of the issuers.
    pub chain: String,
    /// Milliseconds since 1970.
    pub valid_until: i64,
}

/// Takes a chain apart. `None`: it is none.
#[must_use]
pub fn issued(pem: &str) -> Option<IssuedChain> {
    const END: &str = "-----END CERTIFICATE-----";
    let begin = pem.find("-----BEGIN CERTIFICATE-----")?;
    let end = pem.find(END)?.checked_add(END.len())?;
    let certificate = pem.get(begin..end)?;
    let chain = pem.get(end..)?.trim();
    let first = Pem::iter_from_buffer(certificate.as_bytes()).next()?.ok()?;
    let (_, parsed) = X509Certificate::from_der(&first.contents).ok()?;
    let valid_until = parsed.validity().not_after.timestamp().checked_mul(1000)?;
    let line_ended = |pem: &str| if pem.is_empty() { String::new() } else { format!("{pem}\n") };
    Some(IssuedChain { certificate: line_ended(certificate), chain: line_ended(chain), valid_until })
}

/// The bytes of a private key in the form PKCS #8. `None`: it is of another form.
#[must_use]
pub fn pkcs8(pem: &str) -> Option<Vec<u8>> {
    let pem = Pem::iter_from_buffer(pem.as_bytes()).next()?.ok()?;
    (pem.label == "PRIVATE KEY").then_some(pem.contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused() {
        for text in [
            "",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "-----END CERTIFICATE-----",
        ] {
            assert_eq!(issued(text), None);
        }
    }
}
