//! What people do with a lock: look at it, prolong it (`extending`), give it back, take it away
//! (`removing`); and what came of that (`outcome`).
//!
//! Unlike a run, a person waits for every node, as long as a node may take, and sees what each
//! answered. Called by `commands`.

mod extending;
mod outcome;
mod removing;

pub use self::outcome::Outcome;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinSet;

use self::outcome::{has_quorum, refused};
use super::grip::reopen_failed;
use super::quorum::{Answers, Named, named};
use super::redlock::{Held, Redlock};
use super::view::{Look, View};
use super::wait;
use crate::clock;
use crate::node::{Answer, ByHand, Node, Vote};

/// The least time that nodes beyond the quorum are given to answer when a lock was acquired.
const LEAST_HEARING: Duration = Duration::from_millis(20);

impl<N: ByHand> Redlock<N> {
    /// Looks at `key` on all nodes.
    pub async fn inspect(&self, key: &str, node_timeout: Duration) -> View {
        let key: Arc<str> = key.into();
        let looks = self
            .ask(node_timeout, has_quorum, |_, node, limit| {
                let key = Arc::clone(&key);
                async move {
                    let began = clock::now();
                    let sight = node.inspect(key, limit).await;
                    sight.map(|sight| (sight, clock::now().since(began)))
                }
            })
            .await;
        let look = |answer: Option<Answer<_>>| match answer {
            Some(Ok((sight, took))) => Look {
                answer: Ok(sight),
                took: Some(took),
            },
            Some(Err(error)) => Look {
                answer: Err(error),
                took: None,
            },
            None => unreachable!("every node was asked"),
        };
        let looks = named(self.nodes(), looks).into_iter();
        let looks = looks.map(|(name, answer)| (name, look(answer)));
        View::of(looks.collect())
    }

    /// What each node tells of the last runs of the resource with this `key`; see
    /// [`merge`](super::history::merge).
    pub async fn history(&self, key: &str, node_timeout: Duration) -> Named<Vec<String>> {
        let key: Arc<str> = key.into();
        let answers = self.ask(node_timeout, has_quorum, |_, node, limit| {
            let key = Arc::clone(&key);
            async move { node.history(key, limit).await }
        });
        named(self.nodes(), answers.await)
    }

    /// Asks every node, and those that failed again and for longer while that can still decide.
    async fn ask<T, F>(
        &self,
        node_timeout: Duration,
        decided: impl Fn(&Answers<T>) -> bool,
        ask: impl Fn(usize, Arc<N>, Duration) -> F,
    ) -> Answers<T>
    where
        T: Send + 'static,
        F: Future<Output = Answer<T>> + Send + 'static,
    {
        let mut answers: Answers<T> = self.nodes().iter().map(|_| None).collect();
        let mut rng = Rng::new();
        for round in 0..=wait::OUTAGE_RETRIES {
            let limit = wait::limit(node_timeout, round);
            let mut asked = JoinSet::new();
            for (index, node) in self.nodes().iter().enumerate() {
                if !matches!(answers[index], Some(Ok(_))) {
                    let asking = ask(index, Arc::clone(node), limit);
                    asked.spawn(async move { (index, asking.await) });
                }
            }
            for (index, answer) in asked.join_all().await {
                answers[index] = Some(answer);
            }
            if round == wait::OUTAGE_RETRIES || decided(&answers) || refused(&answers) {
                break;
            }
            reopen_failed(self.nodes(), &answers);
            clock::sleep_until(clock::now() + wait::outage_pause(&mut rng)).await;
        }
        answers
    }
}

impl<N: Node> Held<N> {
    /// Hears the nodes that had not answered when the lock was acquired, for as long again as that
    /// took: who leaves now would leave a slow node without the key. Most of the validity is left
    /// to whoever wants the lock.
    pub async fn hear_the_rest(&mut self, node_timeout: Duration) {
        let now = clock::now();
        let grace = now.since(self.started).max(LEAST_HEARING).min(node_timeout);
        let grace = grace.min(self.valid_until.since(now) / 4);
        self.grip
            .hear_stragglers(&mut self.votes, now + grace)
            .await;
    }

    /// What each node answered.
    #[must_use]
    pub fn named_votes(&self) -> Named<Vote> {
        named(self.grip.nodes(), self.votes.clone())
    }
}
