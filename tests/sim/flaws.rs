//! Ways to get the algorithm wrong, each of which somebody has shipped. They are kept so that we
//! know that the checker can fail; nothing of them is in `src/`.

use std::sync::Arc;
use std::time::Duration;

use redlock::node::{
    Answer, Ballot, Entry, Extension, Node, NodeName, Parting, Raised, Release, Vote,
};

use crate::plan::Kind;
use crate::sim_node::SimNode;

/// What is wrong with the algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing: the real thing.
    None,
    /// Servers that restarted without their data grant at once.
    NoRestartGuard,
    /// The largest counter is taken for the token, though no quorum stands there.
    NoSecondRound,
    /// The validity is counted from the last answer, not from before the first byte.
    ValidityFromTheEnd,
    /// A release deletes the key, whoever owns it.
    ReleaseOfAnybody,
    /// An extension puts the key back wherever it is gone, and counts that.
    ExtensionCreates,
    /// A key on any server is taken for a held lock.
    MinorityIsHeld,
}

impl Flaw {
    /// The kind of world in which it shows, if it is not all.
    pub fn shows_in(self) -> Option<Kind> {
        match self {
            Self::None => None,
            Self::MinorityIsHeld => Some(Kind::Crowd),
            _ => Some(Kind::Fair),
        }
    }
}

/// A node that lies as the flaw wants it.
pub struct FlawedNode {
    /// What it is without the flaw.
    pub inner: SimNode,
    /// How it lies.
    pub flaw: Flaw,
}

impl Node for FlawedNode {
    fn name(&self) -> &NodeName {
        self.inner.name()
    }

    async fn acquire(&self, entry: Arc<Entry>, ballot: Ballot, limit: Duration) -> Answer<Vote> {
        self.inner.acquire(entry, ballot, limit).await
    }

    async fn raise(&self, entry: Arc<Entry>, fence: u64, limit: Duration) -> Answer<Raised> {
        if self.flaw == Flaw::NoSecondRound {
            return Ok(Raised::To(fence));
        }
        self.inner.raise(entry, fence, limit).await
    }

    async fn extend(&self, entry: Arc<Entry>, fence: u64, limit: Duration) -> Answer<Extension> {
        if self.flaw == Flaw::ExtensionCreates {
            return self.inner.heal(entry, fence, limit).await;
        }
        self.inner.extend(entry, fence, limit).await
    }

    async fn heal(&self, entry: Arc<Entry>, fence: u64, limit: Duration) -> Answer<Extension> {
        self.inner.heal(entry, fence, limit).await
    }

    async fn release(
        &self,
        entry: Arc<Entry>,
        parting: Arc<Parting>,
        limit: Duration,
    ) -> Answer<Release> {
        if self.flaw == Flaw::ReleaseOfAnybody {
            return self.inner.delete(entry, limit).await;
        }
        self.inner.release(entry, parting, limit).await
    }

    fn may_hold_a_key(&self) -> bool {
        self.inner.may_hold_a_key()
    }

    fn is_in_touch(&self) -> bool {
        self.inner.is_in_touch()
    }

    fn reconnect(&self) {
        self.inner.reconnect();
    }
}
