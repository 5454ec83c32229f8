//! Lets no read pass the end of a frame, so that it is known when nothing of a frame lies in anybody's buffers; and
//! lets large frames in only as far as there is memory set aside for them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

/// Larger frames wait for memory.
const LARGE: u64 = 64 << 10;
/// How much of large frames a master takes in at a time, in KiB. One that is larger alone takes all.
const TOGETHER_KIB: u32 = 64 << 10;
/// The longest head of a frame: two bytes, eight of its length, four of its mask.
const HEAD_MAX: usize = 14;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
/// Opcodes up to this one carry parts of messages; those above are for control.
const DATA_MAX: u8 = 2;

/// The memory that is set aside for large frames.
#[derive(Clone, Debug)]
pub(super) struct LargeFrames(Arc<Semaphore>);

impl Default for LargeFrames {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(usize::try_from(TOGETHER_KIB).unwrap_or(usize::MAX))))
    }
}

/// A connection, read frame by frame.
#[derive(Debug)]
pub(super) struct Gate<S> {
    stream: S,
    head: [u8; HEAD_MAX],
    /// How many bytes of the head have been read.
    known: usize,
    /// How many bytes of the payload are still to come.
    left: u64,
    /// A message has begun and not ended with the last frame.
    in_parts: bool,
    large: PollSemaphore,
    permit: Option<OwnedSemaphorePermit>,
}

impl<S> Gate<S> {
    pub(super) fn new(stream: S, large: &LargeFrames) -> Self {
        Self {
            stream,
            head: [0; HEAD_MAX],
            known: 0,
            left: 0,
            in_parts: false,
            large: PollSemaphore::new(Arc::clone(&large.0)),
            permit: None,
        }
    }

    /// Whether all that was read are whole messages.
    pub(super) fn is_between_messages(&self) -> bool {
        self.known == 0 && self.left == 0 && !self.in_parts
    }

    /// How much may be read before something else must be known.
    fn allowed(&self) -> u64 {
        if self.left > 0 {
            return self.left;
        }
        let head = if self.known < 2 { 2 } else { self.head_length() };
        u64::try_from(head.saturating_sub(self.known)).unwrap_or(0)
    }

    /// The length of a head whose first two bytes are known.
    fn head_length(&self) -> usize {
        let [_, second, ..] = self.head;
        let length = match second & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if second & MASKED == 0 { 0 } else { 4 }
    }

    fn payload_length(&self) -> u64 {
        let [_, second, rest @ ..] = &self.head;
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        match second & !MASKED {
            126 => number(rest.get(..2).unwrap_or_default()),
            127 => number(rest.get(..8).unwrap_or_default()),
            length => u64::from(length),
        }
    }

    /// Takes note of what was read.
    fn saw(&mut self, bytes: &[u8]) {
        if self.left > 0 {
            self.left = self.left.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        } else {
            for byte in bytes {
                if let Some(place) = self.head.get_mut(self.known) {
                    *place = *byte;
                }
                self.known += 1;
            }
            if self.known < 2 || self.known < self.head_length() {
                return;
            }
            let [first, ..] = self.head;
            if first & 0x0f <= DATA_MAX {
                self.in_parts = first & FINAL == 0;
            }
            self.left = self.payload_length();
            self.known = 0;
        }
        if self.left == 0 {
            self.permit = None;
        }
    }

    /// Waits for memory, if the frame that has begun is a large one.
    fn poll_memory(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.left <= LARGE || self.permit.is_some() {
            return Poll::Ready(Ok(()));
        }
        let kib = u32::try_from(self.left >> 10).unwrap_or(u32::MAX).min(TOGETHER_KIB);
        self.permit = ready!(self.large.poll_acquire_many(cx, kib));
        let closed = || io::Error::other("no memory is set aside for large frames");
        Poll::Ready(self.permit.is_some().then_some(()).ok_or_else(closed))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gate<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_memory(cx))?;
        let allowed = usize::try_from(self.allowed()).unwrap_or(usize::MAX).min(buffer.remaining());
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(allowed));
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        self.saw(part.filled());
        let count = part.filled().len();
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tokio::io::AsyncReadExt;

    use super::*;

    /// A frame with this first byte and so many bytes of payload.
    fn frame(first: u8, length: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { MASKED } else { 0 };
        let mut frame = vec![first];
        match length {
            0..126 => frame.push(mask | u8::try_from(length).unwrap()),
            126..65_536 => {
                frame.push(mask | 0x7e);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(mask | 0x7f);
                frame.extend(u64::try_from(length).unwrap().to_be_bytes());
            }
        }
        frame.extend(std::iter::repeat_n(7, length + if masked { 4 } else { 0 }));
        frame
    }

    #[tokio::test]
    async fn no_read_passes_the_end_of_a_frame_and_the_whole_is_read() {
        // A message, a ping, one in two parts with a ping between them, a long and a very long one, an empty one.
        let frames = [
            frame(0x82, 5, true),
            frame(0x89, 30, true),
            frame(0x02, 200, true),
            frame(0x89, 0, true),
            frame(0x80, 3, false),
            frame(0x82, 70_000, true),
            frame(0x82, 300, false),
            frame(0x82, 0, true),
        ];
        let whole: Vec<u8> = frames.concat();
        let mut ends: Vec<usize> = frames
            .iter()
            .scan(0, |end, frame| {
                *end += frame.len();
                Some(*end)
            })
            .collect();
        let in_parts = ends[2]..ends[4];
        let mut gate = Gate::new(Cursor::new(whole.clone()), &LargeFrames::default());
        assert!(gate.is_between_messages());
        let mut read = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let count = gate.read(&mut buffer).await.unwrap();
            if count == 0 {
                break;
            }
            read.extend_from_slice(&buffer[..count]);
            assert!(read.len() <= ends[0], "a read went on behind a frame");
            let at_end = read.len() == ends[0];
            if at_end {
                ends.remove(0);
            }
            let between = at_end && !in_parts.contains(&read.len());
            assert_eq!(gate.is_between_messages(), between, "after {} bytes", read.len());
        }
        assert_eq!(read, whole);
    }

    #[tokio::test]
    async fn large_frames_wait_for_each_other_and_small_ones_for_nobody() {
        let large = LargeFrames::default();
        let all = usize::try_from(TOGETHER_KIB).unwrap() << 10;
        let head = |length: usize| frame(0x82, length, true)[..14].to_vec();
        let mut first = Gate::new(Cursor::new([head(all), vec![0; 100]].concat()), &large);
        let mut second = Gate::new(Cursor::new([head(1 << 20), vec![0; 100]].concat()), &large);
        let mut small = Gate::new(Cursor::new(frame(0x82, 1000, true)), &large);
        let mut buffer = [0; 4096];
        for gate in [&mut first, &mut second] {
            for expected in [2, 12] {
                assert_eq!(gate.read(&mut buffer).await.unwrap(), expected);
            }
        }
        assert_eq!(first.read(&mut buffer).await.unwrap(), 100);
        let soon = std::time::Duration::from_millis(50);
        assert!(tokio::time::timeout(soon, second.read(&mut buffer)).await.is_err(), "it did not wait");
        for expected in [2, 6, 1000] {
            assert_eq!(small.read(&mut buffer).await.unwrap(), expected);
        }
        assert!(small.is_between_messages());
        drop(first);
        assert_eq!(second.read(&mut buffer).await.unwrap(), 100);
    }
}
