//! What earlier attempts of one acquisition may have left on the nodes.
//!
//! An attempt that was written and not answered lets go like any other, but its release may be late
//! or lost as well. Whoever finds it then must not take it for another holder. Used by `redlock`.

use std::time::Duration;

use super::grip::Grip;
use super::quorum::Answers;
use crate::node::{Node, NodeError, Vote};

/// Earlier attempts of this acquisition that may still stand on some nodes: their release is on its
/// way, or was lost. Nobody else holds what they hold.
pub(super) struct Unsettled<N>(Vec<Grip<N>>);

/// Whether a node had what is left of our own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Leftover {
    /// None had.
    Nothing,
    /// One had, and does not count as taken any more.
    Ours,
}

/// How many of them are remembered: the latest.
const UNSETTLED_LIMIT: usize = 16;

impl<N> Default for Unsettled<N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<N: Node> Unsettled<N> {
    /// Remembers one more.
    pub(super) fn add(&mut self, grip: Grip<N>) {
        if self.0.len() == UNSETTLED_LIMIT {
            self.0.remove(0);
        }
        self.0.push(grip);
    }

    /// Lets go once more of what nodes took for another holder, and takes their votes away: what
    /// was left of us is a failure of theirs, and nobody's lock.
    pub(super) async fn settle(&mut self, votes: &mut Answers<Vote>, limit: Duration) -> Leftover {
        let mut found = Leftover::Nothing;
        for grip in &mut self.0 {
            let is_its = |vote: &Option<_>| match vote {
                Some(Ok(Vote::Taken { by, .. })) => by.value.starts_with(grip.entry().token()),
                _ => false,
            };
            let nodes: Vec<usize> = (0..votes.len())
                .filter(|&index| is_its(&votes[index]))
                .collect();
            if nodes.is_empty() {
                continue;
            }
            found = Leftover::Ours;
            grip.abandon_again(&nodes, limit).await;
            for index in nodes {
                let text = "had what was left of our last attempt".to_owned();
                votes[index] = Some(Err(NodeError::Failed(text)));
            }
        }
        found
    }
}
