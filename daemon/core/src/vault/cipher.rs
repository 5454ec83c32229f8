//! The vault's cipher, compatible in both directions with what the original wrote: AES-256-CBC under a key
//! derived from the vault key, the vector in a header before the text, Base64 around both.

use std::fmt;
use std::io::Read;

use aes::Aes256;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use flate2::read::ZlibDecoder;
use hkdf::Hkdf;
use sha2::Sha256;
use thiserror::Error;

use super::{IV_MIN, KEY_MIN};

/// Old writers left the padding out or broke lines: both are read.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
const MAGIC: &[u8] = b"@EnC";
/// The version in the low byte of the flags.
const VERSION: u8 = 1;
const HAS_NAME: u16 = 1 << 12;
const HAS_KEY: u16 = 1 << 13;
const HAS_IV: u16 = 1 << 14;
const COMPRESSED: u16 = 1 << 15;
/// The original breaks lines after so many characters.
const LINE: usize = 60;
/// A compressed value may not unfold to more.
const UNCOMPRESSED_MAX: u64 = 16 << 20;

type Key = [u8; 32];
type Iv = [u8; 16];

/// What encrypts and decrypts values. It never shows in `Debug`.
#[derive(Clone)]
pub struct Vault {
    primary: Key,
    /// For what the original wrote before its version 1.5.
    legacy: Option<(Key, Iv)>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(..)")
    }
}

/// A stored value cannot be decrypted. What it holds is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Undecryptable {
    /// Not the form in which values are stored.
    #[error("the stored value is damaged")]
    Damaged,
    /// A header of an unknown version.
    #[error("the stored value was written with version {0} of the vault, which is not known")]
    Version(u8),
    /// The padding is wrong.
    #[error("the stored value was encrypted with another vault key")]
    Key,
}

struct Header {
    version: u8,
    iv: Option<Iv>,
    compressed: bool,
}

impl Vault {
    /// Derives the keys. `key` and `iv` are at least [`KEY_MIN`] and [`IV_MIN`] bytes long.
    #[must_use]
    pub fn new(key: &[u8], iv: Option<&[u8]>) -> Self {
        let mut primary = [0; 32];
        let derived = Hkdf::<Sha256>::new(Some(&[0; 32]), key).expand(&[], &mut primary);
        // 32 bytes are below the function's limit of 8160.
        debug_assert!(derived.is_ok());
        let legacy = iv
            .and_then(|iv| Some((key.get(..KEY_MIN)?.try_into().ok()?, iv.get(..IV_MIN)?.try_into().ok()?)));
        Self { primary, legacy }
    }

    /// Encrypts under a vector that must be random and fresh. The empty text stays empty.
    #[must_use]
    pub fn encrypt(&self, text: &str, iv: [u8; 16]) -> String {
        if text.is_empty() {
            return String::new();
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend((u16::from(VERSION) | HAS_IV).to_le_bytes());
        bytes.extend(16_u16.to_le_bytes());
        bytes.extend(iv);
        bytes.extend(
            cbc::Encryptor::<Aes256>::new(&self.primary.into(), &iv.into())
                .encrypt_padded_vec::<Pkcs7>(text.as_bytes()),
        );
        let encoded = BASE64.encode(bytes);
        let mut lines = String::with_capacity(encoded.len() + encoded.len() / LINE + 1);
        let mut rest = encoded.as_str();
        while let Some((line, after)) = rest.split_at_checked(LINE.min(rest.len()))
            && !line.is_empty()
        {
            lines.push_str(line);
            lines.push('\n');
            rest = after;
        }
        lines
    }

    /// Decrypts to text.
    pub fn decrypt(&self, stored: &str) -> Result<String, Undecryptable> {
        // A key that does not fit can leave valid padding, but hardly valid text.
        String::from_utf8(self.decrypt_bytes(stored)?).map_err(|_| Undecryptable::Key)
    }

    fn decrypt_bytes(&self, stored: &str) -> Result<Vec<u8>, Undecryptable> {
        let encoded: Vec<u8> = stored.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        if encoded.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = BASE64.decode(encoded).map_err(|_| Undecryptable::Damaged)?;
        let Some(rest) = bytes.strip_prefix(MAGIC) else {
            let (key, iv) = self.legacy.unwrap_or((self.primary, [0; 16]));
            return open(&key, &iv, &bytes);
        };
        let (header, text) = parse(rest).ok_or(Undecryptable::Damaged)?;
        let (key, default_iv) = match (header.version, self.legacy) {
            (VERSION, _) | (0, None) => (self.primary, [0; 16]),
            (0, Some(legacy)) => legacy,
            (version, _) => return Err(Undecryptable::Version(version)),
        };
        let opened = open(&key, &header.iv.unwrap_or(default_iv), text)?;
        if !header.compressed {
            return Ok(opened);
        }
        let mut unfolded = Vec::new();
        let read = ZlibDecoder::new(opened.as_slice()).take(UNCOMPRESSED_MAX).read_to_end(&mut unfolded);
        read.map_err(|_| Undecryptable::Damaged)?;
        Ok(unfolded)
    }
}

fn open(key: &Key, iv: &Iv, text: &[u8]) -> Result<Vec<u8>, Undecryptable> {
    cbc::Decryptor::<Aes256>::new(key.into(), iv.into())
        .decrypt_padded_vec::<Pkcs7>(text)
        .map_err(|_| Undecryptable::Key)
}

/// Reads what follows the magic bytes: flags, then vector, key and name as far as the flags announce them.
fn parse(bytes: &[u8]) -> Option<(Header, &[u8])> {
    let (flags, mut rest) = number(bytes)?;
    let mut part = |announced: bool| {
        if !announced {
            return Some(None);
        }
        let (length, after) = number(rest)?;
        let (part, after) = after.split_at_checked(usize::from(length))?;
        rest = after;
        Some(Some(part))
    };
    let iv = part(flags & HAS_IV != 0)?;
    part(flags & HAS_KEY != 0)?;
    part(flags & HAS_NAME != 0)?;
    let iv = iv.map(Iv::try_from).transpose().ok()?;
    let [version, _] = flags.to_le_bytes();
    Some((Header { version, iv, compressed: flags & COMPRESSED != 0 }, rest))
}

fn number(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<2>()?;
    Some((u16::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"0123456789abcdef0123456789abcdefEXTRA-vault-key";
    const IV: &[u8] = b"fedcba9876543210fedcba9876543210-iv";
    const TEXT: &str = "s3cr3t-välue";
    const COUNTING: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    #[test]
    fn every_form_that_the_original_wrote_is_read() {
        let vault = Vault::new(KEY, Some(IV));
        for stored in [
            "QEVuQwFAEAAAAQIDBAUGBwgJCgsMDQ4P/WJ9BnKgp2xJv71dluOOxQ==\n",
            "QEVuQwFAEABI7RheCYLkGVSQNJ0d8ShdDdxmRiCv76iyWSmsOnTtdw==\n",
            "QEVuQwEANPrGtqrGtTT8tywH3AoHSg==\n",
            "kB5oDtJoccNyHt6yiNVKLw==\n",
            "QEVuQwBAEAAAAQIDBAUGBwgJCgsMDQ4PMNJfJN56dcRpP2pxCINBvg==\n",
            "kB5oDtJoccNyHt6y\n iNVKLw",
        ] {
            assert_eq!(vault.decrypt(stored).as_deref(), Ok(TEXT), "{stored}");
        }
        assert_eq!(vault.decrypt("").as_deref(), Ok(""));
    }

    #[test]
    fn what_is_written_is_what_the_original_wrote() {
        let vault = Vault::new(KEY, Some(IV));
        assert_eq!(
            vault.encrypt(TEXT, COUNTING),
            "QEVuQwFAEAAAAQIDBAUGBwgJCgsMDQ4P/WJ9BnKgp2xJv71dluOOxQ==\n"
        );
        let long = "line one\n".repeat(50);
        let stored = vault.encrypt(&long, COUNTING);
        assert!(stored.lines().all(|line| line.len() <= 60) && stored.ends_with('\n'));
        assert_eq!(vault.decrypt(&stored).as_deref(), Ok(long.as_str()));
        assert_eq!(vault.encrypt("", COUNTING), "");
    }

    #[test]
    fn the_salt_is_encrypted_twice_whichever_cipher_made_the_inner_layer() {
        let vault = Vault::new(KEY, Some(IV));
        for outer in [
            "QEVuQwFAEAAAAQIDBAUGBwgJCgsMDQ4PyDqiDtZ8H76aRmvTmUMHnTue1hiY\nYOonvo7oDgUP0ubBaNlR6nNVEG5uGocwhjGjXthRBpl4c1rOpRWr6F0www==\n",
            "QEVuQwFAEAAAAQIDBAUGBwgJCgsMDQ4PijUexyha1DmJQTjOqT5EtKQz0ILd\nk/fAzMsZXRHarDpuxfQsNO7dG/qOF4bXrXgc\n",
        ] {
            let inner = vault.decrypt(outer).unwrap();
            assert_eq!(vault.decrypt(&inner).as_deref(), Ok("$2a$10$abcdefghijklmnopqrstuu"));
        }
    }

    #[test]
    fn damage_and_another_key_are_told_apart_from_text() {
        let vault = Vault::new(KEY, Some(IV));
        assert_eq!(vault.decrypt("QEVuQw=="), Err(Undecryptable::Damaged));
        assert_eq!(vault.decrypt("!!"), Err(Undecryptable::Damaged));
        assert_eq!(vault.decrypt("QEVuQwIAAAAA"), Err(Undecryptable::Version(2)));
        let other = Vault::new(b"another key of at least thirty-two bytes", None);
        assert!(other.decrypt("QEVuQwFAEAAAAQIDBAUGBwgJCgsMDQ4P/WJ9BnKgp2xJv71dluOOxQ==\n").is_err());
        assert_eq!(format!("{vault:?}"), "Vault(..)");
    }
}
