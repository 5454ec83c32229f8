//! A process of a master, as the world sees it: what it waits for, and whether it can move at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Wake;
use std::time::Duration;

use kontena_core::election::{HolderId, Lane};

use crate::event::DutyStep;
use crate::network::Reply;

/// Whether a process has something to do.
#[derive(Debug, Default)]
pub(crate) struct Ready(AtomicBool);

impl Ready {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.set();
    }
}

/// How far a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Running,
    /// It was asked to give up the lease and to end.
    Retiring,
    Over,
}

/// One start of one master.
pub(crate) struct Process {
    pub(crate) host: usize,
    pub(crate) holder: HolderId,
    pub(crate) life: Life,
    /// Stopped by a signal, until a signal lets it go on.
    pub(crate) stopped: bool,
    pub(crate) stops: u32,
    pub(crate) ready: Arc<Ready>,
    /// How often the driver read its clocks.
    pub(crate) reads: Arc<AtomicU64>,
    hinted: bool,
    /// The primary of its last look.
    pub(crate) looked_at: u64,
    /// Waits that did not end, with their ends in monotonic time.
    pub(crate) sleeps: Vec<(u64, Duration)>,
    under_way: [u32; 2],
    /// Steps of the duty that came while it could not move.
    pub(crate) parked: Vec<DutyStep>,
    /// The last answer that came too late, for a broken store that mixes answers up.
    pub(crate) stale: Option<Reply>,
}

impl Process {
    pub(crate) fn new(host: usize, holder: HolderId) -> Self {
        let ready = Ready::default();
        ready.set();
        Self {
            host,
            holder,
            life: Life::Running,
            stopped: false,
            stops: 0,
            ready: Arc::new(ready),
            reads: Arc::default(),
            hinted: false,
            looked_at: 0,
            sleeps: Vec::new(),
            under_way: [0; 2],
            parked: Vec::new(),
            stale: None,
        }
    }

    pub(crate) fn alive(&self) -> bool {
        self.life != Life::Over
    }

    pub(crate) fn hint(&mut self) {
        self.hinted = true;
        self.ready.set();
    }

    pub(crate) fn take_hint(&mut self) -> bool {
        std::mem::take(&mut self.hinted)
    }

    /// Returns how many calls are under way in the lane, this one included.
    pub(crate) fn enter(&mut self, lane: Lane) -> u32 {
        let under_way = &mut self.under_way[slot(lane)];
        *under_way += 1;
        *under_way
    }

    pub(crate) fn leave(&mut self, lane: Lane) {
        let under_way = &mut self.under_way[slot(lane)];
        *under_way = under_way.saturating_sub(1);
    }
}

fn slot(lane: Lane) -> usize {
    match lane {
        Lane::Lease => 0,
        Lane::Fence => 1,
    }
}
