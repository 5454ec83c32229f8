//! Pings that are not answered yet. The other end reads in order and answers a ping when it has read it, so its answer
//! shows that it has read everything before it too.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

/// How often one looks while no ping is open.
const IDLE: Duration = Duration::from_secs(1);

struct Open {
    number: u64,
    until: Instant,
    heard: oneshot::Sender<()>,
}

/// The pings of one connection.
pub(super) struct Pings {
    within: Duration,
    open: Mutex<(u64, VecDeque<Open>)>,
}

impl Pings {
    /// Each is to be answered within this time.
    pub(super) fn new(within: Duration) -> Self {
        Self { within, open: Mutex::new((0, VecDeque::new())) }
    }

    /// What the next ping carries. `heard` is told when it is answered.
    pub(super) fn next(&self, heard: oneshot::Sender<()>) -> [u8; 8] {
        let mut pings = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        pings.0 += 1;
        let number = pings.0;
        pings.1.push_back(Open { number, until: Instant::now() + self.within, heard });
        number.to_be_bytes()
    }

    /// Takes in an answer. Who answers a ping has read the earlier ones too.
    pub(super) fn answered(&self, payload: &[u8]) {
        let Ok(number) = payload.try_into().map(u64::from_be_bytes) else { return };
        let mut pings = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if number > pings.0 {
            return;
        }
        while pings.1.front().is_some_and(|open| open.number <= number) {
            if let Some(open) = pings.1.pop_front() {
                // Nobody may wait for a mere sign of life.
                let _told = open.heard.send(());
            }
        }
    }

    /// Waits until one is not answered in time.
    pub(super) async fn missed(&self) {
        loop {
            let first =
                self.open.lock().unwrap_or_else(PoisonError::into_inner).1.front().map(|open| open.until);
            match first {
                Some(until) if until <= Instant::now() => return,
                Some(until) => sleep_until(until).await,
                None => sleep(IDLE.min(self.within)).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_is_one_to_all_before_it_and_silence_is_noticed() {
        let within = Duration::from_millis(50);
        let pings = Pings::new(within);
        let sent = Instant::now();
        let (first, mut first_heard) = oneshot::channel();
        let (second, mut second_heard) = oneshot::channel();
        let (third, mut third_heard) = oneshot::channel();
        pings.next(first);
        let payload = pings.next(second);
        pings.next(third);
        for unknown in [b"".as_slice(), b"x", &9_u64.to_be_bytes()] {
            pings.answered(unknown);
            assert!(first_heard.try_recv().is_err());
        }
        pings.answered(&payload);
        assert!(first_heard.try_recv().is_ok() && second_heard.try_recv().is_ok());
        assert!(third_heard.try_recv().is_err());
        pings.missed().await;
        assert!(sent.elapsed() >= within, "silence was noticed too early");
        pings.answered(&3_u64.to_be_bytes());
        assert!(tokio::time::timeout(within * 4, pings.missed()).await.is_err());
    }
}
