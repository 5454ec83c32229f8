//! What is computed from the vault key.

mod cipher;

use std::fmt::Write as _;

use hkdf::Hkdf;
use sha2::Sha256;

pub use cipher::{Undecryptable, Vault};

/// The shortest vault key that the original accepts, in bytes.
pub const KEY_MIN: usize = 32;
/// The shortest initialisation vector that the original accepts, in bytes.
pub const IV_MIN: usize = 16;

/// A value that only this key and vector can yield, and from which neither can be found. Two masters with the
/// same proof encrypt and decrypt alike.
#[must_use]
pub fn proof(key: &[u8], iv: Option<&[u8]>) -> String {
    let mut bytes = [0; 32];
    let derived = Hkdf::<Sha256>::new(iv, key).expand(b"kontena-master vault proof 1", &mut bytes);
    // 32 bytes are below the function's limit of 8160.
    debug_assert!(derived.is_ok());
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _written = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::proof;

    #[test]
    fn another_key_or_vector_is_another_proof() {
        let key = b"0123456789abcdef0123456789abcdef";
        let one = proof(key, Some(b"fedcba9876543210"));
        assert_eq!(one, proof(key, Some(b"fedcba9876543210")));
        assert_ne!(one, proof(key, Some(b"fedcba9876543211")));
        assert_ne!(one, proof(key, None));
        assert_ne!(one, proof(b"0123456789abcdef0123456789abcdeF", Some(b"fedcba9876543210")));
        assert_eq!(one.len(), 64);
    }
}
