//! How a release ended, node by node, and whether that is enough.
//!
//! PURE: counts answers, sends nothing.

use crate::lock::quorum::{self, Answers};
use crate::node::{Answer, Release};

/// How a release ended, node by node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letting {
    /// What each node answered; `None` as well for a node that was never sent a byte.
    pub answers: Answers<Release>,
    /// How many nodes must have let go: a quorum, or all that were sent a byte if those are fewer.
    wanted: usize,
}

impl Letting {
    /// Nothing is answered yet by any of `nodes` nodes, of which `owing` were sent a byte.
    pub(super) fn begin(nodes: usize, owing: usize) -> Self {
        Self {
            answers: vec![None; nodes],
            wanted: quorum::majority(nodes).min(owing),
        }
    }

    /// Whether so many let go for sure that the lock is free.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing() == 0
    }

    /// Whether the lock was gone before it was released: a quorum had nothing of ours any more.
    #[must_use]
    pub fn was_gone(&self) -> bool {
        let gone = |answer: &&Option<_>| matches!(answer, Some(Ok(Release::NotOurs)));
        self.answers.iter().filter(gone).count() >= quorum::majority(self.answers.len())
    }

    /// Whether a quorum had the lock still as ours, so that what was to be left there is known to
    /// be.
    #[must_use]
    pub fn is_left(&self) -> bool {
        let left = |answer: &&Option<_>| matches!(answer, Some(Ok(Release::Released { .. })));
        self.answers.iter().filter(left).count() >= quorum::majority(self.answers.len())
    }

    /// Whether all of the `awaited` nodes have answered, whatever it was.
    pub(super) fn has_heard(&self, awaited: &[usize]) -> bool {
        awaited.iter().all(|&index| self.answers[index].is_some())
    }

    /// How many answers are still to come.
    fn missing(&self) -> usize {
        let answered = |answer: &&Option<Answer<_>>| matches!(answer, Some(Ok(_)));
        self.wanted
            .saturating_sub(self.answers.iter().filter(answered).count())
    }
}
