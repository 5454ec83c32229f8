//! Cuts a client off at an exact point of what it does, which no timing could hit.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

/// What of the exchange is held back when the wire is touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The message itself: the database has not seen it.
    Request,
    /// The answer: the database has carried the message out, and the client does not know.
    Reply,
}

/// Touched by the first message that contains the needle.
#[derive(Debug)]
pub(super) struct Tripwire {
    armed: Mutex<Option<(Vec<u8>, Hold)>>,
    tripped: watch::Sender<bool>,
}

impl Default for Tripwire {
    fn default() -> Self {
        Self { armed: Mutex::new(None), tripped: watch::Sender::new(false) }
    }
}

impl Tripwire {
    pub(super) fn arm(&self, needle: &str, hold: Hold) {
        let armed = Some((needle.as_bytes().to_vec(), hold));
        *self.armed.lock().unwrap_or_else(PoisonError::into_inner) = armed;
    }

    pub(super) fn clear(&self) {
        *self.armed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.tripped.send_replace(false);
    }

    pub(super) fn is_tripped(&self) -> bool {
        *self.tripped.borrow()
    }

    /// Whether this message touched the wire, which then is tripped before the message goes on.
    pub(super) fn touched_by(&self, message: &[u8]) -> Option<Hold> {
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        let (needle, _) = armed.as_ref()?;
        if !message.windows(needle.len()).any(|window| window == needle) {
            return None;
        }
        self.tripped.send_replace(true);
        armed.take().map(|(_, hold)| hold)
    }

    pub(super) async fn tripped(&self) {
        self.wait_for(true).await;
    }

    pub(super) async fn reset(&self) {
        self.wait_for(false).await;
    }

    async fn wait_for(&self, wanted: bool) {
        // The sender lives as long as we do.
        let mut tripped = self.tripped.subscribe();
        let _seen = tripped.wait_for(|tripped| *tripped == wanted).await;
    }
}
