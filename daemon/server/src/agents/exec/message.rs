//! What came of a command, as masters tell each other.

use kontena_wire::agent::Stream;
use kontena_wire::rpc::{self, Value, loose};

use super::ExecEvent;

/// The most output that goes to another master as one message. The bus leaves such a message whole.
const PORTION: usize = 512 << 10;
/// How many characters of what an agent says of a failure go to another master.
const WORDS: usize = 16 << 10;
/// What is told instead of output that did not arrive.
pub(super) const LOST: &str = "its output was lost";

/// The same in parts that the bus leaves whole.
pub(super) fn portions(event: ExecEvent) -> Vec<ExecEvent> {
    match event {
        ExecEvent::Output(stream, chunk) if chunk.len() > PORTION => {
            chunk.chunks(PORTION).map(|part| ExecEvent::Output(stream, part.to_vec())).collect()
        }
        ExecEvent::Error(error) => vec![ExecEvent::Error(error.chars().take(WORDS).collect())],
        ExecEvent::Output(..) | ExecEvent::Exit(_) => vec![event],
    }
}

/// What stands for output that was lost, and ends the session for its reader.
pub(in crate::agents) fn lost() -> Vec<u8> {
    body(ExecEvent::Error(LOST.to_owned()))
}

pub(super) fn body(event: ExecEvent) -> Vec<u8> {
    let parts = match event {
        ExecEvent::Output(stream, chunk) => vec![stream.name().into(), Value::Binary(chunk)],
        ExecEvent::Exit(code) => vec!["exit".into(), code.into()],
        ExecEvent::Error(error) => vec!["error".into(), error.into()],
    };
    rpc::encode(&Value::Array(parts))
}

pub(super) fn parse(payload: &[u8]) -> Option<ExecEvent> {
    let Value::Array(parts) = rpc::decode(payload).ok()? else { return None };
    let [kind, detail] = parts.as_slice() else { return None };
    let output = |stream| Some(ExecEvent::Output(stream, loose::bytes(detail)?.to_vec()));
    match loose::bytes(kind)? {
        b"stdout" => output(Stream::Stdout),
        b"stderr" => output(Stream::Stderr),
        b"exit" => Some(ExecEvent::Exit(loose::integer(detail)?)),
        b"error" => Some(ExecEvent::Error(loose::text(detail)?.into_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(text: &str) -> ExecEvent {
        ExecEvent::Output(Stream::Stdout, text.as_bytes().to_vec())
    }

    fn error(text: &str) -> ExecEvent {
        ExecEvent::Error(text.to_owned())
    }

    #[test]
    fn large_output_goes_in_parts_of_a_bounded_size() {
        let chunk = vec![7; 2 * PORTION + 1];
        let parts = portions(ExecEvent::Output(Stream::Stderr, chunk.clone()));
        let sizes: Vec<usize> = parts.iter().map(|part| body(part.clone()).len()).collect();
        assert!(sizes.len() == 3 && sizes.iter().all(|size| *size <= PORTION + 64), "{sizes:?}");
        let joined: Vec<u8> = parts
            .into_iter()
            .flat_map(|part| if let ExecEvent::Output(_, part) = part { part } else { Vec::new() })
            .collect();
        assert_eq!(joined, chunk);
        assert_eq!(portions(output("")), [output("")]);
        assert_eq!(portions(error(&"ä".repeat(WORDS + 1))), [error(&"ä".repeat(WORDS))]);
    }

    #[test]
    fn events_are_read_as_they_were_written() {
        for event in [
            ExecEvent::Output(Stream::Stderr, vec![0xff, 0, 1]),
            ExecEvent::Output(Stream::Stdout, Vec::new()),
            ExecEvent::Exit(-1),
            ExecEvent::Error("gone".to_owned()),
        ] {
            assert_eq!(parse(&body(event.clone())), Some(event));
        }
    }
}
