//! The name of a document: the database's object id, which clients see as 24 hexadecimal digits.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// An object id. Ids made later by one process compare greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id([u8; 12]);

/// A text is not 24 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not 24 hexadecimal digits")]
pub struct InvalidId;

impl Id {
    /// From the bytes that the database stores.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }

    /// The bytes that the database stores.
    #[must_use]
    pub const fn bytes(self) -> [u8; 12] {
        self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}

impl FromStr for Id {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.as_bytes();
        let mut bytes = [0; 12];
        if digits.len() != 24 {
            return Err(InvalidId);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| {
                let digit = pair.get(at).copied().map(char::from).and_then(|digit| digit.to_digit(16));
                digit.and_then(|digit| u8::try_from(digit).ok()).ok_or(InvalidId)
            };
            *byte = digit(0)? << 4 | digit(1)?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written_and_nothing_else_is_read() {
        let text = "6b03332d686c822ef1b6ddb3";
        assert_eq!(text.parse::<Id>().map(|id| id.to_string()), Ok(text.to_owned()));
        for wrong in [
            "",
            "6b03332d686c822ef1b6ddb",
            "6b03332d686c822ef1b6ddb33",
            "6b03332d686c822ef1b6ddbg",
            "é".repeat(12).as_str(),
        ] {
            assert_eq!(wrong.parse::<Id>(), Err(InvalidId), "{wrong}");
        }
    }
}
