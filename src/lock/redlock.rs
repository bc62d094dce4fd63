//! Asks all nodes at once, until the lock is ours or the answer is no.
//!
//! One round of asking is in `attempt`, what answers mean is decided in `quorum`, and when to try
//! again in `wait`; this file is the story from attempt to attempt. Called by `commands`.

use std::collections::BTreeSet;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinSet;

use super::attempt::{Attempt, Denial, Rule};
use super::claim::{Claim, FencingToken, Token};
use super::ear::{Attention, CROWD, Ear};
use super::grip::{Grip, Settled};
use super::quorum::{self, Answers, Named, Verdict};
use super::restart::{RestartGuard, Restarts};
use super::silence::{Silence, Waited};
use super::unsettled::{Leftover, Unsettled};
use super::wait::{Informed, Next, Patience, Retries};
use crate::clock::{self, Instant};
use crate::node::{Ballot, Foreign, Node, Vote};

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
    pub started: Instant,
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
    /// The holder who is in the way: whom a quorum names, else the first whom any node names.
    #[must_use]
    pub fn holder(&self) -> Option<&Foreign> {
        if let Verdict::Taken(by) = &self.verdict {
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

/// Whoever wants a lock, from attempt to attempt.
struct Contender<'a, N> {
    nodes: &'a Arc<[Arc<N>]>,
    claim: &'a Claim,
    node_timeout: Duration,
    restarts: Restarts,
    retries: Retries,
    rng: Rng,
    /// What the next attempt takes.
    rule: Rule,
    /// Hears of a release, as soon as there is one to wait for.
    ear: Option<Ear>,
    unsettled: Unsettled<N>,
    silence: Silence,
}

/// What follows an attempt that did not get the lock.
enum Sequel {
    /// Another, without a rest.
    AtOnce,
    /// Another, after a rest.
    After(Rest),
    /// None: its verdict stands.
    End,
}

/// The pause between two attempts.
struct Rest {
    from: Instant,
    until: Instant,
    /// The nodes that were free in the last attempt.
    free: BTreeSet<usize>,
    /// How long an attempt takes.
    attempt: Duration,
    /// How many listen for the holder's release; `None` if there is no holder.
    listeners: Option<u32>,
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
        let mut contender = Contender::new(&self.nodes, claim, policy);
        loop {
            let mut attempt = contender.begin();
            let denial = match unless(
                interrupted.as_mut(),
                attempt.decide(claim, &contender.silence),
            )
            .await
            {
                Ok(Ok((fence, valid_until))) => {
                    return Acquisition::Acquired(attempt.into_held(fence, valid_until));
                }
                Ok(Err(denial)) => denial,
                Err(signal) => {
                    attempt.abandon().await;
                    return Acquisition::Interrupted(signal);
                }
            };
            let (failure, sequel) = contender.fail(attempt, denial).await;
            if matches!(sequel, Sequel::End) || on_failure(&failure).is_break() {
                return Acquisition::Failed(failure);
            }
            if let Sequel::After(rest) = sequel
                && let Err(signal) = unless(interrupted.as_mut(), contender.rest(rest)).await
            {
                return Acquisition::Interrupted(signal);
            }
        }
    }

    /// What `ask` finds out about every node, of all at once, in the order of the configuration.
    ///
    /// # Panics
    ///
    /// If it panics.
    pub async fn of_each<T, F>(&self, ask: impl Fn(Arc<N>) -> F) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let mut asking = JoinSet::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let asked = ask(Arc::clone(node));
            asking.spawn(async move { (index, asked.await) });
        }
        let mut found = asking.join_all().await;
        found.sort_by_key(|(index, _)| *index);
        found.into_iter().map(|(_, found)| found).collect()
    }
}

impl<'a, N: Node> Contender<'a, N> {
    fn new(nodes: &'a Arc<[Arc<N>]>, claim: &'a Claim, policy: Policy) -> Self {
        let mut rng = policy.rng;
        Self {
            nodes,
            claim,
            node_timeout: policy.node_timeout,
            restarts: policy.restarts,
            retries: Retries::new(policy.patience, clock::now(), rng.fork()),
            rng,
            rule: Rule::Majority,
            ear: None,
            unsettled: Unsettled::default(),
            silence: Silence::of(nodes.len()),
        }
    }

    /// Asks every node, under a token of its own.
    fn begin(&mut self) -> Attempt<N> {
        // What was told before an attempt is in its answers.
        if let Some(ear) = &mut self.ear {
            ear.heard_so_far();
        }
        let limit = self.retries.limit(self.node_timeout);
        let token = Token::random();
        let grip = Grip::new(Arc::clone(self.nodes), self.claim.entry(&token));
        // Before the first byte: the validity is counted from here.
        let started = clock::now();
        let ballot = Ballot {
            unix_ms: clock::unix_ms(),
            min_uptime: match self.rule {
                Rule::Majority => self.restarts.min_uptime(self.claim.ttl),
                Rule::ColdStart { min_uptime } => min_uptime,
            },
        };
        let mut pending = JoinSet::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let (node, entry) = (Arc::clone(node), Arc::clone(grip.entry()));
            pending.spawn(async move { (index, node.acquire(entry, ballot, limit).await) });
        }
        Attempt {
            rule: self.rule,
            grip,
            token,
            started,
            limit,
            votes: vec![None; self.nodes.len()],
            pending,
            waited: Waited::ForAll,
        }
    }

    /// Lets go of an `attempt` that did not get the lock. Answers what it came to and what follows.
    async fn fail(
        &mut self,
        mut attempt: Attempt<N>,
        (mut verdict, invalid): Denial,
    ) -> (Failure, Sequel) {
        attempt.hear_out().await;
        self.silence.learn(&attempt.votes, attempt.waited);
        let votes = &mut attempt.votes;
        let found = self.unsettled.settle(votes, attempt.limit).await;
        if found == Leftover::Ours && matches!(verdict, Verdict::Taken(_)) {
            verdict = quorum::verdict(votes);
        }
        let settled = attempt.abandon().await;
        let sequel = self.sequel(&verdict, &attempt);
        if settled == Settled::No {
            self.unsettled.add(attempt.grip);
        }
        let votes = quorum::named(self.nodes, attempt.votes);
        let failure = Failure {
            verdict,
            votes,
            invalid,
        };
        (failure, sequel)
    }

    fn sequel(&mut self, verdict: &Verdict, attempt: &Attempt<N>) -> Sequel {
        // Once, and at once: any other attempt asks for their age again.
        self.rule = match (self.rule, verdict, self.restarts.guard) {
            (Rule::Majority, Verdict::ColdStart, RestartGuard::Auto) => Rule::ColdStart {
                min_uptime: self.restarts.cold_start_min_uptime(uptimes(&attempt.votes)),
            },
            _ => Rule::Majority,
        };
        if self.rule != Rule::Majority {
            return Sequel::AtOnce;
        }
        let (votes, started, now) = (&attempt.votes, attempt.started, clock::now());
        let listeners = listeners(votes);
        self.retries.inform(self.informed(listeners));
        match self.retries.next(verdict, votes, started, now) {
            Next::GiveUp => Sequel::End,
            Next::Again(pause) => Sequel::After(Rest {
                from: now,
                until: now + pause,
                free: free_nodes(votes),
                attempt: now.since(started),
                listeners: matches!(verdict, Verdict::Taken(_)).then_some(listeners),
            }),
        }
    }

    /// Whether a release would be heard, by us or by as many as it takes.
    fn informed(&self, listeners: u32) -> Informed {
        let is_crowded = listeners >= CROWD;
        if self.ear.as_ref().map_or(is_crowded, Ear::hears_a_quorum) {
            Informed::Yes
        } else {
            Informed::No
        }
    }

    /// Rests, and not for so long if somebody is heard to release the lock.
    async fn rest(&mut self, rest: Rest) {
        if let Some(listeners) = rest.listeners {
            if self.ear.is_none() && listeners < CROWD {
                let limit = self.retries.limit(self.node_timeout);
                let ear = Ear::open(self.nodes, &self.claim.keys, rest.from, limit);
                self.ear = Some(ear.among(listeners));
            }
            if let Some(ear) = &mut self.ear {
                let resting = ear.rest(rest.until, rest.free, rest.attempt, &mut self.rng);
                if resting.await == Attention::Kept {
                    return;
                }
                self.ear = None;
            }
        }
        clock::sleep_until(rest.until).await;
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

/// For how long those servers have been up that are too young to vote.
fn uptimes(votes: &Answers<Vote>) -> impl Iterator<Item = Duration> {
    votes.iter().filter_map(|vote| match vote {
        Some(Ok(Vote::Young { uptime, .. })) => Some(*uptime),
        _ => None,
    })
}

/// The nodes that granted: they are free again.
fn free_nodes(votes: &Answers<Vote>) -> BTreeSet<usize> {
    let votes = votes.iter().enumerate();
    let free = votes.filter(|(_, vote)| matches!(vote, Some(Ok(Vote::Granted { .. }))));
    free.map(|(index, _)| index).collect()
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
