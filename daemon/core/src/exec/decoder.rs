//! Output comes in pieces that are cut anywhere, also within a character: the cut is mended before the pieces are
//! shown as text.

/// The longest beginning of a character that is not whole.
const CUT_MAX: usize = 3;

/// One stream of output.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The beginning of a character whose end has not come.
    cut: Vec<u8>,
}

impl Decoder {
    /// The text of the next piece, as far as its characters are whole. What is no text is replaced.
    pub fn take(&mut self, piece: &[u8]) -> String {
        let mut bytes = std::mem::take(&mut self.cut);
        bytes.extend_from_slice(piece);
        let whole = bytes.len() - unfinished(&bytes);
        self.cut = bytes.split_off(whole);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What is left when no more comes.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.cut)).into_owned()
    }
}

/// How many bytes at the end begin a character that may still become whole.
fn unfinished(bytes: &[u8]) -> usize {
    for back in 1..=CUT_MAX.min(bytes.len()) {
        let Some(byte) = bytes.get(bytes.len() - back) else { return 0 };
        let length = match byte {
            // A byte within a character: its beginning is before.
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        return if length > back { back } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_were_cut_are_whole_again() {
        let text = "a ä € 😀 z";
        for size in 1..=text.len() {
            let mut decoder = Decoder::default();
            let mut shown: String = text.as_bytes().chunks(size).map(|piece| decoder.take(piece)).collect();
            shown.push_str(&decoder.finish());
            assert_eq!(shown, text, "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_text_is_replaced_and_holds_nothing_up() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.take(&[0xff, b'x']), "\u{fffd}x");
        assert_eq!(decoder.take(&[0x80, 0x80, 0x80, 0x80]).chars().count(), 4);
        assert_eq!(decoder.take(&[0xe2, 0x82]), "");
        assert_eq!(decoder.take(b"x"), "\u{fffd}x");
        assert_eq!(decoder.take(&[0xf0, 0x9f]), "");
        assert_eq!(decoder.finish(), "\u{fffd}");
    }
}
