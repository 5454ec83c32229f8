//! Whole messages of the database's protocol, so that no address in one is missed because it came
//! in two parts.

use std::io::{self, ErrorKind};

use tokio::io::{AsyncRead, AsyncReadExt};

/// Length, request, response, kind: four bytes each.
const HEADER: usize = 16;
/// What the server lets a message have.
const LIMIT: usize = 48 << 20;

/// The next message, with its header. The end of the stream is an error like any other.
pub(super) async fn read(source: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    source.read_exact(&mut length).await?;
    let total = usize::try_from(i32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if !(HEADER..=LIMIT).contains(&total) {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; total];
    message[..4].copy_from_slice(&length);
    source.read_exact(&mut message[4..]).await?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reads_one_message_at_a_time() -> io::Result<()> {
        let bytes = [&[17, 0, 0, 0], [7; 13].as_slice(), &[16, 0, 0, 0], &[8; 12]].concat();
        let mut source = bytes.as_slice();
        assert_eq!(read(&mut source).await?, bytes[..17]);
        assert_eq!(read(&mut source).await?, bytes[17..]);
        assert!(read(&mut source).await.is_err());
        Ok(())
    }

    #[tokio::test]
    async fn refuses_impossible_lengths() {
        for length in [0, 15, 48 << 20 | 1, -1_i32] {
            let bytes = [length.to_le_bytes().as_slice(), &[0; 60]].concat();
            assert!(read(&mut bytes.as_slice()).await.is_err(), "{length}");
        }
    }
}
