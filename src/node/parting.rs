//! What a holder leaves on a node when it lets go: nothing, or a marker that keeps others out for a
//! while, and a line for the history.
//!
//! Plain data, made by `commands`, sent by `lock`, carried out by `release.lua` and by `local`.

use super::TOKEN_LEN;
use crate::clock::Instant;

/// How many runs of a resource a node remembers, the latest first.
pub const HISTORY_RUNS: usize = 20;

/// For how long it does, in days: the last run of a monthly job is still known at the next.
pub const HISTORY_DAYS: u64 = 35;

/// The most bytes of one run in the history. A longer one is not kept.
pub const HISTORY_RUN_LIMIT: usize = 512;

/// What stays when a lock is let go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parting {
    /// What stands under the keys from now on; nothing: they are free.
    pub marker: Option<Marker>,
    /// What the history of each resource is told; at most [`HISTORY_RUN_LIMIT`] bytes, one line.
    pub run: Option<String>,
    /// Whether those who listen are told nothing: what is taken away here was never held on a
    /// quorum, so nobody waited for it.
    pub quiet: bool,
}

/// A value that says "nobody holds this, and nobody shall have it yet". It has the token and the
/// holder of the lock that it was, so every Redlock library takes it for a held lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Why nobody shall have it yet.
    pub kind: MarkerKind,
    /// Until when: its own end, before or after that of the lock it was.
    pub until: Instant,
}

/// Why nobody shall have a lock that nobody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerKind {
    /// The job was quicker than the clocks of the hosts differ (`--min-hold`).
    Kept,
    /// The job is done for this period (`--once-per`).
    Done,
}

impl MarkerKind {
    /// The byte behind the token that says so.
    #[must_use]
    pub fn state(self) -> u8 {
        match self {
            Self::Kept => b'~',
            Self::Done => b'!',
        }
    }

    /// What the byte behind a token says; `None` if somebody holds the lock.
    #[must_use]
    pub fn of_state(state: u8) -> Option<Self> {
        [Self::Kept, Self::Done]
            .into_iter()
            .find(|kind| kind.state() == state)
    }

    /// What a value says that begins with a token.
    #[must_use]
    pub fn of_value(value: &[u8]) -> Option<Self> {
        value.get(TOKEN_LEN).copied().and_then(Self::of_state)
    }

    /// The word for a lock like this, in messages and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Done => "done",
        }
    }
}

impl Parting {
    /// The marker's state and what is left of its time in milliseconds, rounded up; none if its
    /// end has come.
    #[must_use]
    pub fn marker_now(&self) -> Option<(u8, u64)> {
        let marker = self.marker?;
        let rest = marker.until.remaining().as_nanos().div_ceil(1_000_000);
        (rest > 0).then(|| (marker.kind.state(), u64::try_from(rest).unwrap_or(u64::MAX)))
    }
}
