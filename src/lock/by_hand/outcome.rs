//! What the answers to those who handle a lock by hand come to.
//!
//! PURE, like `quorum`: no I/O, no clock. Told by `commands`.

use crate::lock::quorum::{Answers, is_refused, largest_group, majority, rules_out_quorum};
use crate::node::{Extension, Foreign, Removal};

/// What was done to a lock that somebody has the token of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was ours, on a quorum, and is as was asked.
    Done,
    /// It is not ours any more, and nobody else's.
    Gone,
    /// It is somebody else's now.
    Taken(Foreign),
    /// So many nodes turned us away that there is no quorum without them.
    Refused,
    /// It is not known.
    NoQuorum,
}

/// What one node said about it.
enum Said<'a> {
    Done,
    Missing,
    Other(&'a Foreign),
}

/// Whether so many answered that the others cannot decide alone.
pub(super) fn has_quorum<T>(answers: &Answers<T>) -> bool {
    let answered = answers
        .iter()
        .filter(|answer| matches!(answer, Some(Ok(_))));
    answered.count() >= majority(answers.len())
}

/// Whether so many turned us away that no quorum is left.
pub(super) fn refused<T>(answers: &Answers<T>) -> bool {
    let errors = answers.iter().flatten().map(|answer| answer.as_ref().err());
    is_refused(errors.flatten(), answers.len())
}

/// What the answers to an extension come to.
pub(super) fn extended(answers: &Answers<Extension>) -> Outcome {
    let said = answers.iter().map(|answer| match answer {
        Some(Ok(Extension::Extended { .. })) => Some(Said::Done),
        Some(Ok(Extension::Missing)) => Some(Said::Missing),
        Some(Ok(Extension::Foreign(by))) => Some(Said::Other(by)),
        _ => None,
    });
    let said: Vec<Said> = said.flatten().collect();
    let quorum = majority(answers.len());
    let done = count(&said, |said| matches!(said, Said::Done));
    if done >= quorum {
        Outcome::Done
    } else if rules_out_quorum(said.len() - done, answers.len()) {
        not_ours(&said, quorum)
    } else {
        no_quorum(answers)
    }
}

/// What the answers to a release come to: a node without it is as good as one that let go.
pub(super) fn removed(answers: &Answers<Removal>) -> Outcome {
    let quorum = majority(answers.len());
    let said = said_of(answers);
    let done = count(&said, |said| matches!(said, Said::Done));
    if !has_quorum(answers) {
        no_quorum(answers)
    } else if said.len() - done >= quorum {
        not_ours(&said, quorum)
    } else {
        Outcome::Done
    }
}

/// What the answers to an eviction come to: done if anything was removed and a quorum has nothing.
pub(super) fn evicted(answers: &Answers<Removal>) -> Outcome {
    let quorum = majority(answers.len());
    let said = said_of(answers);
    let other = said.iter().find_map(|said| match said {
        Said::Other(by) => Some((*by).clone()),
        _ => None,
    });
    let done = count(&said, |said| matches!(said, Said::Done));
    let missing = count(&said, |said| matches!(said, Said::Missing));
    match other {
        _ if done > 0 && done + missing >= quorum => Outcome::Done,
        _ if missing >= quorum => Outcome::Gone,
        Some(by) if has_quorum(answers) => Outcome::Taken(by),
        _ => no_quorum(answers),
    }
}

fn said_of(answers: &Answers<Removal>) -> Vec<Said<'_>> {
    let said = answers.iter().map(|answer| match answer {
        Some(Ok(Removal::Removed)) => Some(Said::Done),
        Some(Ok(Removal::Missing)) => Some(Said::Missing),
        Some(Ok(Removal::Other(by))) => Some(Said::Other(by)),
        _ => None,
    });
    said.flatten().collect()
}

fn count(said: &[Said], is_one: fn(&Said) -> bool) -> usize {
    said.iter().filter(|said| is_one(said)).count()
}

fn no_quorum<T>(answers: &Answers<T>) -> Outcome {
    if refused(answers) {
        Outcome::Refused
    } else {
        Outcome::NoQuorum
    }
}

/// Somebody else's, if a quorum names the same; else nobody's.
fn not_ours(said: &[Said], quorum: usize) -> Outcome {
    let others = said.iter().filter_map(|said| match said {
        Said::Other(by) => Some(*by),
        _ => None,
    });
    match largest_group(others) {
        (equal, Some(by)) if equal >= quorum => Outcome::Taken(by.clone()),
        _ => Outcome::Gone,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::node::Answer;
    use crate::node::NodeError;

    fn by(token: &str) -> Foreign {
        Foreign {
            key: "lock:a".to_owned(),
            value: token.as_bytes().to_vec(),
            digest: token.to_owned(),
            kind: "string".to_owned(),
            ttl: None,
        }
    }

    fn silent<T>() -> Answer<T> {
        Err(NodeError::TimedOut(Duration::from_millis(80)))
    }

    fn all<T, const N: usize>(answers: [Answer<T>; N]) -> Answers<T> {
        answers.map(Some).into()
    }

    #[test]
    fn an_extension_is_done_gone_held_or_unknown() {
        let done = || Ok(Extension::Extended { run_id: None });
        let gone = || Ok(Extension::Missing);
        let other = |token| Ok(Extension::Foreign(by(token)));
        assert_eq!(extended(&all([done(), silent(), done()])), Outcome::Done);
        assert_eq!(extended(&all([gone(), gone(), silent()])), Outcome::Gone);
        assert_eq!(extended(&all([gone(), other("x"), done()])), Outcome::Gone);
        let held = all([other("x"), silent(), other("x")]);
        assert_eq!(extended(&held), Outcome::Taken(by("x")));
        assert_eq!(
            extended(&all([done(), gone(), silent()])),
            Outcome::NoQuorum
        );
        assert_eq!(
            extended(&all([done(), silent(), silent()])),
            Outcome::NoQuorum
        );
    }

    #[test]
    fn a_release_is_done_where_the_lock_is_gone_for_sure() {
        let done = || Ok(Removal::Removed);
        let gone = || Ok(Removal::Missing);
        let other = |token| Ok(Removal::Other(by(token)));
        assert_eq!(removed(&all([done(), done(), silent()])), Outcome::Done);
        assert_eq!(removed(&all([done(), gone(), silent()])), Outcome::Done);
        assert_eq!(removed(&all([gone(), gone(), silent()])), Outcome::Gone);
        let held = all([other("x"), other("x"), gone()]);
        assert_eq!(removed(&held), Outcome::Taken(by("x")));
        assert_eq!(
            removed(&all([done(), silent(), silent()])),
            Outcome::NoQuorum
        );
    }

    #[test]
    fn an_eviction_leaves_a_new_holder_alone_and_says_so() {
        let done = || Ok(Removal::Removed);
        let gone = || Ok(Removal::Missing);
        let other = |token| Ok(Removal::Other(by(token)));
        assert_eq!(evicted(&all([done(), done(), other("x")])), Outcome::Done);
        assert_eq!(evicted(&all([done(), gone(), silent()])), Outcome::Done);
        assert_eq!(evicted(&all([gone(), gone(), gone()])), Outcome::Gone);
        let held = Outcome::Taken(by("x"));
        assert_eq!(evicted(&all([done(), other("x"), other("x")])), held);
        assert_eq!(evicted(&all([other("x"), other("x"), silent()])), held);
        for one in [done(), other("x")] {
            let answers = all([one, silent(), silent()]);
            assert_eq!(evicted(&answers), Outcome::NoQuorum);
        }
    }
}
