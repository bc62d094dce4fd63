//! One round of asking all nodes, which `redlock` has begun: counts, raises counters, and lets go.
//!
//! Every attempt has a token of its own, and ends as a [`Held`] or with its [`Grip`] let go. What
//! answers mean is decided in `quorum`. Called by `redlock`.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::claim::{Claim, FencingToken, Token};
use super::grip::{self, Grip, Settled};
use super::quorum::{self, Answers, Fencing, Verdict};
use super::redlock::{Held, Invalid};
use super::silence::{Silence, Waited};
use crate::clock::Instant;
use crate::node::{Answer, Node, Vote};

/// Rounds of raising the fencing counters before an attempt is given up. Each round but the last
/// was overtaken by another contender, who is then as far as we are.
const FENCING_ROUNDS: usize = 8;

/// What it takes to acquire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// A majority of servers that have been up for long enough.
    Majority,
    /// Every server that has been up for so long: right after all of them answered that they
    /// restarted.
    ColdStart {
        /// As in [`Restarts::cold_start_min_uptime`](super::restart::Restarts).
        min_uptime: Duration,
    },
}

impl Rule {
    fn verdict(self, votes: &Answers<Vote>) -> Verdict {
        match self {
            Self::Majority => quorum::verdict(votes),
            Self::ColdStart { .. } => quorum::cold_start_verdict(votes),
        }
    }
}

/// One round of asking, and its votes so far.
pub(super) struct Attempt<N> {
    pub(super) rule: Rule,
    pub(super) grip: Grip<N>,
    pub(super) token: Token,
    pub(super) started: Instant,
    pub(super) limit: Duration,
    pub(super) votes: Answers<Vote>,
    pub(super) pending: JoinSet<(usize, Answer<Vote>)>,
    pub(super) waited: Waited,
}

/// Why an attempt did not get the lock.
pub(super) type Denial = (Verdict, Option<Invalid>);

impl<N: Node> Attempt<N> {
    /// Counts votes until they decide, and settles the fencing token. Answers the token and until
    /// when the lock is valid, or why there is none.
    pub(super) async fn decide(
        &mut self,
        claim: &Claim,
        silence: &Silence,
    ) -> Result<(FencingToken, Instant), Denial> {
        let mut verdict = self.rule.verdict(&self.votes);
        while verdict == Verdict::Undecided {
            let hurries = silence.is_all_that_is_missing(&self.votes);
            let give_up = hurries.then(|| grip::grace(self.started, self.limit));
            if let Some((index, vote)) = grip::next_before(&mut self.pending, give_up).await {
                self.votes[index] = Some(vote);
            } else {
                silence.count_out(&mut self.votes);
                self.waited = Waited::NotForTheSilent;
            }
            verdict = self.rule.verdict(&self.votes);
        }
        if verdict != Verdict::Acquired {
            return Err((verdict, None));
        }
        let valid_until = quorum::valid_until(self.started, claim.ttl);
        let fence = self.settle_fencing(valid_until).await;
        // Invariant I3: looked at after the last reply that counts.
        if valid_until.has_passed() {
            return Err((verdict, Some(Invalid::TooLate)));
        }
        match fence {
            Some(fence) => Ok((FencingToken(fence), valid_until)),
            None => Err((verdict, Some(Invalid::Unfenced))),
        }
    }

    /// Raises the granting nodes until a quorum of them stands at one number. In the common case
    /// they do from the start, and nothing is sent.
    async fn settle_fencing(&self, valid_until: Instant) -> Option<u64> {
        let granting = |(index, vote): (usize, &Option<Answer<Vote>>)| match vote {
            Some(Ok(Vote::Granted { fence, .. })) => Some((index, *fence)),
            _ => None,
        };
        let granted: Vec<(usize, u64)> =
            self.votes.iter().enumerate().filter_map(granting).collect();
        let mut fences: Vec<u64> = granted.iter().map(|&(_, fence)| fence).collect();
        for _ in 0..FENCING_ROUNDS {
            match quorum::fencing(&fences, self.votes.len()) {
                Fencing::Agreed(fence) => return Some(fence),
                Fencing::Raise(fence) if !valid_until.has_passed() => {
                    fences = self.raise(&granted, fence).await;
                }
                Fencing::Raise(_) | Fencing::Failed => return None,
            }
        }
        None
    }

    /// One round: raises the counters of the `granted` nodes to `fence`. Stops as soon as a quorum
    /// stands there: a hung node must not hold up a lock that is held.
    async fn raise(&self, granted: &[(usize, u64)], fence: u64) -> Vec<u64> {
        let mut round = JoinSet::new();
        for &(index, _) in granted {
            let node = Arc::clone(&self.grip.nodes()[index]);
            let (entry, limit) = (Arc::clone(self.grip.entry()), self.limit);
            round.spawn(async move { node.raise(entry, fence, limit).await });
        }
        let mut answers = Vec::with_capacity(granted.len());
        while let Some(answer) = round.join_next().await {
            answers.push(answer.expect("a request to a node neither panics nor is aborted"));
            let fences = quorum::raised(&answers);
            if matches!(
                quorum::fencing(&fences, self.votes.len()),
                Fencing::Agreed(_)
            ) {
                return fences;
            }
        }
        quorum::raised(&answers)
    }

    pub(super) async fn abandon(&mut self) -> Settled {
        self.grip.keep_stragglers(std::mem::take(&mut self.pending));
        let settled = self
            .grip
            .abandon(&self.votes, self.started, self.limit)
            .await;
        grip::reopen_failed(self.grip.nodes(), &self.votes);
        settled
    }

    /// Hears the nodes that have not answered yet for as long again as the attempt has taken, as
    /// long as there is nothing of ours to be taken back. They will most likely refuse as well;
    /// otherwise each of them would be owed a release and a new connection.
    pub(super) async fn hear_out(&mut self) {
        let is_granted = |vote: &Option<_>| matches!(vote, Some(Ok(Vote::Granted { .. })));
        let until = grip::grace(self.started, self.limit);
        while !self.votes.iter().any(is_granted) {
            let Some((index, vote)) = grip::next_before(&mut self.pending, Some(until)).await
            else {
                return;
            };
            self.votes[index] = Some(vote);
        }
    }

    pub(super) fn into_held(
        mut self,
        fencing_token: FencingToken,
        valid_until: Instant,
    ) -> Held<N> {
        self.grip.keep_stragglers(self.pending);
        self.grip.acquired(&self.votes);
        Held {
            votes: self.votes,
            grip: self.grip,
            token: self.token,
            fencing_token,
            started: self.started,
            valid_until,
        }
    }
}
