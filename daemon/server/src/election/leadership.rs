//! What the rest of the process may know of the election: the permission to act, checked by the clock at each
//! use, and a view that can be watched.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kontena_core::clock::Clock;
use kontena_core::election::{Acting, Election, Lease, Role, Term};
use tokio::sync::watch;

/// What this master is in the election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Somebody else may lead.
    Following,
    /// It holds the lease, but may not act (yet, or for the moment).
    Elected(Term),
    /// It leads.
    Acting(Term),
    /// It gives the lease back.
    Releasing(Term),
}

/// The election as this master sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// What this master is.
    pub standing: Standing,
    /// The lease as it was seen last.
    pub seen: Option<Lease>,
    /// Whether it does not stand for a time that no other term ends.
    pub sits_out: bool,
}

/// The readers' side. Cloned freely.
#[derive(Clone, Debug)]
pub struct Leadership<C> {
    permission: Arc<Mutex<Option<Acting>>>,
    view: watch::Receiver<View>,
    clock: C,
}

impl<C: Clock> Leadership<C> {
    /// The term under which this master may act at this moment.
    #[must_use]
    pub fn acting(&self) -> Option<Term> {
        // The lock is held for a copy only; the permission is whole even if a holder panicked.
        let permission = *self.permission.lock().unwrap_or_else(PoisonError::into_inner);
        let Acting { term, until } = permission?;
        (self.clock.now().boottime < until).then_some(term)
    }

    /// For how much longer this master may act, if it is not renewed.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        let permission = *self.permission.lock().unwrap_or_else(PoisonError::into_inner);
        permission?.until.checked_sub(self.clock.now().boottime)
    }

    /// Whether this master may act under `term` at this moment.
    #[must_use]
    pub fn may_act(&self, term: Term) -> bool {
        self.acting() == Some(term)
    }

    /// The latest view. Its standing may lag behind the permission: act by [`Self::acting`] only.
    #[must_use]
    pub fn view(&self) -> View {
        *self.view.borrow()
    }

    /// For waiting until the view changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<View> {
        self.view.clone()
    }
}

/// The driver's side.
#[derive(Debug)]
pub struct Publisher<C> {
    permission: Arc<Mutex<Option<Acting>>>,
    view: watch::Sender<View>,
    clock: C,
}

impl<C: Clock> Publisher<C> {
    /// A master that may do nothing yet, and its readers' side.
    #[must_use]
    pub fn new(clock: C) -> (Self, Leadership<C>) {
        let permission = Arc::new(Mutex::new(None));
        let (view, receiver) =
            watch::channel(View { standing: Standing::Following, seen: None, sits_out: false });
        let leadership =
            Leadership { permission: Arc::clone(&permission), view: receiver, clock: clock.clone() };
        (Self { permission, view, clock }, leadership)
    }

    /// Publishes what `election` says now. To be called after each step, before its commands leave.
    pub fn publish(&self, election: &Election) {
        let acting = election.acting();
        *self.permission.lock().unwrap_or_else(PoisonError::into_inner) = acting;
        let standing = match &election.state.role {
            Role::Following { .. } => Standing::Following,
            Role::Releasing(releasing) => Standing::Releasing(releasing.term),
            Role::Holding(holding) => match acting {
                Some(acting) if self.clock.now().boottime < acting.until => Standing::Acting(acting.term),
                Some(_) | None => Standing::Elected(holding.term),
            },
        };
        let sits_out = election.state.bar.is_some_and(|bar| bar.lifted_above.is_none());
        let view = View { standing, seen: election.state.last_seen, sits_out };
        self.view.send_if_modified(|published| {
            let changed = *published != view;
            *published = view;
            changed
        });
    }

    /// Withdraws every permission: the election has ended.
    pub fn close(&self) {
        *self.permission.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.view.send_modify(|view| view.standing = Standing::Following);
    }
}
