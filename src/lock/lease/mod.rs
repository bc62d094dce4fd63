//! A held lock, and the task that keeps it.
//!
//! The task extends every third of the TTL, on absolute deadlines, and publishes what comes of it:
//! the lock is held until some instant, or it is lost. It never stops a job, and a failed extension
//! never shortens anything (invariant I5). Called by `commands`.

mod keeper;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::claim::{FencingToken, Token};
use super::grip::Grip;
use super::quorum::Named;
use super::redlock::Held;
use crate::clock::{self, Instant};
use crate::node::{Extension, Node};
use keeper::{Keeper, deaf};

/// Whether we hold the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Ours until this instant, unless a later state says more.
    Held {
        /// Until when nobody else can have it.
        until: Instant,
        /// How many rounds have extended it.
        extensions: u64,
    },
    /// Still ours until this instant, but the last round extended it on no quorum: with what each
    /// node answered. The nodes are being asked again.
    Unknown {
        /// As in [`State::Held`]; a failed round does not move it.
        until: Instant,
        /// What each node answered.
        answers: Named<Extension>,
    },
    /// Not ours any more, or not for sure. The last state there is.
    Lost(Loss),
}

/// How a lock was lost, with what each node answered last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Why.
    pub why: LossReason,
    /// What each node answered in the last round.
    pub answers: Named<Extension>,
}

/// Why a lock is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossReason {
    /// So many nodes have no key of ours that a quorum cannot be kept.
    NotOurs,
    /// A person has taken our key away from some nodes, and no quorum is known to have it still.
    TakenAway,
    /// No quorum extended it before its validity ended.
    NotExtended,
}

impl fmt::Display for LossReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOurs => "a majority of the servers says that it is not ours any more",
            Self::TakenAway => "somebody has taken it away",
            Self::NotExtended => "it could not be extended in time",
        })
    }
}

/// A lock that is being kept.
pub struct Lease<N> {
    grip: Grip<N>,
    state: watch::Receiver<State>,
    /// The nodes that failed in the last round, if there was one.
    failed: Arc<Mutex<Option<Vec<usize>>>>,
    hurry: Arc<Notify>,
    /// One task; it ends with this value.
    keeper: JoinSet<()>,
    /// The proof of ownership.
    pub token: Token,
    /// The fencing token.
    pub fencing_token: FencingToken,
    /// When it was acquired.
    pub since: Instant,
}

impl<N: Node> Lease<N> {
    /// Keeps `held`, which was acquired just now. Each node has `node_timeout` for an answer, and
    /// more while rounds fail.
    #[must_use]
    pub fn keep(held: Held<N>, node_timeout: Duration) -> Self {
        let grip = held.grip;
        let first = State::Held {
            until: held.valid_until,
            extensions: 0,
        };
        let (publish, state) = watch::channel(first);
        let failed = Arc::<Mutex<_>>::default();
        let hurry = Arc::new(Notify::new());
        let keeper = Keeper {
            nodes: Arc::clone(grip.nodes()),
            entry: Arc::clone(grip.entry()),
            fence: held.fencing_token.0,
            node_timeout,
            valid_until: held.valid_until,
            extensions: 0,
            publish,
            failed: Arc::clone(&failed),
            hurry: Arc::clone(&hurry),
            is_in_a_hurry: false,
            taken_at: None,
        };
        let listen_from = held.started + deaf(&held.votes);
        let mut task = JoinSet::new();
        task.spawn(keeper.keep(held.started, listen_from));
        Self {
            grip,
            state,
            failed,
            hurry,
            keeper: task,
            token: held.token,
            fencing_token: held.fencing_token,
            since: clock::now(),
        }
    }

    /// The configured nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &N> {
        self.grip.nodes().iter().map(Arc::as_ref)
    }

    /// Whether we hold the lock, as far as is known now.
    #[must_use]
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// The next state; never answers once the lock is lost.
    pub async fn changed(&mut self) -> State {
        match self.state.changed().await {
            Ok(()) => self.state.borrow_and_update().clone(),
            // The task ends only after it has published the loss, which was seen.
            Err(_) => std::future::pending().await,
        }
    }

    /// Asks the nodes now whether the lock is ours. A change of state tells the answer.
    pub fn extend_now(&self) {
        self.hurry.notify_one();
    }

    /// Stops keeping the lock. The grip is to be released then: nobody extends it any more.
    #[must_use]
    pub async fn stop(mut self) -> Grip<N> {
        // What is under way when the task ends is ordered before the release on its connection. And
        // with the task we hang up: who waits must not find us among those who hear the release.
        self.keeper.shutdown().await;
        let failed = self
            .failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(failed) = failed {
            self.grip.asked_again(failed);
        }
        self.grip
    }
}
