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
    /// The nodes that were told once more, since the connection broke before they answered: what
    /// they have not any more they may have let go of when they were told first.
    pub(super) told_again: Vec<usize>,
}

impl Letting {
    /// Nothing is answered yet by any of `nodes` nodes, of which `owing` were sent a byte.
    pub(super) fn begin(nodes: usize, owing: usize) -> Self {
        Self {
            answers: vec![None; nodes],
            wanted: quorum::majority(nodes).min(owing),
            told_again: Vec::new(),
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
        self.gone().count() >= quorum::majority(self.answers.len())
    }

    /// Whether nobody knows if the lock [was gone](Self::was_gone) or we released it: too many of
    /// the nodes that have nothing were told twice, and may have let go when they were told first.
    #[must_use]
    pub fn may_be_released(&self) -> bool {
        let is_certain = |index: &usize| !self.told_again.contains(index);
        let certain = self.gone().filter(is_certain).count();
        self.was_gone() && certain < quorum::majority(self.answers.len())
    }

    /// The nodes that had nothing of ours any more.
    fn gone(&self) -> impl Iterator<Item = usize> {
        let gone = |index: &usize| matches!(self.answers[*index], Some(Ok(Release::NotOurs)));
        (0..self.answers.len()).filter(gone)
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
