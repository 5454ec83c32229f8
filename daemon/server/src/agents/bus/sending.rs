//! Sends what masters tell each other, in its order. Who reads the output of a command is told if some of it could not
//! be sent: nobody else would end it.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kontena_core::election::HolderId;
use kontena_store::{Packet, PacketKind};
use tokio::sync::Notify;

use super::Inbox;
use crate::agents::limits::ANSWER_WITHIN;
use crate::agents::retry::until_done;
use crate::agents::{Agents, LIMIT, exec};

/// The most that goes as one insert.
const TOGETHER: usize = 500;
/// See [`TOGETHER`].
const TOGETHER_BYTES: usize = 8 << 20;
/// How many readers may wait to be told: more than there are commands at a time.
const ENDS_MAX: usize = 16_384;

/// By the master that reads it and the conversation.
pub(in crate::agents) type Reading = (HolderId, u64);

/// Commands whose output was lost on its way. Their readers are told before anything else and until it is done, which
/// needs no place in the queue: that it is full is how output is lost.
#[derive(Default)]
pub(in crate::agents) struct Ends {
    owed: Mutex<BTreeSet<Reading>>,
    due: Notify,
}

impl Ends {
    pub(in crate::agents) fn add(&self, reading: Reading) {
        let mut owed = self.owed();
        if owed.len() < ENDS_MAX {
            owed.insert(reading);
        } else {
            tracing::warn!("the reader of a command's output is not told that it was lost");
        }
        self.due.notify_one();
    }

    pub(in crate::agents) fn take(&self) -> BTreeSet<Reading> {
        std::mem::take(&mut *self.owed())
    }

    fn owed(&self) -> MutexGuard<'_, BTreeSet<Reading>> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) async fn work(agents: Agents, mut outbox: Inbox) {
    let (bus, ends, me) = (agents.0.store.bus(), &agents.0.post.ends, agents.0.me);
    let mut carried = None;
    loop {
        let mut batch: Vec<Packet> = ends.take().into_iter().map(|reading| end(me, reading)).collect();
        if batch.is_empty() && carried.is_none() {
            tokio::select! {
                packet = outbox.recv() => match packet {
                    Some(packet) => carried = Some(packet),
                    None => return,
                },
                () = ends.due.notified() => continue,
            }
        }
        fill(&mut batch, &mut carried, &mut outbox);
        if let Err(failure) = until_done(ANSWER_WITHIN, || bus.send(&batch, LIMIT)).await {
            tracing::warn!(%failure, messages = batch.len(), "messages to other masters were not sent");
            let lost = readings(&batch);
            agents.0.execs.cut_off(&agents, &lost);
            for reading in lost.into_iter().filter(|(master, _)| agents.is_alive(*master)) {
                ends.add(reading);
            }
        }
    }
}

/// What goes together, from the front of the queue. The first that is too much is carried over to the next.
fn fill(batch: &mut Vec<Packet>, carried: &mut Option<Packet>, outbox: &mut Inbox) {
    let mut bytes = 0;
    while batch.len() < TOGETHER
        && let Some(next) = carried.take().or_else(|| outbox.try_recv().ok())
    {
        bytes += next.payload.len();
        if bytes > TOGETHER_BYTES && !batch.is_empty() {
            *carried = Some(next);
            return;
        }
        batch.push(next);
    }
}

/// Whose output is among these messages.
fn readings(batch: &[Packet]) -> BTreeSet<Reading> {
    let output = batch.iter().filter(|packet| packet.kind == PacketKind::Exec);
    output.map(|packet| (packet.to, packet.about)).collect()
}

/// Without a number, since it stands for all that is missing.
fn end(from: HolderId, (to, about): Reading) -> Packet {
    let (id, payload) = (Packet::fresh_id(), exec::lost());
    Packet { id, to, from, kind: PacketKind::Exec, about, part: (0, 1), payload }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    const ME: HolderId = HolderId::from_bytes([1; 16]);
    const OTHER: HolderId = HolderId::from_bytes([2; 16]);

    fn packet(kind: PacketKind, about: u64, size: usize) -> Packet {
        Packet { kind, payload: vec![0; size], ..end(ME, (OTHER, about)) }
    }

    #[test]
    fn what_goes_together_is_bounded_and_keeps_its_order() {
        let (sender, mut outbox) = mpsc::channel(2000);
        for about in 0..1200 {
            sender.try_send(packet(PacketKind::Answer, about, 1)).unwrap();
        }
        for about in 1200..1212 {
            sender.try_send(packet(PacketKind::Answer, about, 1 << 20)).unwrap();
        }
        let (mut carried, mut abouts, mut sizes) = (None, Vec::new(), Vec::new());
        loop {
            let mut batch = Vec::new();
            fill(&mut batch, &mut carried, &mut outbox);
            if batch.is_empty() {
                break;
            }
            sizes.push(batch.len());
            abouts.extend(batch.iter().map(|packet| packet.about));
        }
        assert_eq!(abouts, (0..1212).collect::<Vec<u64>>());
        assert_eq!(sizes, [500, 500, 207, 5], "no more than 500 and 8 MiB together");
        assert!(carried.is_none());
    }

    #[test]
    fn who_read_what_was_not_sent_is_told_once_and_before_anything_else() {
        let batch = [
            packet(PacketKind::Exec, 7, 1),
            packet(PacketKind::Answer, 8, 1),
            packet(PacketKind::Exec, 7, 1),
            packet(PacketKind::Exec, 9, 1),
        ];
        let ends = Ends::default();
        for reading in readings(&batch) {
            ends.add(reading);
        }
        ends.add((OTHER, 9));
        let told: Vec<Packet> = ends.take().into_iter().map(|reading| end(ME, reading)).collect();
        let told: Vec<_> = told.iter().map(|packet| (packet.to, packet.about, packet.part)).collect();
        assert_eq!(told, [(OTHER, 7, (0, 1)), (OTHER, 9, (0, 1))]);
        assert!(ends.take().is_empty());
    }
}
