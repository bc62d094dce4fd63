//! Nodes that hang, as whoever contends for a lock knows them from attempt to attempt.
//!
//! As long as somebody waits for a node that hangs, what the others have granted him stands in
//! everybody's way: in a crowd there would be such a key at any time, and nobody would ever get a
//! quorum. So where others contend, a node that was silent is waited for no longer than the others
//! took, as in a release. That only ever fails an attempt, which is always safe.

use super::quorum::{self, Answers};
use crate::node::{NodeError, Vote};

/// Of so many attempts one waits for the silent as for everybody: who is back, and slower than the
/// others, shall be heard.
const PATIENT_EVERY: u32 = 8;

/// Which nodes were silent when they were last waited for, and what was said of them then.
pub(super) struct Silence {
    nodes: Vec<Option<NodeError>>,
    /// Attempts that have not waited for them since one did.
    hurried: u32,
}

impl Silence {
    /// Nothing is known of so many `nodes`.
    pub(super) fn of(nodes: usize) -> Self {
        Self {
            nodes: vec![None; nodes],
            hurried: 0,
        }
    }

    /// Whether others contend, and only nodes that were silent could still decide between them.
    pub(super) fn is_all_that_is_missing(&self, votes: &Answers<Vote>) -> bool {
        let answered = votes.iter().filter(|vote| matches!(vote, Some(Ok(_))));
        let is_taken = |vote: &Option<_>| matches!(vote, Some(Ok(Vote::Taken { .. })));
        let mut missing = (0..votes.len()).filter(|&index| votes[index].is_none());
        self.hurried + 1 < PATIENT_EVERY
            && answered.count() >= quorum::majority(votes.len())
            && votes.iter().any(is_taken)
            && missing.all(|index| self.nodes[index].is_some())
    }

    /// Counts the missing as silent again.
    pub(super) fn count_out(&self, votes: &mut Answers<Vote>) {
        for (vote, silent) in votes.iter_mut().zip(&self.nodes) {
            if vote.is_none() {
                *vote = silent.clone().map(Err);
            }
        }
    }

    /// Learns from an attempt that failed. A node that was not waited for is as it was.
    pub(super) fn learn(&mut self, votes: &Answers<Vote>, waited: Waited) {
        for (node, vote) in self.nodes.iter_mut().zip(votes) {
            match vote {
                Some(Err(error)) if error.is_silence() => *node = Some(error.clone()),
                Some(_) => *node = None,
                None => {}
            }
        }
        self.hurried = match waited {
            Waited::ForAll => 0,
            Waited::NotForTheSilent => self.hurried + 1,
        };
    }
}

/// For whom an attempt has waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// For everybody whose answer could matter.
    ForAll,
    /// Not for those who were silent before.
    NotForTheSilent,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::node::Foreign;

    const LIMIT: Duration = Duration::from_millis(80);

    /// The votes that `signs` stand for: `+` granted, `-` taken, `0` silent, `!` refused, and a
    /// blank for none yet.
    fn votes(signs: &str) -> Answers<Vote> {
        let vote = |sign| match sign {
            '+' => Some(Ok(Vote::Granted {
                fence: 1,
                run_id: None,
            })),
            '-' => Some(Ok(Vote::Taken {
                by: Foreign {
                    key: "lock:a".to_owned(),
                    value: Vec::new(),
                    digest: "x".to_owned(),
                    kind: "string".to_owned(),
                    ttl: None,
                },
                run_id: None,
                listeners: 0,
            })),
            '0' => Some(Err(NodeError::TimedOut(LIMIT))),
            '!' => Some(Err(NodeError::Refused("no".to_owned()))),
            _ => None,
        };
        signs.chars().map(vote).collect()
    }

    /// The third of three nodes was silent once.
    fn third_is_silent() -> Silence {
        let mut silence = Silence::of(3);
        silence.learn(&votes("+-0"), Waited::ForAll);
        silence
    }

    #[test]
    fn who_was_silent_is_not_waited_for_where_others_contend() {
        let silence = third_is_silent();
        let mut contended = votes("+- ");
        assert!(silence.is_all_that_is_missing(&contended));
        silence.count_out(&mut contended);
        assert_eq!(contended, votes("+-0"));
    }

    #[test]
    fn who_was_not_silent_is_waited_for_and_everybody_where_nobody_contends() {
        assert!(!Silence::of(3).is_all_that_is_missing(&votes("+- ")));
        for signs in ["!- ", " - ", "++ "] {
            let missing = third_is_silent().is_all_that_is_missing(&votes(signs));
            assert!(!missing, "{signs}");
        }
    }

    #[test]
    fn an_answer_ends_the_silence_and_no_answer_yet_does_not() {
        let mut silence = third_is_silent();
        silence.learn(&votes("+- "), Waited::NotForTheSilent);
        assert!(silence.is_all_that_is_missing(&votes("+- ")));
        silence.learn(&votes("+--"), Waited::NotForTheSilent);
        assert!(!silence.is_all_that_is_missing(&votes("+- ")));
    }

    #[test]
    fn one_attempt_of_eight_waits_for_the_silent() {
        let mut silence = third_is_silent();
        let mut patient = 0;
        for _ in 0..16 {
            let waited = if silence.is_all_that_is_missing(&votes("+- ")) {
                Waited::NotForTheSilent
            } else {
                patient += 1;
                Waited::ForAll
            };
            silence.learn(&votes("+-0"), waited);
        }
        assert_eq!(patient, 2);
    }
}
