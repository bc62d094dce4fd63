//! The connections to one server, and what may still be under way on them.
//!
//! PURE: opens nothing and sends nothing. Invariant I4 rests on it: what was sent and not answered
//! is followed by its release on the same connection. Used by `redis`, and by the simulation, which
//! shall keep its connections alike.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Old connections that are kept for the release. One more is dropped: a node that went through so
/// many within one lock is beyond our help.
const OWED_LIMIT: usize = 4;

/// Whether a command can create a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creates {
    /// It can.
    Keys,
    /// It cannot.
    Nothing,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was answered.
    Answered,
    /// Its connection is broken.
    Broken,
}

/// A connection, and which one of its node it is: the answers of an older one say nothing about it.
#[derive(Clone, Debug)]
pub struct Link<C> {
    number: u64,
    /// The connection.
    pub connection: C,
}

/// The connections of one node.
pub struct Links<C> {
    state: Mutex<State<C>>,
    may_hold_a_key: AtomicBool,
}

struct State<C> {
    open: Option<Link<C>>,
    /// How many were opened so far.
    opened: u64,
    /// A command that creates keys was sent over `open`, and not answered yet.
    unanswered: bool,
    /// Connections on which such a command may still be under way. A release is sent there as well,
    /// so that a late `SET` is ordered before its `DEL`.
    owed: Vec<C>,
}

impl<C> Default for Links<C> {
    fn default() -> Self {
        let state = State {
            open: None,
            opened: 0,
            unanswered: false,
            owed: Vec::new(),
        };
        Self {
            state: Mutex::new(state),
            may_hold_a_key: AtomicBool::new(false),
        }
    }
}

impl<C: Clone> Links<C> {
    fn state(&self) -> MutexGuard<'_, State<C>> {
        // Only tests go on after a panic, and it leaves connections as they were.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present connection.
    #[must_use]
    pub fn open(&self) -> Option<Link<C>> {
        self.state().open.clone()
    }

    /// Makes `connection` the present one.
    pub fn opened(&self, connection: C) -> Link<C> {
        let mut state = self.state();
        state.opened += 1;
        let number = state.opened;
        state.open.insert(Link { number, connection }).clone()
    }

    /// An attempt begins, of which nothing has been sent.
    pub fn begin(&self) {
        self.may_hold_a_key.store(false, Ordering::Relaxed);
    }

    /// A command is about to be sent over the present connection.
    pub fn sends(&self, creates: Creates) {
        if creates == Creates::Keys {
            self.may_hold_a_key.store(true, Ordering::Relaxed);
            self.state().unanswered = true;
        }
    }

    /// A command over `link` came to its end.
    pub fn ended(&self, link: &Link<C>, creates: Creates, end: End) {
        let mut state = self.state();
        if state
            .open
            .as_ref()
            .is_none_or(|open| open.number != link.number)
        {
            return;
        }
        match end {
            End::Broken => {
                // What was sent may still arrive; this connection can carry no release any more.
                state.open = None;
                state.unanswered = false;
            }
            End::Answered if creates == Creates::Keys => state.unanswered = false,
            End::Answered => {}
        }
    }

    /// Gives up the present connection. It is kept for the release if something is under way on it.
    pub fn give_up(&self) {
        let mut state = self.state();
        let old = state.open.take();
        if std::mem::take(&mut state.unanswered) && state.owed.len() < OWED_LIMIT {
            state.owed.extend(old.map(|link| link.connection));
        }
    }

    /// The connections that were given up, and that a release is to be sent over.
    #[must_use]
    pub fn take_owed(&self) -> Vec<C> {
        std::mem::take(&mut self.state().owed)
    }

    /// Whether a byte that could have created a key was ever sent since the attempt began.
    #[must_use]
    pub fn may_hold_a_key(&self) -> bool {
        self.may_hold_a_key.load(Ordering::Relaxed)
    }

    /// Whether what is sent now is on its way at once: there is a connection, and every command on
    /// it that can create a key was answered.
    #[must_use]
    pub fn are_in_touch(&self) -> bool {
        let state = self.state();
        state.open.is_some() && !state.unanswered
    }
}
