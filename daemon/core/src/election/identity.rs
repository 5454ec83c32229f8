//! Who holds the lease: one process start of one master, named by 128 random bits.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Names one start of one master's process. A restarted master is another holder, so that nothing which was
/// meant for the process before it can take effect on this one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HolderId([u8; 16]);

/// The text was not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a master's id is 32 hexadecimal digits")]
pub struct InvalidHolderId;

impl HolderId {
    /// Takes 16 bytes, which must come from a cryptographic source of randomness.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for HolderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for HolderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HolderId({self})")
    }
}

impl FromStr for HolderId {
    type Err = InvalidHolderId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.as_bytes();
        if text.len() != 32 {
            return Err(InvalidHolderId);
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            let (high, low) = (digit(pair[0]), digit(pair[1]));
            *byte = high.zip(low).map(|(high, low)| high << 4 | low).ok_or(InvalidHolderId)?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_are_the_same_id() {
        let id = HolderId::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 254, 255, 160]);
        assert_eq!(id.to_string(), "000102030405060708090a0b0cfeffa0");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn what_is_not_32_hexadecimal_digits_is_refused() {
        for text in ["", "00", "zz0102030405060708090a0b0cfeffa0", "0000102030405060708090a0b0cfeffa0"] {
            assert_eq!(text.parse::<HolderId>(), Err(InvalidHolderId), "{text}");
        }
    }
}
