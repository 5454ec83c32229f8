//! The secrets of an instance, in the order in which its agent must have them: of the vault, certificates, and the
//! answers to pending challenges of certificate authorities.

use std::collections::HashMap;
use std::fmt;

use thiserror::Error;

use super::pod::Service;
use crate::id::Id;
use crate::vault::{Undecryptable, Vault};

/// Something secret that a service wants in its environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretUse {
    /// How the instance calls it.
    pub name: String,
    /// How it is handed over: `env`.
    pub kind: String,
    /// The name of a secret in the vault, or the subject of a certificate.
    pub source: String,
}

/// A certificate as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptCertificate {
    /// PEM.
    pub certificate: String,
    /// PEM of the issuers; empty without any.
    pub chain: String,
    /// Encrypted PEM.
    pub private_key: String,
}

/// How a challenge is answered.
#[derive(Clone, PartialEq, Eq)]
pub enum Challenge {
    /// By a file at a path with this token.
    Http {
        /// The last part of the path.
        token: String,
        /// What is in the file.
        content: String,
    },
    /// By a certificate for this domain.
    TlsSni {
        /// Whose it claims to be.
        domain: String,
        /// Encrypted PEM.
        certificate: String,
    },
}

/// What is kept for the services of a grid, encrypted as it is stored.
#[derive(Clone, Default)]
pub struct Safe {
    /// Values by the names of the secrets.
    pub secrets: HashMap<String, String>,
    /// By their subjects.
    pub certificates: HashMap<String, KeptCertificate>,
    /// Pending ones, by the service that answers them.
    pub challenges: HashMap<Id, Vec<Challenge>>,
}

impl fmt::Debug for Safe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Safe(..)")
    }
}

/// A secret as an instance gets it.
#[derive(Clone, PartialEq, Eq)]
pub struct PodSecret {
    /// How the instance calls it.
    pub name: String,
    /// How it is handed over.
    pub kind: String,
    /// None: there is nothing of this name.
    pub value: Option<String>,
}

impl fmt::Debug for PodSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PodSecret({})", self.name)
    }
}

/// The secrets of an instance cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Sealed {
    /// This master has no vault key.
    #[error("this master has no vault key")]
    NoVault,
    /// What is stored cannot be decrypted.
    #[error(transparent)]
    Undecryptable(#[from] Undecryptable),
}

const ENVIRONMENT: &str = "env";

impl Service {
    /// Its secrets, readable.
    pub fn open_secrets(&self, safe: &Safe, vault: Option<&Vault>) -> Result<Vec<PodSecret>, Sealed> {
        let open =
            |stored: &str| -> Result<String, Sealed> { Ok(vault.ok_or(Sealed::NoVault)?.decrypt(stored)?) };
        let mut secrets = Vec::new();
        for SecretUse { name, kind, source } in &self.secrets {
            let value = safe.secrets.get(source).map(|stored| open(stored)).transpose()?;
            secrets.push(PodSecret { name: name.clone(), kind: kind.clone(), value });
        }
        for SecretUse { name, kind, source } in &self.certificates {
            let bundle = |kept: &KeptCertificate| -> Result<String, Sealed> {
                let KeptCertificate { certificate, chain, private_key } = kept;
                Ok(line_ended(certificate) + &line_ended(chain) + &open(private_key)?)
            };
            let value = safe.certificates.get(source).map(bundle).transpose()?;
            secrets.push(PodSecret { name: name.clone(), kind: kind.clone(), value });
        }
        for challenge in safe.challenges.get(&self.id).map(Vec::as_slice).unwrap_or_default() {
            let (name, value) = match challenge {
                Challenge::Http { token, content } => (format!("ACME_CHALLENGE_{token}"), content.clone()),
                Challenge::TlsSni { domain, certificate } => {
                    let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '_' };
                    let domain: String = domain.chars().map(plain).collect();
                    (format!("SSL_CERT_acme_challenge_{domain}"), open(certificate)?)
                }
            };
            secrets.push(PodSecret { name, kind: ENVIRONMENT.to_owned(), value: Some(value) });
        }
        Ok(secrets)
    }
}

/// What is put one behind the other in a file needs the end of its last line.
fn line_ended(pem: &str) -> String {
    if pem.is_empty() || pem.ends_with('\n') { pem.to_owned() } else { format!("{pem}\n") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::pod::tests::service;

    const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn wanted(name: &str, source: &str) -> SecretUse {
        SecretUse { name: name.to_owned(), kind: ENVIRONMENT.to_owned(), source: source.to_owned() }
    }

    fn shown(secrets: &[PodSecret]) -> Vec<(&str, Option<&str>)> {
        secrets.iter().map(|secret| (secret.name.as_str(), secret.value.as_deref())).collect()
    }

    #[test]
    fn secrets_come_before_certificates_and_these_before_challenges() {
        let vault = Vault::new(KEY, None);
        let sealed = |text: &str| vault.encrypt(text, [7; 16]);
        let mut web = service("web", &[]);
        web.secrets = vec![wanted("PASSWORD", "db"), wanted("NONE", "unknown")];
        web.certificates = vec![wanted("SSL_CERTS", "shop.example.com")];
        let kept = KeptCertificate {
            certificate: "CERT".to_owned(),
            chain: "CHAIN\n".to_owned(),
            private_key: sealed("KEY\n"),
        };
        let challenges = vec![
            Challenge::Http { token: "tok".to_owned(), content: "tok.thumb".to_owned() },
            Challenge::TlsSni { domain: "shop-1.example.com".to_owned(), certificate: sealed("PEM") },
        ];
        let safe = Safe {
            secrets: HashMap::from([("db".to_owned(), sealed("hush"))]),
            certificates: HashMap::from([("shop.example.com".to_owned(), kept)]),
            challenges: HashMap::from([(web.id, challenges)]),
        };
        let secrets = web.open_secrets(&safe, Some(&vault)).unwrap();
        let expected = [
            ("PASSWORD", Some("hush")),
            ("NONE", None),
            ("SSL_CERTS", Some("CERT\nCHAIN\nKEY\n")),
            ("ACME_CHALLENGE_tok", Some("tok.thumb")),
            ("SSL_CERT_acme_challenge_shop_1_example_com", Some("PEM")),
        ];
        assert_eq!(shown(&secrets), expected);
        assert!(!format!("{secrets:?} {safe:?}").contains("hush"));
    }

    #[test]
    fn what_cannot_be_opened_is_not_left_out() {
        let vault = Vault::new(KEY, None);
        let mut web = service("web", &[]);
        web.secrets = vec![wanted("PASSWORD", "db")];
        let mut safe = Safe::default();
        safe.secrets.insert("db".to_owned(), vault.encrypt("hush", [7; 16]));
        assert_eq!(web.open_secrets(&safe, None), Err(Sealed::NoVault));
        let other = Vault::new(b"another key, which is long enough", None);
        assert!(web.open_secrets(&safe, Some(&other)).is_err());
        // What needs no key is told without one.
        assert_eq!(shown(&web.open_secrets(&Safe::default(), None).unwrap()), [("PASSWORD", None)]);
    }
}
