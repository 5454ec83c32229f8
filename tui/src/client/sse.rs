//! Server-sent events out of a stream of bytes, as the HTML standard describes them, bounded in size.

/// The largest event that is taken.
const EVENT_MAX: usize = 1 << 20;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) id: Option<String>,
    pub(super) data: String,
}

/// Puts events together.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    line: Vec<u8>,
    message: Message,
    has_data: bool,
    /// The last byte was a carriage return, so a line feed belongs to it.
    returned: bool,
}

/// An event is larger than anything a master sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Decoder {
    /// Takes in bytes, however they were cut. Returns the events that are whole.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Message>, TooLarge> {
        let mut whole = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' if self.returned => self.returned = false,
                b'\n' | b'\r' => {
                    self.returned = *byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    whole.extend(self.end_line(&line));
                }
                _ => {
                    self.returned = false;
                    self.line.push(*byte);
                }
            }
            if self.line.len() + self.message.data.len() > EVENT_MAX {
                return Err(TooLarge);
            }
        }
        Ok(whole)
    }

    fn end_line(&mut self, line: &[u8]) -> Option<Message> {
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            return std::mem::take(&mut self.has_data).then_some(message);
        }
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.has_data {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
                self.has_data = true;
            }
            "id" if !value.contains('\0') => self.message.id = Some(value.to_owned()),
            // Comments are signs of life; other fields mean nothing here.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_put_together_however_the_bytes_are_cut() {
        let text = ": alive\n\nid: 7\ndata: one\r\ndata:two\r\n\r\nevent: x\ndata: three\n\n";
        let expected = [
            Message { id: Some("7".to_owned()), data: "one\ntwo".to_owned() },
            Message { id: None, data: "three".to_owned() },
        ];
        for size in 1..text.len() {
            let mut decoder = Decoder::default();
            let found: Vec<Message> =
                text.as_bytes().chunks(size).flat_map(|chunk| decoder.feed(chunk).unwrap()).collect();
            assert_eq!(found, expected, "{size}");
        }
    }

    #[test]
    fn an_event_without_an_end_does_not_take_all_memory() {
        let mut decoder = Decoder::default();
        let outcome = (0..2000).try_for_each(|_| decoder.feed(&[b'x'; 1024]).map(drop));
        assert_eq!(outcome, Err(TooLarge));
    }
}
