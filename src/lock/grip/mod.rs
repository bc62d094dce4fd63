//! What one attempt may have left on the nodes, and how it is taken away again.
//!
//! A grip exists from before the first byte of an attempt until its release. Invariant I4: whoever
//! has one lets go of it, whatever came of the attempt. `letting` is how that ended, `marking`
//! what may be left in the place of a lock.

mod letting;
mod marking;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::quorum::{self, Answers};
use crate::clock::{self, Instant};
use crate::node::{Answer, Entry, Extension, Node, NodeError, Parting, Release, Vote};

pub use letting::Letting;
pub use marking::Ours;

/// The least time that a release gives the nodes beyond a quorum: a few round trips of a local
/// network.
const LEAST_GRACE: Duration = Duration::from_millis(2);

/// How many round trips it takes on a new connection: to connect, for TLS, the password, and to be
/// answered.
const REOPENING: u32 = 5;

/// The same in attempts, which were about as many.
const REOPENING_ATTEMPTS: u32 = 3;

/// How long a release may take in all when no quorum answers, unless we stand still meanwhile.
const RELEASE_LIMIT: Duration = Duration::from_secs(1);

/// The nodes, and what was or is being written to them under one token.
pub struct Grip<N> {
    nodes: Arc<[Arc<N>]>,
    entry: Arc<Entry>,
    /// Requests of the attempt that were not answered when it was decided. They go on: a slow node
    /// shall have the key as well.
    stragglers: JoinSet<(usize, Answer<Vote>)>,
    /// The nodes that failed when they were asked last: a marker does not wait for them.
    failed: Vec<usize>,
}

/// Whose answers a release waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Those of a quorum: the lock is free then. To the other nodes it is on its way.
    Quorum,
    /// All, for a while: somebody wants to know what each node said.
    All,
}

/// Whether nothing of an attempt can stand on any node any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// All that may have been written is taken back.
    Yes,
    /// A node has not confirmed that.
    No,
}

/// A release, to whom, and how long it may take.
struct Telling<'a> {
    parting: &'a Arc<Parting>,
    owed: &'a [usize],
    /// Those of them whose connection broke, so that they need a new one.
    reopened: Vec<usize>,
    /// How long such nodes are waited for when the other answers are enough, if that is known;
    /// otherwise it depends on how long those took.
    reopening: Option<Duration>,
    audience: Audience,
    limit: Duration,
}

impl<N: Node> Grip<N> {
    /// A grip on nothing yet.
    pub(super) fn new(nodes: Arc<[Arc<N>]>, entry: Entry) -> Self {
        Self {
            nodes,
            entry: Arc::new(entry),
            stragglers: JoinSet::new(),
            failed: Vec::new(),
        }
    }

    /// The configured nodes.
    #[must_use]
    pub fn nodes(&self) -> &Arc<[Arc<N>]> {
        &self.nodes
    }

    /// What is written under each key.
    #[must_use]
    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// Lets the requests that are still under way go on by themselves.
    pub(super) fn keep_stragglers(&mut self, pending: JoinSet<(usize, Answer<Vote>)>) {
        self.stragglers = pending;
    }

    /// The lock is acquired, by these `votes`.
    pub(super) fn acquired(&mut self, votes: &Answers<Vote>) {
        self.failed = failed(votes);
    }

    /// A round has asked all nodes since, and those at these places failed.
    pub(super) fn asked_again(&mut self, failed: Vec<usize>) {
        // What came of the attempt is no news any more.
        self.stragglers = JoinSet::new();
        self.failed = failed;
    }

    /// Hears what is still to be answered when the lock was acquired, until `until`.
    pub(super) async fn hear_stragglers(&mut self, votes: &mut Answers<Vote>, until: Instant) {
        while let Some((index, vote)) = next_before(&mut self.stragglers, Some(until)).await {
            votes[index] = Some(vote);
        }
    }

    /// Lets go of a failed attempt that began at `started` and whose votes were `votes`. Waits for
    /// the nodes that answered, and a little for those whose connection broke, which are told on a
    /// new one; one that did not answer has its release queued behind the request, on the same
    /// connection. Whoever cannot have had a quorum tells nobody: those who tried beside him come
    /// back by themselves, and in a crowd notices would call for more attempts at the worst time.
    pub async fn abandon(
        &mut self,
        votes: &Answers<Vote>,
        started: Instant,
        limit: Duration,
    ) -> Settled {
        let owed: Vec<usize> = self
            .owing()
            .filter(|&index| may_have_written(votes[index].as_ref()))
            .collect();
        let is_broken =
            |&index: &usize| matches!(votes[index], Some(Err(NodeError::Unreachable(_))));
        let parting = Arc::new(Parting {
            quiet: owed.len() < quorum::majority(self.nodes.len()),
            ..Parting::default()
        });
        let telling = Telling {
            parting: &parting,
            owed: &owed,
            reopened: owed.iter().copied().filter(is_broken).collect(),
            reopening: Some(clock::now().since(started) * REOPENING_ATTEMPTS),
            audience: Audience::All,
            limit,
        };
        let answered = |index: &usize| matches!(votes[*index], Some(Ok(_)));
        let awaited: Vec<usize> = owed.iter().copied().filter(answered).collect();
        let is_enough = |letting: &Letting| letting.has_heard(&awaited);
        let mut letting = Letting::begin(self.nodes.len(), owed.len());
        self.let_go(&mut letting, telling, &is_enough).await;
        let is_let_go = |&index: &usize| matches!(letting.answers[index], Some(Ok(_)));
        if owed.iter().all(is_let_go) {
            Settled::Yes
        } else {
            Settled::No
        }
    }

    /// Lets go once more of an attempt of which something may be standing after that: everywhere,
    /// and waits for the `awaited` nodes.
    pub(super) async fn abandon_again(&self, awaited: &[usize], limit: Duration) {
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        let telling = Telling {
            parting: &Arc::default(),
            owed: &all,
            reopened: Vec::new(),
            reopening: None,
            audience: Audience::All,
            limit,
        };
        let is_enough = |letting: &Letting| letting.has_heard(awaited);
        let mut letting = Letting::begin(all.len(), all.len());
        self.let_go(&mut letting, telling, &is_enough).await;
    }

    /// Gives the lock back on every node that was sent a byte, and leaves there what `parting`
    /// says. May be repeated: what was left already stays. The nodes have `node_timeout`; without
    /// a quorum of answers it is repeated once on new connections, within `RELEASE_LIMIT` in all.
    pub async fn release(
        &mut self,
        parting: &Arc<Parting>,
        audience: Audience,
        node_timeout: Duration,
    ) -> Letting {
        let began = clock::now();
        let owing: Vec<usize> = self.owing().collect();
        let mut letting = Letting::begin(self.nodes.len(), owing.len());
        let telling = |owed, limit| Telling {
            parting,
            owed,
            reopened: Vec::new(),
            reopening: None,
            audience,
            limit,
        };
        // A marker is to be on a quorum for sure, and on all others as well: who has lost its key
        // has to be asked once more, and tells that only here.
        let asked = owing.iter().copied();
        let asked: Vec<usize> = asked.filter(|index| !self.failed.contains(index)).collect();
        let is_marked = |letting: &Letting| letting.is_left() && letting.has_heard(&asked);
        let is_enough: &(dyn Fn(&Letting) -> bool + Sync) = match parting.marker_now() {
            Some(_) => &is_marked,
            None => &Letting::is_complete,
        };
        // Half of the time is for the second attempt, should all connections be dead.
        let limit = node_timeout.min(RELEASE_LIMIT / 2);
        self.let_go(&mut letting, telling(&owing, limit), is_enough)
            .await;
        if letting.is_complete() {
            return letting;
        }
        let failed: Vec<usize> = owing
            .iter()
            .copied()
            .filter(|&index| !matches!(letting.answers[index], Some(Ok(_))))
            .collect();
        for &index in &failed {
            self.nodes[index].reconnect();
        }
        // If none of the time is left, it is we who stood still.
        let limit = limit.max((began + RELEASE_LIMIT).remaining());
        let before = letting.answers.clone();
        let second = telling(&failed, limit);
        self.let_go(&mut letting, second, &Letting::is_complete)
            .await;
        // The first request may have been carried out, only not told in time. A marker of ours is
        // known again; without one, what is gone now is taken for released.
        if parting.marker_now().is_none() {
            for (answer, before) in letting.answers.iter_mut().zip(before) {
                if before.is_none_or(|before| matches!(before, Err(NodeError::TimedOut(_))))
                    && *answer == Some(Ok(Release::NotOurs))
                {
                    *answer = Some(Ok(Release::Released { run_id: None }));
                }
            }
        }
        letting
    }

    /// The nodes that a release is owed to. A request that is still connecting is given up: nothing
    /// of it has reached its node.
    fn owing(&mut self) -> impl Iterator<Item = usize> {
        while let Some(ended) = self.stragglers.try_join_next() {
            if let Ok((index, Err(_))) = ended {
                self.failed.push(index);
            }
        }
        // Those that were sent have no more to do than to wait for an answer that nobody reads.
        self.stragglers.abort_all();
        (0..self.nodes.len()).filter(|index| self.nodes[*index].may_hold_a_key())
    }

    /// Sends the release, and waits until the answers are enough. A node whose connection turns out
    /// to be broken is told once more, on a new one. For nodes beyond those that are enough it
    /// waits as long again as that took, since a hung node must not hold up the end of a job; and
    /// not at all if nobody listens to them, what was sent to them is on its way, and nobody had
    /// lost the lock.
    async fn let_go(
        &self,
        letting: &mut Letting,
        telling: Telling<'_>,
        is_enough: &(dyn Fn(&Letting) -> bool + Sync),
    ) {
        let Telling { owed, limit, .. } = telling;
        let began = clock::now();
        let mut pending = JoinSet::new();
        let send = |pending: &mut JoinSet<_>, index: usize, limit| {
            let (node, entry) = (Arc::clone(&self.nodes[index]), Arc::clone(&self.entry));
            let parting = Arc::clone(telling.parting);
            pending.spawn(async move { (index, node.release(entry, parting, limit).await) });
        };
        let in_touch = |index: &usize| self.nodes[*index].is_in_touch();
        let mut connected: Vec<usize> = owed.iter().copied().filter(in_touch).collect();
        let are_in_touch = connected.len() == owed.len();
        for &index in owed {
            send(&mut pending, index, limit);
        }
        let mut reopened = telling.reopened;
        let give_up = |answers: &Answers<Release>, reopened: &[usize]| {
            if !reopened.is_empty() {
                let now = clock::now();
                let pause = telling.reopening.unwrap_or(now.since(began) * REOPENING);
                return now + pause.max(LEAST_GRACE).min(limit);
            }
            // Whether the lock was gone before is only known when all have answered.
            let is_missing = |answer: &Option<_>| matches!(answer, Some(Ok(Release::NotOurs)));
            let is_heard = telling.audience == Audience::All || answers.iter().any(is_missing);
            if are_in_touch && !is_heard {
                clock::now()
            } else {
                grace(began, limit)
            }
        };
        let mut until = None;
        if is_enough(letting) {
            // However late we are: what is to be sent is on its way before anybody gives up. The
            // requests have their turn first, and then the connections.
            for _ in 0..2 {
                tokio::task::yield_now().await;
            }
            until = Some(give_up(&letting.answers, &reopened));
        }
        while let Some((index, answer)) = next_before(&mut pending, until).await {
            let known = connected.iter().position(|&node| node == index);
            if let (Err(NodeError::Unreachable(_)), Some(known)) = (&answer, known) {
                connected.swap_remove(known);
                reopened.push(index);
                letting.told_again.push(index);
                send(&mut pending, index, (began + limit).remaining());
            } else {
                reopened.retain(|&node| node != index);
                letting.answers[index] = Some(answer);
                quorum::count_servers_once(&mut letting.answers);
            }
            if until.is_none() && is_enough(letting) {
                until = Some(give_up(&letting.answers, &reopened));
            }
        }
        // What is left goes on as long as the program runs: its bytes are on their way.
        pending.detach_all();
    }
}

/// The places of the nodes whose answer does not count.
pub(super) fn failed<T>(answers: &Answers<T>) -> Vec<usize> {
    let has_failed = |index: &usize| matches!(answers[*index], Some(Err(_)));
    (0..answers.len()).filter(has_failed).collect()
}

/// Gives up the connections to those of `nodes` whose answer does not count or has not come: it may
/// never come there.
pub(super) fn reopen_failed<N: Node, T>(nodes: &[Arc<N>], answers: &Answers<T>) {
    for (node, answer) in nodes.iter().zip(answers) {
        if !matches!(answer, Some(Ok(_))) {
            node.reconnect();
        }
    }
}

/// Puts `entry` on the node of `nodes` at the place `index`, unless it is somebody else's there.
pub(super) fn heal<N: Node>(
    nodes: &[Arc<N>],
    index: usize,
    entry: &Arc<Entry>,
    fence: u64,
    limit: Duration,
) -> impl Future<Output = (usize, Answer<Extension>)> + use<N> {
    let (node, entry) = (Arc::clone(&nodes[index]), Arc::clone(entry));
    async move { (index, node.heal(entry, fence, limit).await) }
}

/// Until when the nodes beyond the quorum are waited for, when the quorum has just answered what it
/// was asked when it `began`.
pub(super) fn grace(began: Instant, limit: Duration) -> Instant {
    let now = clock::now();
    now + now.since(began).max(LEAST_GRACE).min(limit)
}

/// The next answer, or `None` if there is none left or `give_up` has come.
pub(super) async fn next_before<T: 'static>(
    pending: &mut JoinSet<T>,
    give_up: Option<Instant>,
) -> Option<T> {
    let joined = match give_up {
        None => pending.join_next().await,
        Some(instant) => tokio::select! {
            biased;
            joined = pending.join_next() => joined,
            () = clock::sleep_until(instant) => None,
        },
    };
    joined.map(|task| task.expect("a request to a node neither panics nor is aborted here"))
}

/// Whether a node that voted like this may have written a key. One that refused may have: a script
/// that is not allowed everything ends where that shows.
fn may_have_written(vote: Option<&Answer<Vote>>) -> bool {
    !matches!(vote, Some(Ok(Vote::Taken { .. } | Vote::Young { .. })))
}
