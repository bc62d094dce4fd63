//! Whether servers are fit to be a quorum: facts in, findings out. Pure: no I/O, no clock.
//!
//! A [`Finding`] says what is wrong, what that does to a lock, and what to set. `server` judges one
//! server, `directory` the embedded node, `together` all of them. Called by `commands`.

mod directory;
mod server;
mod together;

use std::time::Duration;

use super::quorum::{majority, rules_out_quorum};
use super::restart::{RestartGuard, Restarts};
use crate::clock::whole_ms;
use crate::node::{Answer, Examination, LocalExamination, NodeError, NodeName};

/// How bad a finding is, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It can give one lock to two holders.
    Danger,
    /// The server grants no lock, and the others must be a quorum without it.
    NoVote,
    /// Locks work; something around them is worse than it could be.
    Warning,
    /// Good to know.
    Note,
}

/// Something about a server, or about all of them, that matters to a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which server; `None` for all of them together.
    pub node: Option<NodeName>,
    /// What was found, without the server's name.
    pub problem: String,
    /// What it does to a lock.
    pub effect: String,
    /// What to set.
    pub remedy: String,
}

/// What was learned about one node.
#[derive(Clone, Debug)]
pub enum Facts {
    /// Of a Redis or Valkey server.
    Redis(Answer<Box<Examination>>),
    /// Of a directory of this host, or why the system does not tell.
    Local(Result<LocalExamination, String>),
}

/// What the settings expect of the servers.
#[derive(Clone, Copy, Debug)]
pub struct Expectations {
    /// How long a server may take to connect and answer.
    pub node_timeout: Duration,
    /// What becomes of a server that restarted.
    pub restarts: Restarts,
    /// The longest TTL in the settings.
    pub longest_ttl: Duration,
}

/// What all findings come to.
#[derive(Clone, Debug)]
pub struct Fitness {
    /// The worst first; of equally bad ones those of all servers first, then in the order of the
    /// configuration.
    pub findings: Vec<Finding>,
    /// Which nodes have a vote, in the order of the configuration.
    pub votes: Vec<bool>,
    /// How many nodes turned us away.
    pub refusals: usize,
}

impl Fitness {
    /// How many nodes have a vote.
    #[must_use]
    pub fn voters(&self) -> usize {
        self.votes.iter().filter(|vote| **vote).count()
    }

    /// How many votes a lock needs.
    #[must_use]
    pub fn quorum(&self) -> usize {
        majority(self.votes.len())
    }

    /// Whether something can give one lock to two holders.
    #[must_use]
    pub fn is_dangerous(&self) -> bool {
        let worst = self.findings.first().map(|finding| finding.severity);
        worst == Some(Severity::Danger)
    }

    /// Whether enough nodes have a vote.
    #[must_use]
    pub fn has_quorum(&self) -> bool {
        self.voters() >= self.quorum()
    }

    /// Whether those that turned us away are enough to rule out a quorum, whatever the others do.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        rules_out_quorum(self.refusals, self.votes.len())
    }
}

/// Judges the configured nodes.
#[must_use]
pub fn judge(nodes: &[(NodeName, Facts)], expectations: &Expectations) -> Fitness {
    let expected = Expected {
        settings: *expectations,
        cold_start: cold_start(nodes, expectations),
        common_offset_ms: together::common_offset_ms(nodes),
    };
    let mut findings = together::judge(nodes, &expected);
    let (mut votes, mut refusals) = (Vec::with_capacity(nodes.len()), 0);
    for (name, facts) in nodes {
        let own = match facts {
            Facts::Redis(answer) => server::judge(answer, &expected),
            Facts::Local(facts) => directory::judge(facts),
        };
        votes.push(own.iter().all(|found| found.severity != Severity::NoVote));
        refusals += usize::from(is_refusal(facts));
        findings.extend(own.into_iter().map(|found| Finding {
            node: Some(name.clone()),
            ..found
        }));
    }
    findings.sort_by_key(|finding| finding.severity);
    Fitness {
        findings,
        votes,
        refusals,
    }
}

/// The settings, and what follows from all servers for each.
struct Expected {
    settings: Expectations,
    /// If all servers have restarted: for how long one must have been up to grant all the same.
    cold_start: Option<Duration>,
    /// By how much the clocks of all servers are ahead of ours, if it is ours that is wrong.
    common_offset_ms: Option<i64>,
}

impl Expectations {
    /// Until what age a server may have forgotten a lock of the longest TTL.
    fn young_until(&self) -> Duration {
        self.restarts.young_until(self.longest_ttl)
    }
}

/// In a cold start every server must grant the lock, so all of them must be able to.
fn cold_start(nodes: &[(NodeName, Facts)], expectations: &Expectations) -> Option<Duration> {
    let restarts = expectations.restarts;
    let uptime = |facts: &Facts| match facts {
        Facts::Redis(Ok(facts)) if server::is_able(facts) => {
            facts.info.as_ref().map(|info| info.uptime)
        }
        _ => None,
    };
    let uptimes = nodes.iter().map(|(_, facts)| uptime(facts));
    let uptimes = uptimes.collect::<Option<Vec<Duration>>>()?;
    let is_young = |uptime: &Duration| *uptime < expectations.young_until();
    (restarts.guard == RestartGuard::Auto && uptimes.iter().all(is_young))
        .then(|| restarts.cold_start_min_uptime(uptimes))
}

/// Whether the node says no to us, and will say so again.
fn is_refusal(facts: &Facts) -> bool {
    match facts {
        Facts::Redis(Err(error)) => matches!(error, NodeError::Refused(_)),
        Facts::Redis(Ok(facts)) => !server::forbidden(facts).is_empty(),
        Facts::Local(_) => false,
    }
}

/// A finding whose node is filled in later.
fn found(
    severity: Severity,
    problem: impl Into<String>,
    effect: impl Into<String>,
    remedy: impl Into<String>,
) -> Finding {
    Finding {
        severity,
        node: None,
        problem: problem.into(),
        effect: effect.into(),
        remedy: remedy.into(),
    }
}

/// A duration as a message shows it, in whole milliseconds.
fn show(duration: Duration) -> String {
    let text = humantime::format_duration(Duration::from_millis(whole_ms(duration)));
    text.to_string().replace(' ', "")
}

#[cfg(test)]
mod tests;
