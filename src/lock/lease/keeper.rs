//! The task that keeps a lock: round after round, each of which extends it on a quorum, or does
//! not, and puts the key back where it is missing.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::{Loss, LossReason, State};
use crate::clock::{self, Instant};
use crate::lock::ear::{Ear, Heard};
use crate::lock::grip::{self, reopen_failed};
use crate::lock::quorum::{self, Answers, Keeping};
use crate::lock::wait;
use crate::node::{Answer, Entry, Extension, Node, Print, Vote};

/// How often a lock is extended within its TTL: two rounds may fail and a third still be in time.
const ROUNDS_PER_TTL: u32 = 3;

/// How often the nodes are asked again within the TTL while it is unknown whether the lock is kept.
const RETRIES_PER_TTL: u32 = 30;

/// By how much a node's time limit grows while rounds fail, however patient one is otherwise: a
/// slow server must not cost a lock that is there.
const LIMIT_GROWTH: u32 = 4;

/// The longest that somebody who waits for the answer waits for the nodes to be asked again.
const HURRY: Duration = Duration::from_secs(1);

/// How long a lock is held before its holder listens for release notices (somebody may take it away
/// by force): a job that is quicker pays nothing for it. A round goes with it, which puts the key
/// on the nodes that a contender, who came to nothing, had been quicker on.
const DEAF: Duration = Duration::from_millis(200);

/// The same where a contender had been quicker on some node. Until that node has our key the lock
/// hangs on the very nodes that granted it, and is lost with the data of one of three: it is asked
/// again in twice the time, and so on, until it does.
const DEAF_BESIDE_OTHERS: Duration = Duration::from_millis(50);

/// What is heard within this time is answered with one round: a forced release reaches the nodes
/// one after the other, and strangers who come to nothing are heard as well.
const HEARKEN: Duration = Duration::from_millis(10);

/// For how long somebody who has taken our key away from one node may be about to take it from the
/// others: as long as he asks those again that do not answer, and a little longer.
const TAKING_AWAY: Duration = Duration::from_secs(3);

/// How often a round looks for answers before it sleeps until they come. A look takes a microsecond
/// or two, and servers nearby have answered by then: all of them would wake us, one by one, and an
/// idle processor is put to rest and fetched back each time.
const LOOKS: u32 = 500;

/// Comes a moment after somebody released the lock, on whatever node, or could have done so
/// unheard: before the node was listened to. Notes in `taken_at` if it was what is known by `ours`
/// that a person has taken away.
async fn released(ear: &mut Ear, ours: Option<Print>, taken_at: &mut Option<Instant>) {
    let mut note = |heard| {
        if matches!(heard, Heard::TakenAway(_, print) if Some(print) == ours) {
            *taken_at = Some(clock::now());
        }
    };
    loop {
        match ear.hear().await {
            Heard::Listening(_) | Heard::Released(..) => break,
            heard @ Heard::TakenAway(..) => note(heard),
            Heard::Deaf(_) => {}
        }
    }
    clock::sleep_until(clock::now() + HEARKEN).await;
    ear.heard_so_far().into_iter().for_each(note);
}

/// After what time a round is followed by the next, when so many in a row have found somebody else
/// on a node.
fn round_after(ttl: Duration, beside_others: u32) -> Duration {
    let usual = ttl / ROUNDS_PER_TTL;
    match beside_others {
        0 => usual,
        rounds => usual.min(DEAF_BESIDE_OTHERS * 2_u32.saturating_pow(rounds.min(16))),
    }
}

/// Whether somebody else has a key on a node.
fn is_beside_others(answers: &Answers<Extension>) -> bool {
    let is_foreign = |answer: &Option<_>| matches!(answer, Some(Ok(Extension::Foreign(_))));
    answers.iter().any(is_foreign)
}

/// How long a lock that was acquired by these `votes` is held before its holder listens.
pub(super) fn deaf(votes: &Answers<Vote>) -> Duration {
    let is_taken = |vote: &Option<_>| matches!(vote, Some(Ok(Vote::Taken { .. })));
    if votes.iter().any(is_taken) {
        DEAF_BESIDE_OTHERS
    } else {
        DEAF
    }
}

/// A node's time limit after so many `failures` in a row, when `rest` of the validity is left: it
/// doubles while rounds fail, since a slow answer is better than none, and is half of that rest at
/// most, so that there is always time to ask once more, on new connections.
fn limit(node_timeout: Duration, failures: u32, rest: Duration) -> Duration {
    let growing = node_timeout * 2_u32.saturating_pow(failures).min(LIMIT_GROWTH);
    growing
        .max(wait::limit(node_timeout, failures))
        .min(rest / 2)
        .max(Duration::from_millis(1))
}

/// One round of extension: the answers that are there, and those that are still awaited.
struct Round {
    answers: Answers<Extension>,
    pending: JoinSet<(usize, Answer<Extension>)>,
    looks: u32,
}

impl Round {
    /// Waits for one more answer; false if there is none to wait for.
    async fn next(&mut self) -> bool {
        let mut joined = self.pending.try_join_next();
        while joined.is_none() && self.looks > 0 && !self.pending.is_empty() {
            self.looks -= 1;
            // The servers first, should we share a processor with them.
            if !clock::step_back().await {
                break;
            }
            joined = self.pending.try_join_next();
        }
        if joined.is_none() {
            joined = self.pending.join_next().await;
        }
        let Some(joined) = joined else {
            return false;
        };
        let (index, answer) = joined.expect("a request to a node neither panics nor is aborted");
        self.answers[index] = Some(answer);
        quorum::count_servers_once(&mut self.answers);
        true
    }
}

/// The task's own state.
pub(super) struct Keeper<N> {
    pub(super) nodes: Arc<[Arc<N>]>,
    pub(super) entry: Arc<Entry>,
    pub(super) fence: u64,
    pub(super) node_timeout: Duration,
    pub(super) valid_until: Instant,
    pub(super) extensions: u64,
    pub(super) publish: watch::Sender<State>,
    /// As in [`Lease`](super::Lease).
    pub(super) failed: Arc<Mutex<Option<Vec<usize>>>>,
    /// Somebody wants to know now.
    pub(super) hurry: Arc<Notify>,
    /// Somebody wanted to, and does not know yet.
    pub(super) is_in_a_hurry: bool,
    /// When we last heard that a person had taken our key away from a node.
    pub(super) taken_at: Option<Instant>,
}

impl<N: Node> Keeper<N> {
    /// Extends until the lock is lost. `started` is when the last successful round began; releases
    /// are listened to from `listen_from` on.
    pub(super) async fn keep(mut self, mut started: Instant, listen_from: Instant) {
        let ttl = self.entry.ttl;
        let keys = &self.entry.keys;
        let mut ear = Ear::open(&self.nodes, keys, listen_from, self.node_timeout);
        let mut failures = 0;
        let mut last_failed = None;
        // How many rounds in a row have found somebody else on a node.
        let mut beside_others = 0;
        let ours = Print::of(&self.entry.value);
        loop {
            let next = if failures == 0 {
                started + round_after(ttl, beside_others)
            } else {
                self.next_retry(failures)
            };
            self.rest(next, &mut ear, ours).await;
            if self.valid_until.has_passed()
                && let Some(answers) = last_failed
            {
                // Another round could only tell that there was no time left for it.
                return self.lost(LossReason::NotExtended, answers);
            }
            let round_started = clock::now();
            let limit = limit(self.node_timeout, failures, self.valid_until.remaining());
            let (keeping, round) = self.ask(limit).await;
            // A round that ends after the validity is lost, whatever the replies: somebody else may
            // have had the lock in between.
            if self.valid_until.has_passed() {
                return self.lost(LossReason::NotExtended, round.answers);
            }
            match keeping {
                Keeping::Extended => {
                    started = round_started;
                    failures = 0;
                    last_failed = None;
                    self.is_in_a_hurry = false;
                    self.extended(quorum::valid_until(started, ttl));
                    let next = started + ttl / ROUNDS_PER_TTL;
                    let answers = self.finish(round, limit, next).await;
                    beside_others = if is_beside_others(&answers) {
                        beside_others + 1
                    } else {
                        0
                    };
                    self.note_failed(&answers);
                }
                Keeping::Lost => return self.lost(LossReason::NotOurs, round.answers),
                // Somebody has just taken our key from some nodes: those that do not answer may
                // have lost it to him as well.
                _ if self.taking_away_until().is_some() => {
                    return self.lost(LossReason::TakenAway, round.answers);
                }
                Keeping::Unknown | Keeping::Undecided => {
                    failures += 1;
                    let answers = round.answers;
                    self.note_failed(&answers);
                    reopen_failed(&self.nodes, &answers);
                    if last_failed.is_none() || limit >= self.node_timeout {
                        last_failed = Some(answers.clone());
                    }
                    self.publish.send_replace(State::Unknown {
                        until: self.valid_until,
                        answers: quorum::named(&self.nodes, answers.clone()),
                    });
                    self.heal_all(&answers).await;
                }
            }
        }
    }

    /// Sleeps until the `next` round, or until there is a reason to ask the nodes sooner.
    async fn rest(&mut self, mut next: Instant, ear: &mut Ear, ours: Option<Print>) {
        if let Some(over) = self.taking_away_until() {
            next = next.min(over);
        }
        tokio::select! {
            () = clock::sleep_until(next.min(self.valid_until)) => {}
            // A hint that it was taken away from us: to be asked, never to be believed.
            () = released(ear, ours, &mut self.taken_at) => {}
            () = self.hurry.notified() => self.is_in_a_hurry = true,
        }
    }

    /// At once after the first failed round, on new connections; then again and again.
    fn next_retry(&self, failures: u32) -> Instant {
        let mut pause = self.entry.ttl / RETRIES_PER_TTL;
        if self.is_in_a_hurry {
            pause = pause.min(HURRY);
        }
        let pause = pause.max(self.node_timeout);
        if failures == 1 {
            clock::now()
        } else {
            clock::now() + pause
        }
    }

    /// Asks every node, until the answers decide.
    async fn ask(&self, limit: Duration) -> (Keeping, Round) {
        let nodes = &self.nodes;
        let mut round = Round {
            answers: vec![None; nodes.len()],
            pending: JoinSet::new(),
            looks: LOOKS,
        };
        for (index, node) in nodes.iter().enumerate() {
            let (node, entry) = (Arc::clone(node), Arc::clone(&self.entry));
            let fence = self.fence;
            round
                .pending
                .spawn(async move { (index, node.extend(entry, fence, limit).await) });
        }
        let mut keeping = Keeping::Undecided;
        while keeping == Keeping::Undecided && round.next().await {
            keeping = quorum::keeping(&round.answers);
        }
        (keeping, round)
    }

    /// Hears the rest of a round that extended, puts the key back where it was missing, gives up
    /// the connections that failed, and tells what each node answered in the end. Nothing of it
    /// counts in this round, and it must not hold up the `next` one: after failed rounds a node has
    /// so much time that the lock could expire meanwhile.
    async fn finish(&self, mut round: Round, limit: Duration, next: Instant) -> Answers<Extension> {
        let rest = async {
            let mut healing = JoinSet::new();
            let mut healed = vec![false; round.answers.len()];
            loop {
                for index in self.to_heal(&round.answers) {
                    if !std::mem::replace(&mut healed[index], true) {
                        healing.spawn(self.heal(index, limit));
                    }
                }
                if !round.next().await {
                    break;
                }
            }
            for (index, answer) in healing.join_all().await {
                round.answers[index] = Some(answer);
            }
        };
        tokio::select! {
            biased;
            () = rest => {}
            () = clock::sleep_until(next) => {}
        }
        reopen_failed(&self.nodes, &round.answers);
        round.answers
    }

    /// Puts the key on the nodes that have none, after a round with these `answers` that extended
    /// on no quorum. Until `valid_until` the lock is ours, so that nobody else has a quorum, and
    /// none of these keys counts before a later round has found it there: without them a lock would
    /// hang on the very nodes that it was acquired on, although others are there. They have just
    /// answered, so they have no more time than in a first round: the next one must not wait for
    /// one that hangs now.
    async fn heal_all(&self, answers: &Answers<Extension>) {
        let limit = limit(self.node_timeout, 0, self.valid_until.remaining());
        let to_heal = self.to_heal(answers).into_iter();
        let healing = to_heal.map(|index| self.heal(index, limit));
        healing.collect::<JoinSet<_>>().join_all().await;
    }

    /// The places of the nodes that have no key and shall have ours again: none while somebody is
    /// taking the lock away. He comes to one node after the other, and the farther one of them is
    /// from him the later he is there.
    fn to_heal(&self, answers: &Answers<Extension>) -> Vec<usize> {
        if self.taking_away_until().is_some() {
            return Vec::new();
        }
        let is_missing = |index: &usize| matches!(answers[*index], Some(Ok(Extension::Missing)));
        (0..answers.len()).filter(is_missing).collect()
    }

    /// Until when somebody may be taking the lock away; `None` if nobody is.
    fn taking_away_until(&self) -> Option<Instant> {
        let over = self.taken_at? + TAKING_AWAY;
        (!over.has_passed()).then_some(over)
    }

    /// Puts the key on the node at this place.
    fn heal(
        &self,
        index: usize,
        limit: Duration,
    ) -> impl Future<Output = (usize, Answer<Extension>)> + use<N> {
        grip::heal(&self.nodes, index, &self.entry, self.fence, limit)
    }

    fn note_failed(&self, answers: &Answers<Extension>) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        *failed = Some(grip::failed(answers));
    }

    fn extended(&mut self, valid_until: Instant) {
        self.valid_until = valid_until;
        self.extensions += 1;
        let state = State::Held {
            until: valid_until,
            extensions: self.extensions,
        };
        self.publish.send_replace(state);
    }

    fn lost(&self, why: LossReason, answers: Answers<Extension>) {
        let loss = Loss {
            why,
            answers: quorum::named(&self.nodes, answers),
        };
        self.publish.send_replace(State::Lost(loss));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{Foreign, NodeError};

    #[test]
    fn a_lock_on_a_bare_quorum_is_seen_to_soon() {
        let granted = Some(Ok(Vote::Granted {
            fence: 1,
            run_id: None,
        }));
        let taken = Some(Ok(Vote::Taken {
            by: Foreign {
                key: "lock:a".to_owned(),
                value: Vec::new(),
                digest: String::new(),
                kind: "string".to_owned(),
                ttl: None,
            },
            run_id: None,
            listeners: 0,
        }));
        let silent = Some(Err(NodeError::TimedOut(Duration::ZERO)));
        let beside = [granted.clone(), granted.clone(), taken];
        assert_eq!(deaf(&beside.to_vec()), DEAF_BESIDE_OTHERS);
        for third in [granted.clone(), silent, None] {
            assert_eq!(deaf(&vec![granted.clone(), granted.clone(), third]), DEAF);
        }
    }

    #[test]
    fn a_limit_grows_fourfold_and_leaves_half_of_the_validity_for_another_round() {
        let limits = |node_timeout, rest| {
            let [node_timeout, rest] = [node_timeout, rest].map(Duration::from_millis);
            [0, 1, 2, 3].map(|failures| limit(node_timeout, failures, rest).as_millis())
        };
        assert_eq!(limits(80, 60_000), [80, 160, 320, 320]);
        assert_eq!(limits(500, 60_000), [500, 1_000, 2_000, 2_000]);
        assert_eq!(limits(500, 2_400), [500, 1_000, 1_200, 1_200]);
        assert_eq!(limits(80, 0), [1; 4]);
    }
}
