//! What is to be told of a run when it is over: to the status file, the metrics file, the history.
//!
//! Filled in while the story of `run` goes on; whatever is not filled in did not happen.

use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;

use crate::clock::{self, Instant};
use crate::job::Ended;
use crate::lock::claim::holder_of;
use crate::lock::history::{PastRun, RunOutcome};
use crate::lock::quorum::Verdict;
use crate::lock::{Failure, FencingToken, Holder, Letting};
use crate::node::{Answer, MarkerKind, NodeName, Release, Vote};
use crate::report::{NodeState, vote_error};

/// The account of one run.
pub struct Account {
    /// When redlock began.
    pub began: Instant,
    /// The same by the wall clock.
    pub began_at: SystemTime,
    /// How it ended.
    pub outcome: RunOutcome,
    /// How long it took until the lock was ours, or given up.
    pub waited: Duration,
    /// When the lock was acquired, by the wall clock.
    pub acquired_at: Option<SystemTime>,
    /// The fencing token.
    pub fencing_token: Option<FencingToken>,
    /// How the command ended, if it was started.
    pub child: Option<Ended>,
    /// How long it ran.
    pub ran: Duration,
    /// How often the lock was extended.
    pub extensions: u64,
    /// Whether a quorum of nodes confirmed the release, and not that there was nothing left to
    /// release; `None` if nothing was held.
    pub released: Option<bool>,
    /// Who was in the way.
    pub holder: Option<Holder>,
    /// What each node answered last.
    pub nodes: Vec<NodeAccount>,
}

/// What one node answered last.
pub struct NodeAccount {
    /// Which one.
    pub name: NodeName,
    /// The state of the lock there.
    pub state: NodeState,
    /// For how long, if it is not free.
    pub ttl: Option<Duration>,
    /// Why it gave no answer that counts, if so.
    pub error: Option<String>,
}

impl Account {
    /// Of a run that begins now.
    pub fn begin() -> Self {
        Self {
            began: clock::now(),
            began_at: clock::wall(),
            outcome: RunOutcome::NotStarted,
            waited: Duration::ZERO,
            acquired_at: None,
            fencing_token: None,
            child: None,
            ran: Duration::ZERO,
            extensions: 0,
            released: None,
            holder: None,
            nodes: Vec::new(),
        }
    }

    /// The lock is ours.
    pub fn acquired(&mut self, fencing_token: FencingToken) {
        self.waited = clock::now().since(self.began);
        self.acquired_at = Some(clock::wall());
        self.fencing_token = Some(fencing_token);
    }

    /// The lock is not ours, and will not be.
    pub fn failed(&mut self, failure: &Failure) {
        self.waited_for(failure);
        self.outcome = match failure.verdict {
            Verdict::Taken(_) => RunOutcome::Skipped,
            // The configuration's fault.
            Verdict::SameServer(..) => RunOutcome::NotStarted,
            _ => RunOutcome::Unavailable,
        };
    }

    /// The lock was not ours yet when there was no more waiting.
    pub fn waited_for(&mut self, failure: &Failure) {
        self.waited = clock::now().since(self.began);
        self.holder = failure.holder().and_then(|by| holder_of(&by.value));
        let votes = failure.votes.iter();
        self.nodes = votes
            .map(|(name, vote)| node_of_vote(name, vote.as_ref()))
            .collect();
    }

    /// Whether the command did what it was to do, all the time under the lock.
    pub fn succeeded(&self) -> bool {
        self.outcome == RunOutcome::Ran && self.child == Some(Ended::Code(0))
    }

    /// The command is over.
    pub fn ended(&mut self, outcome: RunOutcome, command: Ended, ran: Duration) {
        self.outcome = outcome;
        self.child = Some(command);
        self.ran = ran;
    }

    /// What the nodes answered to the release.
    pub fn released(&mut self, names: &[NodeName], letting: &Letting, marker: Option<MarkerKind>) {
        let is_confirmed = match marker {
            Some(_) => letting.is_left(),
            None => letting.is_complete() && !letting.was_gone(),
        };
        self.released = Some(is_confirmed);
        let answers = names.iter().zip(&letting.answers);
        self.nodes = answers
            .map(|(name, answer)| node_of_release(name, answer.as_ref(), marker))
            .collect();
    }

    /// The run as the history keeps it; `None` if there was no lock.
    pub fn past_run(&self, holder: Holder, exit_code: Option<u8>) -> Option<PastRun> {
        let (exit_code, signal) = match self.child {
            Some(Ended::Code(code)) => (Some(code), None),
            Some(Ended::Signal(signal)) => (None, Some(signal_name(signal))),
            None => (exit_code, None),
        };
        Some(PastRun {
            host: holder.host,
            user: holder.user,
            started: clock::rfc3339(self.acquired_at?),
            ran_ms: clock::whole_ms(self.ran),
            outcome: self.outcome,
            exit_code,
            signal: signal.map(ToOwned::to_owned),
            fencing_token: self.fencing_token?,
        })
    }
}

/// A signal as `kill -l` calls it.
pub fn signal_name(signal: Signal) -> &'static str {
    signal.as_str().trim_start_matches("SIG")
}

fn node_of_vote(name: &NodeName, vote: Option<&Answer<Vote>>) -> NodeAccount {
    NodeAccount {
        name: name.clone(),
        state: NodeState::of_vote(vote),
        ttl: match vote {
            Some(Ok(Vote::Taken { by, .. })) => by.ttl,
            _ => None,
        },
        error: vote_error(vote),
    }
}

fn node_of_release(
    name: &NodeName,
    answer: Option<&Answer<Release>>,
    marker: Option<MarkerKind>,
) -> NodeAccount {
    NodeAccount {
        name: name.clone(),
        state: NodeState::of_release(answer, marker),
        ttl: None,
        error: answer.and_then(|answer| Some(answer.as_ref().err()?.to_string())),
    }
}
