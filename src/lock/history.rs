//! The last runs of a resource, as they are kept with its lock on the nodes.
//!
//! A run is one line of JSON, written in the round trip of its release to every node, and read from
//! a quorum: so each is found on at least one. No command line is in it. Plain data and pure
//! functions; called by `commands`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::claim::{FencingToken, TTL_LIMIT};
use crate::node::parting::{HISTORY_RUN_LIMIT, HISTORY_RUNS};

/// How a run of redlock ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// The command ran under the lock to its end, whatever its code.
    Ran,
    /// Somebody else holds the lock, or it was already done.
    Skipped,
    /// The servers gave no answer that counts.
    Unavailable,
    /// The lock was lost while the command ran.
    Lost,
    /// The command was stopped because of `--max-runtime`.
    TimedOut,
    /// The command was not started, for another reason.
    NotStarted,
}

impl RunOutcome {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Ran,
        Self::Skipped,
        Self::Unavailable,
        Self::Lost,
        Self::TimedOut,
        Self::NotStarted,
    ];

    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ran => "ran",
            Self::Skipped => "skipped",
            Self::Unavailable => "unavailable",
            Self::Lost => "lost",
            Self::TimedOut => "timed_out",
            Self::NotStarted => "not_started",
        }
    }
}

/// One run of a resource's job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastRun {
    /// The host it ran on.
    pub host: String,
    /// The user it ran as.
    pub user: String,
    /// When the lock was acquired, by that host's wall clock, in RFC 3339.
    pub started: String,
    /// How long the command ran.
    pub ran_ms: u64,
    /// How it ended.
    pub outcome: RunOutcome,
    /// The command's exit code, if it has one.
    pub exit_code: Option<u8>,
    /// The signal that killed the command, if one did.
    pub signal: Option<String>,
    /// The fencing token it had.
    pub fencing_token: FencingToken,
}

impl PastRun {
    /// The run as one line, short enough for a node to keep.
    ///
    /// # Panics
    ///
    /// Never: a run is text and numbers, and all of it can be JSON.
    #[must_use]
    pub fn line(&self) -> String {
        let mut short = self.clone();
        loop {
            let line = serde_json::to_string(&short).expect("a run is text and numbers");
            if line.len() <= HISTORY_RUN_LIMIT {
                return line;
            }
            // Names of hosts and users are short, but for those who want to know.
            for name in [&mut short.host, &mut short.user] {
                name.truncate(name.floor_char_boundary(name.len() / 2));
            }
        }
    }
}

/// The runs that several nodes tell of, each once, the latest first. Fencing tokens tell the
/// order: they grow from holder to holder, and the clocks of hosts differ. A line that is none is
/// left out.
pub fn merge(told: impl IntoIterator<Item = String>) -> Vec<PastRun> {
    let lines: BTreeSet<String> = told.into_iter().collect();
    let read = |line: &String| serde_json::from_str(line).ok();
    let mut runs: Vec<PastRun> = lines.iter().filter_map(read).collect();
    runs.sort_by_key(|run| std::cmp::Reverse(run.fencing_token));
    runs.truncate(HISTORY_RUNS);
    runs
}

/// How long a job usually runs: the median of `runs` that came to their own end. `None` if none
/// did.
#[must_use]
pub fn usual(runs: &[PastRun]) -> Option<Duration> {
    let ended = runs.iter().filter(|run| run.outcome == RunOutcome::Ran);
    let mut times: Vec<u64> = ended.map(|run| run.ran_ms).collect();
    times.sort_unstable();
    let median = times.get(times.len() / 2)?;
    Some(Duration::from_millis(*median))
}

/// For a lock that nobody extends: how long its job usually runs and the TTL it should have, if
/// `ttl` is shorter. The old rule: TTL = 2 × the expected time, as far as a TTL goes.
#[must_use]
pub fn too_long_for(ttl: Duration, runs: &[PastRun]) -> Option<(Duration, Duration)> {
    let usual = usual(runs)?;
    let enough = (usual * 2).min(TTL_LIMIT);
    (ttl < enough).then_some((usual, enough))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(fence: u64, ran_ms: u64) -> PastRun {
        PastRun {
            host: "web-2".to_owned(),
            user: "root".to_owned(),
            started: "2026-11-24T03:00:00.000Z".to_owned(),
            ran_ms,
            outcome: RunOutcome::Ran,
            exit_code: Some(0),
            signal: None,
            fencing_token: FencingToken(fence),
        }
    }

    #[test]
    fn an_outcome_is_called_alike_in_json_and_elsewhere() {
        for outcome in RunOutcome::ALL {
            let json = serde_json::to_value(outcome).expect("a word");
            assert_eq!(json, outcome.name());
        }
    }

    #[test]
    fn what_nodes_tell_is_merged_in_the_order_of_holding_and_each_run_counts_once() {
        let told = [run(2, 5), run(1, 5), run(3, 5), run(2, 5)].map(|run| run.line());
        let told = told.into_iter().chain(["garbage".to_owned()]);
        assert_eq!(merge(told), [run(3, 5), run(2, 5), run(1, 5)]);
        let many = (0..100).map(|fence| run(fence, 5).line());
        assert_eq!(merge(many).len(), HISTORY_RUNS);
    }

    #[test]
    fn a_line_is_short_whatever_the_names() {
        let long = PastRun {
            host: "ä\"".repeat(1000),
            ..run(1, 5)
        };
        assert!(long.line().len() <= HISTORY_RUN_LIMIT);
        assert_eq!(merge([long.line()]).len(), 1);
    }

    #[test]
    fn the_usual_time_is_the_median_of_the_runs_that_ended_by_themselves() {
        let mut runs = vec![run(1, 100), run(2, 300), run(3, 90_000)];
        assert_eq!(usual(&runs), Some(Duration::from_millis(300)));
        runs[1].outcome = RunOutcome::TimedOut;
        assert_eq!(usual(&runs[1..2]), None);
        assert_eq!(usual(&[]), None);
        let runs = [run(1, 1_000)];
        assert_eq!(too_long_for(Duration::from_secs(2), &runs), None);
        let short = Duration::from_millis(1_999);
        let (usual, enough) = (Duration::from_secs(1), Duration::from_secs(2));
        assert_eq!(too_long_for(short, &runs), Some((usual, enough)));
        let thirteen_hours = [run(1, 13 * 60 * 60 * 1000)];
        assert_eq!(too_long_for(TTL_LIMIT, &thirteen_hours), None);
        let (_, enough) = too_long_for(short, &thirteen_hours).expect("it is too short");
        assert_eq!(enough, TTL_LIMIT);
    }
}
