//! Giving a lock back by hand, and taking it away: exactly the one that is meant, and for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::lock::by_hand::outcome::{Outcome, evicted, has_quorum, removed};
use crate::lock::claim::{holder_of, marker_of};
use crate::lock::quorum::{Answers, Named, named};
use crate::lock::redlock::Redlock;
use crate::lock::view::{NodeView, View};
use crate::node::{ByHand, NodeError, Proof, Removal};

/// How often a lock is taken away that its holder puts back.
const REMOVALS: u32 = 3;

/// What is to be removed from a node.
#[derive(Clone)]
struct Meant {
    proof: Arc<Proof>,
    /// Whether it was seen there before; or elsewhere, while this node did not answer.
    seen: bool,
}

impl<N: ByHand> Redlock<N> {
    /// Gives back the lock under `key` that `token` proves to be ours; another program's value is
    /// its own token. Looks at it before: a node whose answer is late is asked again, and has
    /// nothing then, whether it has removed the lock or never had it.
    pub async fn release_by_hand(
        &self,
        key: &str,
        token: &[u8],
        node_timeout: Duration,
    ) -> (Outcome, Named<Removal>) {
        let proof = Arc::new(Proof::Token(token.to_vec()));
        let shown = self.inspect(key, node_timeout).await;
        let fits = |node: &NodeView| {
            let found = node.found();
            found.is_some_and(|found| proof.fits(&found.value.value, &found.print))
        };
        let is_shown = shown.nodes.iter().any(fits);
        let meant = shown.nodes.iter().map(|node| Meant {
            seen: fits(node) || is_shown && node.look.answer.is_err(),
            proof: Arc::clone(&proof),
        });
        let answers = self
            .remove_for_good(key, meant.collect(), node_timeout)
            .await;
        let mut outcome = removed(&answers);
        // Whether it was there before nobody knows, if a quorum could not be looked at.
        if outcome == Outcome::Gone && shown.answered() < shown.quorum {
            outcome = Outcome::NoQuorum;
        }
        (outcome, named(self.nodes(), answers))
    }

    /// Takes away the lock that `shown` is a view of, and nothing else. A node that showed nothing
    /// is asked for what most others showed: its answer may have been lost.
    pub async fn evict(
        &self,
        key: &str,
        shown: &View,
        node_timeout: Duration,
    ) -> (Outcome, Named<Removal>) {
        let nodes = shown.nodes.iter();
        let prints = nodes.map(|node| node.found().map(|found| found.print.clone()));
        let prints: Vec<Option<String>> = prints.collect();
        let count = |print: &String| prints.iter().flatten().filter(|p| *p == print).count();
        let most = prints.iter().flatten().max_by_key(|print| count(print));
        let most = most.cloned().unwrap_or_default();
        let unanswered = shown.nodes.iter().map(|node| node.look.answer.is_err());
        let meant = prints.into_iter().zip(unanswered);
        let meant = meant.map(|(print, is_unanswered)| Meant {
            seen: is_unanswered || print.is_some(),
            proof: Arc::new(Proof::Print(print.unwrap_or_else(|| most.clone()))),
        });
        let answers = self
            .remove_for_good(key, meant.collect(), node_timeout)
            .await;
        (evicted(&answers), named(self.nodes(), answers))
    }

    /// Removes from each node what is `meant` there, and looks whether it stays away: its holder,
    /// if he found it missing on one node and did not hear why, puts it back, also where something
    /// else was removed. Only a redlock does that; what looks like another program's lock that was
    /// removed may be its next.
    async fn remove_for_good(
        &self,
        key: &str,
        mut meant: Vec<Meant>,
        node_timeout: Duration,
    ) -> Answers<Removal> {
        let proofs: Vec<_> = meant.iter().map(|meant| Arc::clone(&meant.proof)).collect();
        let mut answers = self.remove(key, &meant, node_timeout).await;
        if !answers.contains(&Some(Ok(Removal::Removed))) {
            return answers;
        }
        for removal in 1..=REMOVALS {
            let seen = self.inspect(key, node_timeout).await;
            let back = back_on(&seen, &answers, &proofs);
            for (index, proof) in &back {
                let text = "released, and put back by its holder";
                answers[*index] = Some(Err(NodeError::Failed(text.to_owned())));
                meant[*index].proof = Arc::clone(proof);
            }
            if back.is_empty() || removal == REMOVALS {
                break;
            }
            let mut again = self.remove(key, &meant, node_timeout).await;
            for (index, _) in back {
                answers[index] = match again[index].take() {
                    // Its holder has let go of it himself.
                    Some(Ok(Removal::Missing)) => Some(Ok(Removal::Removed)),
                    answer => answer,
                };
            }
        }
        answers
    }

    /// Removes from each node what is `meant` there.
    async fn remove(&self, key: &str, meant: &[Meant], node_timeout: Duration) -> Answers<Removal> {
        let key: Arc<str> = key.into();
        // An answer that did not come, or not whole, may have been a removal.
        let late: Arc<[AtomicBool]> = meant.iter().map(|_| AtomicBool::new(false)).collect();
        self.ask(node_timeout, has_quorum, |index, node, limit| {
            let (key, Meant { proof, seen }) = (Arc::clone(&key), meant[index].clone());
            let late = Arc::clone(&late);
            async move {
                let answer = node.remove(key, proof, limit).await;
                let late = &late[index];
                match answer {
                    Ok(Removal::Missing) if seen && late.load(Ordering::Relaxed) => {
                        return Ok(Removal::Removed);
                    }
                    Err(NodeError::TimedOut(_) | NodeError::Unreachable(_)) => {
                        late.store(true, Ordering::Relaxed);
                    }
                    _ => {}
                }
                answer
            }
        })
        .await
    }
}

/// The nodes, by their places, that were rid of the lock as `answers` tell, and on which a redlock
/// holds it again, with the one of `proofs` that says so.
fn back_on(
    seen: &View,
    answers: &Answers<Removal>,
    proofs: &[Arc<Proof>],
) -> Vec<(usize, Arc<Proof>)> {
    let nodes = seen.nodes.iter().zip(answers).enumerate();
    let back = nodes.filter_map(|(index, (node, answer))| {
        let found = node.found()?;
        let value = &found.value.value;
        let was_rid = matches!(answer, Some(Ok(Removal::Removed | Removal::Missing)));
        let is_held = holder_of(value).is_some() && marker_of(value).is_none();
        let mut proofs = proofs.iter().filter(|_| was_rid && is_held);
        let proof = proofs.find(|proof| proof.fits(value, &found.print))?;
        Some((index, Arc::clone(proof)))
    });
    back.collect()
}
