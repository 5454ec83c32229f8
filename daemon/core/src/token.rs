//! Tokens, and the digests by which they are found without being stored.

use std::fmt;
use std::fmt::Write as _;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What a digest of ours starts with; the original's start with `$2a$`.
const PREFIX: &str = "$hs256$";
/// The bcrypt cost and version that the original's salt names, and the length of the whole salt.
const SALT_LENGTH: usize = 29;

/// The length of a key of digests, in bytes.
pub const KEY_LENGTH: usize = 32;

/// A digest as `access_tokens` stores it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Digest(String);

impl Digest {
    /// As it is stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Computes the digests of new tokens.
#[derive(Clone)]
pub struct Digester {
    key: [u8; KEY_LENGTH],
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digester(..)")
    }
}

impl Digester {
    /// Keyed by a secret that all masters share.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        let mut key = [0; KEY_LENGTH];
        let derived = Hkdf::<Sha256>::new(None, secret).expand(b"kontena-master token digest 1", &mut key);
        // 32 bytes are below the function's limit of 8160.
        debug_assert!(derived.is_ok());
        Self { key }
    }

    /// The digest of a token.
    #[must_use]
    pub fn digest(&self, token: &str) -> Digest {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return Digest(String::new()) };
        mac.update(token.as_bytes());
        let mut text = PREFIX.to_owned();
        for byte in mac.finalize().into_bytes() {
            // Writing to a string does not fail.
            let _written = write!(text, "{byte:02x}");
        }
        Digest(text)
    }
}

/// The salt that all digests of the original in one database share.
#[derive(Clone)]
pub struct OriginalSalt([u8; 16]);

impl fmt::Debug for OriginalSalt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OriginalSalt(..)")
    }
}

impl OriginalSalt {
    /// Reads `$2a$10$` and 22 characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != SALT_LENGTH || !text.starts_with("$2a$10$") {
            return None;
        }
        let whole = format!("{text}{}", ".".repeat(31));
        Some(Self(whole.parse::<bcrypt::HashParts>().ok()?.get_salt_raw()))
    }

    /// The original's digest of a token. Takes some 50 ms by design.
    #[must_use]
    pub fn digest(&self, token: &str) -> Option<Digest> {
        let parts = bcrypt::hash_with_salt(token, 10, self.0).ok()?;
        Some(Digest(parts.format_for_version(bcrypt::Version::TwoA)))
    }
}

/// Whether a text can be an access token at all: 64 hexadecimal digits.
#[must_use]
pub fn is_access_token(text: &str) -> bool {
    is_hexadecimal(text, 64)
}

/// Whether a text can be a refresh token at all: 128 hexadecimal digits.
#[must_use]
pub fn is_refresh_token(text: &str) -> bool {
    is_hexadecimal(text, 128)
}

fn is_hexadecimal(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The last four characters, by which people recognise a token.
#[must_use]
pub fn last_four(token: &str) -> &str {
    token.get(token.len().saturating_sub(4)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_the_original_are_found_again() {
        let salt = OriginalSalt::parse("$2a$10$abcdefghijklmnopqrstuu").unwrap();
        for (times, expected) in [
            (4, "$2a$10$abcdefghijklmnopqrstuuyNBWnkFBF2gFsElT.oq91tNRwfRrNgK"),
            (8, "$2a$10$abcdefghijklmnopqrstuu06nUpE3P1ctU6HRYWeskI/.tL8eUrLa"),
        ] {
            let token = "0123456789abcdef".repeat(times);
            assert_eq!(salt.digest(&token).unwrap().as_str(), expected);
        }
        assert!(OriginalSalt::parse("$2a$10$short").is_none());
        assert!(OriginalSalt::parse("$2b$10$abcdefghijklmnopqrstuu").is_none());
    }

    #[test]
    fn our_digest_depends_on_token_and_key() {
        let (one, other) = (Digester::new(b"one"), Digester::new(b"other"));
        assert_eq!(one.digest("token"), one.digest("token"));
        assert_ne!(one.digest("token"), one.digest("token2"));
        assert_ne!(one.digest("token"), other.digest("token"));
        assert!(one.digest("token").as_str().starts_with(PREFIX));
        assert_eq!(one.digest("token").as_str().len(), PREFIX.len() + 64);
    }
}
