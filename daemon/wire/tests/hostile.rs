//! Frames that nobody should send: whatever comes is read or refused, and neither costs more memory than a frame
//! may. One test in a process of its own, since the kernel counts by process.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;

use kontena_wire::agent::Call;
use kontena_wire::rpc::limits::{COLLECTION_MAX, VALUES_MAX};
use kontena_wire::rpc::{MESSAGE_MAX, Message};

/// How much more memory than before all of this may take at once, besides the frame itself.
const GROWTH_MAX_KIB: u64 = 40 << 10;
const MUTANTS: usize = 60_000;

/// The most memory that this process ever had, in KiB.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Reads a frame as a master does.
fn read(frame: &[u8]) -> bool {
    let Ok(message) = Message::decode(frame) else { return false };
    if let Message::Request { method, params, .. } | Message::Notification { method, params } = &message {
        let _call = Call::parse(method, params);
    }
    let written = message.encode();
    assert!(Message::decode(&written).is_ok(), "what was written is not read: {frame:x?}");
    true
}

/// As many values as a frame may hold, in collections as large as they may be; `more` of them too many.
fn full(more: usize) -> Vec<u8> {
    let each = usize::try_from(COLLECTION_MAX).unwrap() - 1;
    let mut frame = vec![0x93, 2, 0xa2, b'/', b'x'];
    // The outermost array, the kind, the method, the parameters, and each array count as well.
    let mut left = VALUES_MAX - 4 - 5 + more;
    frame.push(0x95);
    for _ in 0..5 {
        let now = left.min(each);
        left -= now;
        frame.push(0xdd);
        frame.extend(u32::try_from(now).unwrap().to_be_bytes());
        frame.extend(std::iter::repeat_n(0x80, now));
    }
    frame
}

/// Pseudo-random numbers, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % bound.max(1)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

/// A recorded frame with something wrong in it.
fn mutant(frames: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut frame = frames[dice.below(frames.len())].clone();
    for _ in 0..=dice.below(4) {
        let at = dice.below(frame.len());
        match dice.below(6) {
            0 => frame.truncate(at.max(1)),
            1 => frame.insert(at, dice.byte()),
            2 => frame.extend([0xdd, 0xff, 0xff, 0xff, 0xff]),
            3 => {
                let other = &frames[dice.below(frames.len())];
                frame.splice(at.., other[dice.below(other.len())..].iter().copied());
                frame.push(0xc0);
            }
            // Markers of large collections, in place of what is there.
            4 => frame[at] = [0xdc, 0xdd, 0xde, 0xdf, 0xc4, 0xc6, 0xd9, 0xdb, 0xc7, 0xc9][dice.below(10)],
            _ => frame[at] = dice.byte(),
        }
    }
    frame
}

#[test]
fn no_frame_costs_more_than_a_frame_may() {
    let text = include_str!("../../../tests/fixtures/agent/frames.jsonl");
    let frames: Vec<Vec<u8>> = text
        .lines()
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            hex::decode(row["hex"].as_str().unwrap()).unwrap()
        })
        .collect();
    let large = vec![0x91; 8 << 20];
    let text_in_bin = {
        let mut frame = vec![0xc6];
        frame.extend(u32::try_from(MESSAGE_MAX).unwrap().to_be_bytes());
        frame
    };
    let before = peak_kib();
    for frame in &frames {
        assert!(read(frame));
    }
    assert!(read(&full(0)), "the most that is allowed");
    assert!(!read(&full(1)));
    assert!(!read(&large));
    assert!(!read(&text_in_bin));
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let readable = (0..MUTANTS).filter(|_| read(&mutant(&frames, &mut dice))).count();
    assert!(readable > MUTANTS / 100 && readable < MUTANTS, "{readable} of {MUTANTS} mutants were read");
    let grown = peak_kib() - before;
    assert!(grown < GROWTH_MAX_KIB, "hostile frames took {grown} KiB");
}
