//! Prolonging a lock by hand: on a quorum, and where a minority has lost it.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{self, Instant};
use crate::lock::by_hand::outcome::{Outcome, extended};
use crate::lock::claim::Token;
use crate::lock::quorum::{self, Answers, Named, named};
use crate::lock::redlock::Redlock;
use crate::lock::view::{Standing, View};
use crate::lock::wait;
use crate::node::{self, Answer, ByHand, Entry, Extension, NodeError, Proof, Sight};

/// For how long a lock is put back before it is known to be still held: longer than a look takes
/// with all its pauses. So many times a node's time limit are added for its retries.
const MOMENT: Duration = Duration::from_secs(3);
const LOOKS: u32 = 1 + wait::OUTAGE_RETRIES;

impl<N: ByHand> Redlock<N> {
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
