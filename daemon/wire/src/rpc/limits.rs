//! What a frame may cost. Checked by walking over its bytes before anything is built of them, since five bytes
//! can announce four thousand million elements, and a megabyte of empty arrays becomes fifty of values.

use rmp::Marker;
use thiserror::Error;

/// How deep values may be nested.
pub const DEPTH_MAX: usize = 64;
/// How many elements one array or map may have.
pub const COLLECTION_MAX: u32 = 65_536;
/// How many values a frame may hold in all. One takes about 40 bytes once decoded.
pub const VALUES_MAX: usize = 262_144;

/// A frame beyond a limit, or one whose lengths contradict its size.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LimitError {
    /// Above [`super::MESSAGE_MAX`].
    #[error("{0} bytes are more than a message may have")]
    Size(usize),
    /// Above [`DEPTH_MAX`].
    #[error("nested deeper than {DEPTH_MAX}")]
    Depth,
    /// Above [`COLLECTION_MAX`].
    #[error("a collection of {0} elements")]
    Collection(u32),
    /// Above [`VALUES_MAX`].
    #[error("more than {VALUES_MAX} values")]
    Values,
    /// It ends before the last value does.
    #[error("ends early")]
    Short,
    /// It goes on after the value.
    #[error("{0} bytes behind the value")]
    Trailing(usize),
    /// The byte that MessagePack never uses.
    #[error("a reserved marker")]
    Reserved,
}

/// Checks that `frame` is one value within all limits.
pub fn check(frame: &[u8]) -> Result<(), LimitError> {
    if frame.len() > super::MESSAGE_MAX {
        return Err(LimitError::Size(frame.len()));
    }
    let mut walk = Walk { rest: frame };
    // How many values are still to come on each level.
    let mut open: Vec<u64> = vec![1];
    let mut values = 0;
    while let Some(left) = open.last_mut() {
        if *left == 0 {
            open.pop();
            continue;
        }
        *left -= 1;
        values += 1;
        if values > VALUES_MAX {
            return Err(LimitError::Values);
        }
        let inside = walk.value()?;
        if inside > 0 {
            if open.len() >= DEPTH_MAX {
                return Err(LimitError::Depth);
            }
            open.push(inside);
        }
    }
    if walk.rest.is_empty() { Ok(()) } else { Err(LimitError::Trailing(walk.rest.len())) }
}

struct Walk<'a> {
    rest: &'a [u8],
}

impl Walk<'_> {
    /// Passes over one value without its elements; returns how many of those follow.
    fn value(&mut self) -> Result<u64, LimitError> {
        let marker = Marker::from_u8(self.byte()?);
        let data = match marker {
            Marker::Null | Marker::True | Marker::False | Marker::FixPos(_) | Marker::FixNeg(_) => 0,
            Marker::U8 | Marker::I8 => 1,
            Marker::U16 | Marker::I16 | Marker::FixExt1 => 2,
            Marker::FixExt2 => 3,
            Marker::U32 | Marker::I32 | Marker::F32 => 4,
            Marker::FixExt4 => 5,
            Marker::U64 | Marker::I64 | Marker::F64 => 8,
            Marker::FixExt8 => 9,
            Marker::FixExt16 => 17,
            Marker::FixStr(length) => u32::from(length),
            Marker::Str8 | Marker::Bin8 => self.number(1)?,
            Marker::Str16 | Marker::Bin16 => self.number(2)?,
            Marker::Str32 | Marker::Bin32 => self.number(4)?,
            // The type of an extension is one byte behind the length.
            Marker::Ext8 => self.number(1)?.saturating_add(1),
            Marker::Ext16 => self.number(2)?.saturating_add(1),
            Marker::Ext32 => self.number(4)?.saturating_add(1),
            Marker::FixArray(length) => return collection(u32::from(length), 1),
            Marker::Array16 => return collection(self.number(2)?, 1),
            Marker::Array32 => return collection(self.number(4)?, 1),
            Marker::FixMap(length) => return collection(u32::from(length), 2),
            Marker::Map16 => return collection(self.number(2)?, 2),
            Marker::Map32 => return collection(self.number(4)?, 2),
            Marker::Reserved => return Err(LimitError::Reserved),
        };
        self.skip(data)?;
        Ok(0)
    }

    fn skip(&mut self, count: u32) -> Result<(), LimitError> {
        let count = usize::try_from(count).map_err(|_| LimitError::Short)?;
        self.rest = self.rest.get(count..).ok_or(LimitError::Short)?;
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, LimitError> {
        let (byte, rest) = self.rest.split_first().ok_or(LimitError::Short)?;
        self.rest = rest;
        Ok(*byte)
    }

    /// A big-endian number of so many bytes.
    fn number(&mut self, bytes: usize) -> Result<u32, LimitError> {
        let (number, rest) = self.rest.split_at_checked(bytes).ok_or(LimitError::Short)?;
        self.rest = rest;
        Ok(number.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }
}

fn collection(length: u32, values_each: u64) -> Result<u64, LimitError> {
    if length > COLLECTION_MAX {
        return Err(LimitError::Collection(length));
    }
    Ok(u64::from(length) * values_each)
}
