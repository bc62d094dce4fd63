//! Asks all nodes at once, until the lock is ours or the answer is no.
//!
//! What answers mean is decided in `quorum`, when to try again in `wait`; this file sends, counts
//! and lets go. Every attempt has a token of its own, and ends as a [`Held`] or with its [`Grip`]
//! let go. Called by `commands`.

use std::collections::BTreeSet;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinSet;

use super::claim::{Claim, FencingToken, Token};
use super::ear::{Attention, CROWD, Ear};
use super::grip::{self, Grip, Settled};
use super::quorum::{self, Answers, Fencing, Named, Verdict};
use super::restart::{RestartGuard, Restarts};
use super::unsettled::{Found, Unsettled};
use super::wait::{Informed, Next, Patience, Retries};
use crate::clock::{self, Instant};
use crate::node::{Answer, Ballot, Foreign, Node, NodeName, Vote};

/// Rounds of raising the fencing counters before an attempt is given up. Each round but the last
/// was overtaken by another contender, who is then as far as we are.
const FENCING_ROUNDS: usize = 8;

/// The configured nodes.
pub struct Redlock<N> {
    nodes: Arc<[Arc<N>]>,
}

/// How to acquire.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The bound on connect and command, for each node.
    pub node_timeout: Duration,
    /// For how long to try.
    pub patience: Patience,
    /// Whether servers that restarted may grant.
    pub restarts: Restarts,
    /// Where randomness comes from: a seed replays the whole wait.
    pub rng: Rng,
}

/// A lock that was acquired, until somebody keeps or releases it.
pub struct Held<N> {
    /// What is on the nodes.
    pub grip: Grip<N>,
    /// What the nodes had answered when the lock was acquired.
    pub votes: Answers<Vote>,
    /// The proof of ownership.
    pub token: Token,
    /// The fencing token, on which a quorum of nodes agrees.
    pub fencing_token: FencingToken,
    /// When the attempt began, before its first byte.
    pub since: Instant,
    /// Until when nobody else can have it. Invariant I3: this was in the future when the lock was
    /// taken.
    pub valid_until: Instant,
}

/// What an attempt that failed came to.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What the votes came to.
    pub verdict: Verdict,
    /// What each node answered, in the order of the configuration.
    pub votes: Named<Vote>,
    /// A lock was granted, and could not be made valid: why.
    pub invalid: Option<Invalid>,
}

/// Why a lock that a quorum granted was never held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The votes took so long that nothing was left of the TTL.
    #[error("granted so late that nothing was left of the TTL")]
    TooLate,
    /// The fencing token could not be settled.
    #[error("granted, but the nodes did not agree on a fencing token")]
    Unfenced,
}

impl Failure {
    /// The nodes that granted: they are free again.
    fn free_nodes(&self) -> BTreeSet<usize> {
        let votes = self.votes.iter().enumerate();
        let free = votes.filter(|(_, (_, vote))| matches!(vote, Some(Ok(Vote::Granted { .. }))));
        free.map(|(index, _)| index).collect()
    }

    /// The holder who is in the way: whom a quorum names, else the first whom any node names.
    #[must_use]
    pub fn holder(&self) -> Option<&Foreign> {
        if let Verdict::Held(by) = &self.verdict {
            return Some(by);
        }
        self.votes.iter().find_map(|(_, vote)| match vote {
            Some(Ok(Vote::Taken { by, .. })) => Some(by),
            _ => None,
        })
    }
}

/// How [`Redlock::acquire`] ended.
pub enum Acquisition<N, S> {
    /// The lock is ours.
    Acquired(Held<N>),
    /// It is not, and nothing of ours stays on the nodes that can be reached.
    Failed(Failure),
    /// The caller's future ended first; nothing of ours stays.
    Interrupted(S),
}

/// What it takes to acquire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// A majority of servers that have been up for long enough.
    Majority,
    /// Every server, whatever its age: right after all of them answered that they restarted.
    ColdStart,
}

impl Rule {
    fn verdict(self, votes: &Answers<Vote>) -> Verdict {
        match self {
            Self::Majority => quorum::verdict(votes),
            Self::ColdStart => quorum::cold_start_verdict(votes),
        }
    }
}

/// One round of asking, and its votes so far.
struct Attempt<N> {
    rule: Rule,
    grip: Grip<N>,
    token: Token,
    started: Instant,
    limit: Duration,
    votes: Answers<Vote>,
    pending: JoinSet<(usize, Answer<Vote>)>,
}

impl<N: Node> Redlock<N> {
    /// The quorum of `nodes`.
    #[must_use]
    pub fn new(nodes: Vec<N>) -> Self {
        Self {
            nodes: nodes.into_iter().map(Arc::new).collect(),
        }
    }

    /// The configured nodes.
    #[must_use]
    pub fn nodes(&self) -> &[Arc<N>] {
        &self.nodes
    }

    /// Acquires what is claimed, trying as long as the policy says. `on_failure` is told each
    /// attempt that did not get the lock and is to be followed by another, and may forbid that;
    /// `interrupted` ends it all.
    pub async fn acquire<S>(
        &self,
        claim: &Claim,
        policy: Policy,
        mut on_failure: impl FnMut(&Failure) -> ControlFlow<()>,
        interrupted: impl Future<Output = S>,
    ) -> Acquisition<N, S> {
        let mut interrupted = std::pin::pin!(interrupted);
        let mut rng = policy.rng;
        let mut retries = Retries::new(policy.patience, clock::now(), rng.fork());
        let mut rule = Rule::Majority;
        let mut ear: Option<Ear> = None;
        let mut unsettled = Unsettled::default();
        loop {
            // What was told before an attempt is in its answers.
            if let Some(ear) = &mut ear {
                ear.forget();
            }
            let min_uptime = match rule {
                Rule::Majority => policy.restarts.min_uptime(claim.ttl),
                Rule::ColdStart => Duration::ZERO,
            };
            let limit = retries.limit(policy.node_timeout);
            let mut attempt = self.begin(claim, rule, min_uptime, limit);
            let outcome = unless(interrupted.as_mut(), attempt.decide(claim)).await;
            let (mut verdict, invalid) = match outcome {
                Err(signal) => {
                    attempt.abandon().await;
                    return Acquisition::Interrupted(signal);
                }
                Ok(Ok((fence, valid_until))) => {
                    return Acquisition::Acquired(attempt.into_held(fence, valid_until));
                }
                Ok(Err(verdict)) => verdict,
            };
            attempt.hear_out().await;
            if unsettled.settle(&mut attempt.votes, limit).await == Found::Ours
                && matches!(verdict, Verdict::Held(_))
            {
                verdict = quorum::verdict(&attempt.votes);
            }
            if attempt.abandon().await == Settled::No {
                unsettled.add(attempt.grip);
            }
            // Once, and at once: any other attempt asks for their age again.
            rule = match (rule, &verdict, policy.restarts.guard) {
                (Rule::Majority, Verdict::ColdStart, RestartGuard::Auto) => Rule::ColdStart,
                _ => Rule::Majority,
            };
            if rule == Rule::ColdStart {
                let failure = self.failure(verdict, attempt.votes, None);
                if on_failure(&failure).is_break() {
                    return Acquisition::Failed(failure);
                }
                continue;
            }
            let now = clock::now();
            let started = attempt.started;
            let company = listeners(&attempt.votes);
            let is_crowded = company >= CROWD;
            retries.inform(informed(ear.as_ref(), is_crowded));
            let next = retries.next(&verdict, &attempt.votes, attempt.started, now);
            let failure = self.failure(verdict, attempt.votes, invalid);
            let Next::Again(pause) = next else {
                return Acquisition::Failed(failure);
            };
            if on_failure(&failure).is_break() {
                return Acquisition::Failed(failure);
            }
            let is_held = matches!(failure.verdict, Verdict::Held(_));
            let rest = Rest {
                until: now + pause,
                free: failure.free_nodes(),
                attempt: now.since(started),
            };
            if is_held && ear.is_none() && !is_crowded {
                let limit = retries.limit(policy.node_timeout);
                ear = Some(Ear::open(&self.nodes, &claim.keys, now, limit).among(company));
            }
            let pause = rest.take(&mut ear, is_held, &mut rng);
            if let Err(signal) = unless(interrupted.as_mut(), pause).await {
                return Acquisition::Interrupted(signal);
            }
        }
    }

    /// What each node tells of the last runs of the resource with this `key`; see `history::merge`.
    ///
    /// # Panics
    ///
    /// If a node panics.
    pub async fn history(
        &self,
        key: &str,
        limit: Duration,
    ) -> Vec<(NodeName, Answer<Vec<String>>)> {
        let mut asking = JoinSet::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let (node, key) = (Arc::clone(node), key.to_owned());
            asking.spawn(async move { (index, node.history(&key, limit).await) });
        }
        let mut answers = asking.join_all().await;
        answers.sort_by_key(|(index, _)| *index);
        let named = |(index, answer): (usize, _)| (self.nodes[index].name().clone(), answer);
        answers.into_iter().map(named).collect()
    }

    fn begin(
        &self,
        claim: &Claim,
        rule: Rule,
        min_uptime: Duration,
        limit: Duration,
    ) -> Attempt<N> {
        let token = Token::random();
        let grip = Grip::new(Arc::clone(&self.nodes), claim.entry(&token));
        // Before the first byte: the validity is counted from here.
        let started = clock::now();
        let ballot = Ballot {
            unix_ms: clock::unix_ms(),
            min_uptime,
        };
        let mut pending = JoinSet::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let (node, entry) = (Arc::clone(node), Arc::clone(grip.entry()));
            pending.spawn(async move { (index, node.acquire(entry, ballot, limit).await) });
        }
        Attempt {
            rule,
            grip,
            token,
            started,
            limit,
            votes: vec![None; self.nodes.len()],
            pending,
        }
    }

    fn failure(&self, verdict: Verdict, votes: Answers<Vote>, invalid: Option<Invalid>) -> Failure {
        Failure {
            verdict,
            votes: quorum::named(&self.nodes, votes),
            invalid,
        }
    }
}

impl<N: Node> Attempt<N> {
    /// Counts votes until they decide, and settles the fencing token. Answers the token and until
    /// when the lock is valid, or why there is none.
    async fn decide(
        &mut self,
        claim: &Claim,
    ) -> Result<(FencingToken, Instant), (Verdict, Option<Invalid>)> {
        let mut verdict = self.rule.verdict(&self.votes);
        while verdict == Verdict::Undecided {
            let (index, vote) = next(&mut self.pending).await;
            self.votes[index] = Some(vote);
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

    async fn abandon(&mut self) -> Settled {
        self.grip.keep_stragglers(std::mem::take(&mut self.pending));
        let settled = self
            .grip
            .abandon(&self.votes, self.started, self.limit)
            .await;
        // What did not answer in time may never do so on this connection.
        for (node, vote) in self.grip.nodes().iter().zip(&self.votes) {
            if !matches!(vote, Some(Ok(_))) {
                node.reconnect();
            }
        }
        settled
    }

    /// Hears the nodes that have not answered yet for as long again as the attempt has taken, as
    /// long as there is nothing of ours to be taken back. They will most likely refuse as well;
    /// otherwise each of them would be owed a release and a new connection.
    async fn hear_out(&mut self) {
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

    fn into_held(self, fencing_token: FencingToken, valid_until: Instant) -> Held<N> {
        self.grip.keep_stragglers(self.pending);
        Held {
            votes: self.votes,
            grip: self.grip,
            token: self.token,
            fencing_token,
            since: self.started,
            valid_until,
        }
    }
}

/// Whether a release would be heard, by us or by as many as it takes.
fn informed(ear: Option<&Ear>, is_crowded: bool) -> Informed {
    if ear.map_or(is_crowded, Ear::hears_a_quorum) {
        Informed::Yes
    } else {
        Informed::No
    }
}

/// How many listen for a release, as far as the nodes tell.
fn listeners(votes: &Answers<Vote>) -> u32 {
    let told = votes.iter().filter_map(|vote| match vote {
        Some(Ok(Vote::Taken { listeners, .. })) => Some(*listeners),
        _ => None,
    });
    told.max().unwrap_or(0)
}

/// The pause between two attempts.
struct Rest {
    until: Instant,
    /// The nodes that were free in the last attempt.
    free: BTreeSet<usize>,
    /// How long an attempt takes.
    attempt: Duration,
}

impl Rest {
    /// Rests, and not for so long if somebody is heard to release the lock.
    async fn take(self, ear: &mut Option<Ear>, is_held: bool, rng: &mut Rng) {
        if let Some(listening) = ear.as_mut().filter(|_| is_held) {
            let rested = listening
                .rest(self.until, self.free, self.attempt, rng)
                .await;
            if rested == Attention::Kept {
                return;
            }
            *ear = None;
        }
        clock::sleep_until(self.until).await;
    }
}

/// The next of the answers that are awaited; there is one.
async fn next<T: 'static>(pending: &mut JoinSet<T>) -> T {
    let joined = pending
        .join_next()
        .await
        .expect("an undecided attempt awaits answers");
    joined.expect("a request to a node neither panics nor is aborted before the verdict")
}

/// The work's result, or the interruption if that comes first.
async fn unless<S, T>(
    interrupted: Pin<&mut impl Future<Output = S>>,
    work: impl Future<Output = T>,
) -> Result<T, S> {
    tokio::select! {
        biased;
        signal = interrupted => Err(signal),
        done = work => Ok(done),
    }
}
