//! What people do with a lock: look at it, prolong it, give it back, take it away.
//!
//! Unlike a run, a person waits for every node, as long as a node may take, and sees what each
//! answered. Called by `commands`.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinSet;

use super::claim::{Token, holder_of, marker_of};
use super::grip::reopen_failed;
use super::outcome::{Outcome, evicted, extended, has_quorum, refused, removed};
use super::quorum::{self, Answers, Named, named};
use super::redlock::{Held, Redlock};
use super::view::{Look, NodeView, Standing, View};
use super::wait;
use crate::clock::{self, Instant};
use crate::node::{
    self, Answer, ByHand, Entry, Extension, Node, NodeError, Proof, Removal, Sight, Vote,
};

/// The least time that nodes beyond the quorum are given to answer when a lock was acquired.
const LEAST_HEARING: Duration = Duration::from_millis(20);

/// For how long a lock is put back before it is known to be still held: longer than a look takes
/// with all its pauses. So many times a node's time limit are added for its retries.
const MOMENT: Duration = Duration::from_secs(3);
const LOOKS: u32 = 1 + wait::OUTAGE_RETRIES;

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

    /// Prolongs the lock under `key` that `token` proves to be ours: raises its rest to at least
    /// `ttl`, and puts it back where a minority has lost it. Looks at it before: what a minority
    /// has left of it is worth nothing, and would only be in the way for longer.
    pub async fn extend_by_hand(
        &self,
        key: &str,
        token: &Token,
        ttl: Duration,
        node_timeout: Duration,
    ) -> (Outcome, Named<Extension>) {
        let shown = self.inspect(key, node_timeout).await;
        let answers = without_extending(&shown, token);
        let outcome = extended(&answers);
        if matches!(outcome, Outcome::Gone | Outcome::Taken(_)) {
            return (outcome, named(self.nodes(), answers));
        }
        let entry = Arc::new(Entry {
            keys: vec![key.to_owned()],
            // The holder is not known here, and not needed: nothing is created.
            value: format!("{} ", token.as_str()).into_bytes(),
            ttl,
            stay: ttl,
        });
        let started = clock::now();
        let decided = |answers: &Answers<_>| extended(&lasting(answers, ttl)) != Outcome::NoQuorum;
        let answers = self
            .ask(node_timeout, decided, |_, node, limit| {
                let entry = Arc::clone(&entry);
                let began = clock::now();
                async move { Ok((node.extend(entry, 0, limit).await?, began)) }
            })
            .await;
        let mut answers = lasting(&answers, ttl);
        let mut outcome = extended(&answers);
        if outcome == Outcome::Done {
            let until = quorum::valid_until(started, ttl);
            let putting_back = self.put_back(&shown, &entry, until, &mut answers, node_timeout);
            let seen = putting_back.await;
            if let Some(not_ours) = seen.as_ref().and_then(|seen| not_ours(seen, token)) {
                outcome = not_ours;
                answers = seen.map_or(answers, |seen| without_extending(&seen, token));
            } else if until.has_passed() {
                outcome = Outcome::NoQuorum;
                answers.iter_mut().for_each(expire);
            }
        }
        (outcome, named(self.nodes(), answers))
    }

    /// Puts a lock that a quorum has just extended back on the nodes that have lost it, as it was
    /// `shown` by another: those that still have it may be the next to lose it. They are few, and
    /// asked one after the other, and not once the lock may be over (`until`).
    ///
    /// Somebody may have released it meanwhile. So it is put there for a moment only, and prolonged
    /// if it is still held then. It is never taken away again, invariant I5: somebody else who
    /// extends this lock may have counted it by now. Answers what was seen last, if anything was
    /// put back.
    async fn put_back(
        &self,
        shown: &View,
        extended: &Arc<Entry>,
        until: Instant,
        answers: &mut Answers<Extension>,
        node_timeout: Duration,
    ) -> Option<View> {
        let is_ours = |value: &[u8]| node::is_ours(value, extended.token());
        let (mut for_a_moment, mut fence) = (None, 0);
        for node in &shown.nodes {
            let Ok(Sight {
                found: Some(found),
                fence: counter,
                ..
            }) = &node.look.answer
            else {
                continue;
            };
            if is_ours(&found.value.value) {
                fence = fence.max(counter.unwrap_or_default());
                for_a_moment = Some(Arc::new(Entry {
                    keys: extended.keys.clone(),
                    value: found.value.value.clone(),
                    ttl: (MOMENT + node_timeout * LOOKS).min(extended.ttl),
                    stay: extended.stay,
                }));
            }
        }
        let for_a_moment = for_a_moment?;
        let mut last_seen = None;
        for (node, answer) in self.nodes().iter().zip(answers) {
            if !matches!(answer, Some(Ok(Extension::Missing))) || until.has_passed() {
                continue;
            }
            let entry = Arc::clone(&for_a_moment);
            let mut healed = node.heal(entry, fence, node_timeout).await;
            if matches!(healed, Ok(Extension::Extended { .. })) {
                let seen = self.inspect(&extended.keys[0], node_timeout).await;
                let by = seen.by.as_ref().filter(|_| seen.standing == Standing::Held);
                let is_held = by.is_some_and(|by| is_ours(&by.value));
                last_seen = Some(seen);
                if !is_held {
                    continue;
                }
                healed = node.extend(Arc::clone(extended), 0, node_timeout).await;
            }
            *answer = Some(healed);
        }
        last_seen
    }

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

/// What an extension comes to by now, if a quorum says in `seen` that the lock of `token` is over.
fn not_ours(seen: &View, token: &Token) -> Option<Outcome> {
    let by = seen.by.as_ref();
    match seen.standing {
        Standing::Undecided => None,
        Standing::Free => Some(Outcome::Gone),
        Standing::Held | Standing::Kept | Standing::Done => by
            .filter(|by| !node::is_ours(&by.value, token.as_str().as_bytes()))
            .map(|by| Outcome::Taken(by.clone())),
    }
}

/// What the nodes would answer to an extension, as far as they show it, of which none was made.
fn without_extending(shown: &View, token: &Token) -> Answers<Extension> {
    let proof = Proof::Token(token.as_str().as_bytes().to_vec());
    let nodes = shown.nodes.iter().map(|node| match &node.look.answer {
        Err(error) => Err(error.clone()),
        Ok(Sight { found: None, .. }) => Ok(Extension::Missing),
        Ok(Sight {
            found: Some(found), ..
        }) if proof.fits(&found.value.value, &found.print) => {
            let text = "not extended, for the others have nothing of it any more";
            Err(NodeError::Failed(text.to_owned()))
        }
        Ok(Sight {
            found: Some(found), ..
        }) => Ok(Extension::Foreign(found.value.clone())),
    });
    nodes.map(Some).collect()
}

/// Why an extension is none of which nothing is left.
fn too_late() -> NodeError {
    let text = "extended, but the others took so long that nothing is left of the TTL";
    NodeError::Failed(text.to_owned())
}

/// Makes an extension none.
fn expire(answer: &mut Option<Answer<Extension>>) {
    if matches!(answer, Some(Ok(Extension::Extended { .. }))) {
        *answer = Some(Err(too_late()));
    }
}

/// What was answered, without the extensions of which nothing may be left: asking nodes again and
/// again can take longer than a short TTL, invariant I3. And of a server that has two names, one.
fn lasting(answers: &Answers<(Extension, Instant)>, ttl: Duration) -> Answers<Extension> {
    let lasts = |answer: &Answer<(Extension, Instant)>| match answer {
        Ok((Extension::Extended { .. }, began))
            if quorum::valid_until(*began, ttl).has_passed() =>
        {
            Err(too_late())
        }
        Ok((extension, _)) => Ok(extension.clone()),
        Err(error) => Err(error.clone()),
    };
    let lasts = |answer: &Option<_>| answer.as_ref().map(lasts);
    let mut answers: Answers<_> = answers.iter().map(lasts).collect();
    quorum::count_servers_once(&mut answers);
    answers
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
