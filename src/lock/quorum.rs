//! What the answers of the nodes mean together: verdicts, validity, fencing rounds.
//!
//! PURE: no I/O, no clock, no task. Everything that decides whether somebody holds a lock is in
//! here, so that it can be checked by enumeration. Used by all of `lock`, and by whoever counts
//! nodes.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Instant;
use crate::node::{Answer, Extension, Foreign, Node, NodeError, NodeName, OfServer, Raised, Vote};

/// The answers of one round, a slot for each configured node; `None` is an answer that is not there
/// yet.
pub type Answers<T> = Vec<Option<Answer<T>>>;

/// The same with the names of the nodes, for whoever is told.
pub type Named<T> = Vec<(NodeName, Option<Answer<T>>)>;

/// The `answers` of `nodes`, which are in the same order, with their names.
pub fn named<N: Node, T>(nodes: &[Arc<N>], answers: Answers<T>) -> Named<T> {
    let names = nodes.iter().map(|node| node.name().clone());
    names.zip(answers).collect()
}

/// How many of `nodes` are a quorum: the majority of the configured nodes, not of those that
/// answered.
#[must_use]
pub fn majority(nodes: usize) -> usize {
    nodes / 2 + 1
}

/// Whether `some` of `nodes` are so many that the others are no quorum without them.
#[must_use]
pub fn rules_out_quorum(some: usize, nodes: usize) -> bool {
    nodes - some < majority(nodes)
}

/// Whether so many of `nodes` turned us away, by the `errors` of those that failed, that there is
/// no quorum without them.
#[must_use]
pub fn is_refused<'a>(errors: impl Iterator<Item = &'a NodeError>, nodes: usize) -> bool {
    let refusals = errors.filter(|error| matches!(error, NodeError::Refused(_)));
    rules_out_quorum(refusals.count(), nodes)
}

/// Two nodes that are one server, by their places: what they answered as their `run_ids` is equal.
#[must_use]
pub fn same_run(run_ids: &[Option<&String>]) -> Option<(usize, usize)> {
    let count = run_ids.len();
    (0..count)
        .flat_map(|first| (first + 1..count).map(move |second| (first, second)))
        .find(|&(first, second)| run_ids[first].is_some() && run_ids[first] == run_ids[second])
}

/// How much the clocks of servers and host may differ over one `ttl`.
/// Redlock: drift = ttl × 0.01 + 2 ms.
#[must_use]
pub fn drift(ttl: Duration) -> Duration {
    ttl / 100 + Duration::from_millis(2)
}

/// Until when a lock is ours that was written by a round that began at `started`, before its first
/// byte was sent. Redlock: validity = ttl − elapsed − drift.
#[must_use]
pub fn valid_until(started: Instant, ttl: Duration) -> Instant {
    started + ttl.saturating_sub(drift(ttl))
}

/// What the votes of an attempt come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It takes more votes to tell.
    Undecided,
    /// A quorum granted. Not yet a lock: see [`fencing`] and [`valid_until`].
    Acquired,
    /// A quorum names the same other holder: an answer, not a failure.
    Taken(Foreign),
    /// So many nodes turned us away that there is no quorum without them; asking again is no use.
    Refused,
    /// Fewer than a quorum answered: an outage, never to be taken for a held lock.
    Unreachable,
    /// A quorum answered, but not without servers that restarted and may have forgotten a lock: an
    /// outage until they may vote again, see [`votes_again`]. In a cold start: some node cannot
    /// vote.
    Young,
    /// Every node answered, all are free, and all have restarted: nobody could ever begin unless
    /// they may grant. See [`cold_start_verdict`].
    ColdStart,
    /// Enough nodes answered, and they agree on nobody: contenders, a stale key, a hole in the
    /// view.
    Split,
    /// These two nodes are one server; whatever they answer counts once.
    SameServer(usize, usize),
}

/// The verdict on `votes`. Decides as soon as the votes decide: a hung node never delays a quorum
/// that is there. An outage is told only once every node answered, so that it can be told in full.
#[must_use]
pub fn verdict(votes: &[Option<Answer<Vote>>]) -> Verdict {
    if let Some((first, second)) = same_server(votes) {
        return Verdict::SameServer(first, second);
    }
    let quorum = majority(votes.len());
    let granted = count(votes, |vote| matches!(vote, Vote::Granted { .. }));
    if granted >= quorum {
        return Verdict::Acquired;
    }
    let (equal, holder) = largest_group(in_the_way(votes));
    if equal >= quorum
        && let Some(holder) = holder
    {
        return Verdict::Taken(holder.clone());
    }
    let young = count(votes, |vote| matches!(vote, Vote::Young { .. }));
    // That a server which restarted knows of no lock says nothing.
    let answered = count(votes, |vote| !matches!(vote, Vote::Young { .. }));
    let pending = votes.iter().filter(|vote| vote.is_none()).count();
    // Nothing that is still to come can make it anybody's.
    if answered >= quorum && granted + pending < quorum && equal + pending < quorum {
        return Verdict::Split;
    }
    if pending > 0 {
        return Verdict::Undecided;
    }
    let errors = votes.iter().flatten().map(|vote| vote.as_ref().err());
    if is_refused(errors.flatten(), votes.len()) {
        Verdict::Refused
    } else if answered >= quorum {
        Verdict::Split
    } else if young == votes.len() {
        Verdict::ColdStart
    } else if answered + young >= quorum {
        Verdict::Young
    } else {
        Verdict::Unreachable
    }
}

/// The verdict on the `votes` of an attempt that lifts the restart guard, after a
/// [`Verdict::ColdStart`].
///
/// It takes every node to acquire, but for those that have restarted within the window when others
/// have not. The guard may be lifted only because no lock is older than the restarts, but another
/// contender may have acquired in the same manner since, and one of its nodes may have restarted
/// again: a majority of young nodes may then have forgotten it, all of them cannot without a
/// majority having been wiped. Whoever holds the lock is on some node, and that node refuses.
#[must_use]
pub fn cold_start_verdict(votes: &[Option<Answer<Vote>>]) -> Verdict {
    let knows_of_none =
        |vote: &Option<_>| matches!(vote, Some(Ok(Vote::Granted { .. } | Vote::Young { .. })));
    match verdict(votes) {
        Verdict::Acquired if votes.iter().all(knows_of_none) => Verdict::Acquired,
        Verdict::Acquired
            if votes
                .iter()
                .all(|vote| vote.is_none() || knows_of_none(vote)) =>
        {
            Verdict::Undecided
        }
        Verdict::Acquired if in_the_way(votes).next().is_some() => Verdict::Split,
        // Some node cannot vote at all.
        Verdict::Acquired => Verdict::Young,
        other => other,
    }
}

/// After what time the last of the servers that restarted may vote again; `None` if none has.
#[must_use]
pub fn votes_again(votes: &[Option<Answer<Vote>>]) -> Option<Duration> {
    let rests = votes.iter().filter_map(|vote| match vote {
        Some(Ok(Vote::Young { rest, .. })) => Some(*rest),
        _ => None,
    });
    rests.max()
}

/// How many nodes gave an answer of this `kind`.
fn count<T>(answers: &[Option<Answer<T>>], kind: impl Fn(&T) -> bool) -> usize {
    answers
        .iter()
        .filter(|answer| matches!(answer, Some(Ok(answer)) if kind(answer)))
        .count()
}

/// What stands in the way, node by node.
fn in_the_way(votes: &[Option<Answer<Vote>>]) -> impl Iterator<Item = &Foreign> + Clone {
    votes.iter().filter_map(|vote| match vote {
        Some(Ok(Vote::Taken { by, .. })) => Some(by),
        _ => None,
    })
}

/// Of what nodes have: how many have the value that most have, and that value, where it lasts
/// longest.
pub(super) fn largest_group<'a>(
    values: impl Iterator<Item = &'a Foreign> + Clone,
) -> (usize, Option<&'a Foreign>) {
    let each = values.clone();
    let equal = |by: &Foreign| each.clone().filter(|other| other.is_same(by)).count();
    // A key without expiry lasts longest of all.
    let lasts = |by: &Foreign| (by.ttl.is_none(), by.ttl);
    let largest = values.max_by_key(|by| (equal(by), lasts(by)));
    (largest.map_or(0, equal), largest)
}

fn same_server(votes: &[Option<Answer<Vote>>]) -> Option<(usize, usize)> {
    same_run(&run_ids(votes)).or_else(|| twins(votes))
}

/// The server that each answer is of.
fn run_ids<T: OfServer>(answers: &[Option<Answer<T>>]) -> Vec<Option<&String>> {
    let each = answers.iter();
    each.map(|answer| answer.as_ref()?.as_ref().ok()?.run_id())
        .collect()
}

/// A node that says that it has granted by another name, and that name, if it can be no other.
fn twins(votes: &[Option<Answer<Vote>>]) -> Option<(usize, usize)> {
    let twin = votes
        .iter()
        .position(|vote| matches!(vote, Some(Ok(Vote::Twin { .. }))))?;
    let may_have_granted = |index: &usize| {
        matches!(
            votes[*index],
            None | Some(Ok(Vote::Granted { .. }) | Err(_))
        )
    };
    let mut candidates = (0..votes.len()).filter(may_have_granted);
    let first = candidates.next()?;
    let has_granted = matches!(votes[first], Some(Ok(_)));
    let is_certain = candidates.next().is_none() && has_granted;
    is_certain.then(|| (first.min(twin), first.max(twin)))
}

/// The earliest time after which a majority can be free, as far as `votes` tell: the q-th smallest
/// rest of life; a free node counts as zero, or as the time until it may vote. `None` if a majority
/// never expires or did not answer.
#[must_use]
pub fn earliest_free(votes: &[Option<Answer<Vote>>]) -> Option<Duration> {
    let mut rests: Vec<Duration> = votes
        .iter()
        .filter_map(|vote| match vote {
            Some(Ok(Vote::Taken { by, .. })) => by.ttl,
            Some(Ok(Vote::Granted { .. })) => Some(Duration::ZERO),
            Some(Ok(Vote::Young { rest, .. })) => Some(*rest),
            _ => None,
        })
        .collect();
    rests.sort_unstable();
    rests.get(majority(votes.len()) - 1).copied()
}

/// What the fencing counters of the granting nodes come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fencing {
    /// A quorum stands at this number: it is the fencing token.
    Agreed(u64),
    /// The granting nodes must be raised to this number, and asked again.
    Raise(u64),
    /// No quorum answered: there is no token, and so no lock.
    Failed,
}

/// The state of the fencing token after the replies `fences`, of a grant or of a raise to some
/// number.
///
/// Invariant I2 rests on this: every later holder meets at least one node of the quorum that stands
/// at our token, and is told a larger number. A reply counts only if it equals the largest: a node
/// that answered more has been raised by somebody else, whose number we must pass.
#[must_use]
pub fn fencing(fences: &[u64], nodes: usize) -> Fencing {
    let quorum = majority(nodes);
    let Some(&largest) = fences.iter().max() else {
        return Fencing::Failed;
    };
    if fences.iter().filter(|&&fence| fence == largest).count() >= quorum {
        Fencing::Agreed(largest)
    } else if fences.len() >= quorum {
        Fencing::Raise(largest)
    } else {
        Fencing::Failed
    }
}

/// The numbers that count in a round of raising: of the nodes where the lock is still ours.
#[must_use]
pub fn raised(answers: &[Answer<Raised>]) -> Vec<u64> {
    let counted = answers.iter().filter_map(|answer| match answer {
        Ok(Raised::To(fence)) => Some(*fence),
        _ => None,
    });
    counted.collect()
}

/// What the answers of a round of extension come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// It takes more answers to tell.
    Undecided,
    /// A quorum extended.
    Extended,
    /// So many nodes have no key of ours that no quorum of the others is left: lost, now.
    Lost,
    /// Neither: the lock is ours until its validity ends, and the nodes must be asked again.
    Unknown,
}

/// Leaves in `answers` one of each server that has done what it was asked for: since the lock was
/// acquired, the name or the address of one may have become that of another, which must not keep it
/// for both, nor remember for both that its job is done.
pub fn count_servers_once<T: OfServer>(answers: &mut [Option<Answer<T>>]) {
    loop {
        let Some((_, again)) = same_run(&run_ids(answers)) else {
            return;
        };
        let text = "leads to a server that has answered by another name";
        answers[again] = Some(Err(NodeError::Failed(text.to_owned())));
    }
}

/// What `answers` mean for the lock. A healed key never counts in the round that healed it: the
/// caller passes what `extend` answered.
#[must_use]
pub fn keeping(answers: &[Option<Answer<Extension>>]) -> Keeping {
    let is_extended = |answer: &_| matches!(answer, Extension::Extended { .. });
    let extended = count(answers, is_extended);
    let not_ours = count(answers, |answer| !is_extended(answer));
    if extended >= majority(answers.len()) {
        Keeping::Extended
    } else if rules_out_quorum(not_ours, answers.len()) {
        Keeping::Lost
    } else if answers.iter().any(Option::is_none) {
        Keeping::Undecided
    } else {
        Keeping::Unknown
    }
}

#[cfg(test)]
#[expect(
    clippy::unnecessary_wraps,
    reason = "a list of votes reads best when each is made as it stands there"
)]
mod tests {
    use super::*;

    fn granted() -> Option<Answer<Vote>> {
        Some(Ok(Vote::Granted {
            fence: 1,
            run_id: None,
        }))
    }

    fn taken(holder: &str) -> Option<Answer<Vote>> {
        Some(Ok(Vote::Taken {
            by: foreign(holder, Some(1000)),
            run_id: None,
            listeners: 0,
        }))
    }

    fn foreign(holder: &str, ttl_ms: Option<u64>) -> Foreign {
        Foreign {
            key: "lock:a".to_owned(),
            value: holder.as_bytes().to_vec(),
            digest: holder.to_owned(),
            kind: "string".to_owned(),
            ttl: ttl_ms.map(Duration::from_millis),
        }
    }

    fn young(rest_s: u64) -> Option<Answer<Vote>> {
        Some(Ok(Vote::Young {
            uptime: Duration::from_secs(1),
            rest: Duration::from_secs(rest_s),
            run_id: None,
        }))
    }

    fn failed() -> Option<Answer<Vote>> {
        Some(Err(NodeError::Unreachable("connection refused".to_owned())))
    }

    fn refused() -> Option<Answer<Vote>> {
        Some(Err(NodeError::Refused("NOPERM".to_owned())))
    }

    #[test]
    fn a_server_that_was_asked_by_two_names_has_one_vote() {
        let twin = || Some(Ok(Vote::Twin { run_id: None }));
        let same = Verdict::SameServer(0, 2);
        assert_eq!(verdict(&[granted(), taken("a"), twin()]), same);
        assert_eq!(verdict(&[twin(), young(9), granted()]), same);
        assert_eq!(verdict(&[twin(), failed(), granted()]), Verdict::Split);
        // Whose twin it is is not known yet.
        let early = verdict(&[granted(), None, twin()]);
        assert_eq!(early, Verdict::Undecided);
        let five = [granted(), granted(), twin(), None, None];
        assert_eq!(verdict(&five), Verdict::Undecided);
        let five = [granted(), granted(), twin(), granted(), None];
        assert_eq!(verdict(&five), Verdict::Acquired);
        let five = [granted(), granted(), twin(), failed(), failed()];
        assert_eq!(verdict(&five), Verdict::Split);
    }

    #[test]
    fn a_quorum_of_grants_acquires_without_the_rest() {
        assert_eq!(verdict(&[granted(), None, granted()]), Verdict::Acquired);
        assert_eq!(
            verdict(&[granted(), failed(), granted()]),
            Verdict::Acquired
        );
        assert_eq!(verdict(&[granted(), None, None]), Verdict::Undecided);
    }

    #[test]
    fn a_quorum_of_equal_values_is_a_held_lock() {
        let held = Verdict::Taken(foreign("x", Some(1000)));
        assert_eq!(verdict(&[taken("x"), None, taken("x")]), held);
        assert_eq!(verdict(&[taken("x"), granted(), taken("x")]), held);
    }

    #[test]
    fn one_value_under_two_keys_is_no_quorum_for_either() {
        let under = |key: &str| {
            let by = Foreign {
                key: key.to_owned(),
                ..foreign("x", Some(1000))
            };
            Some(Ok(Vote::Taken {
                by,
                run_id: None,
                listeners: 0,
            }))
        };
        let votes = [under("lock:a"), under("lock:b"), granted()];
        assert_eq!(verdict(&votes), Verdict::Split);
        let votes = [under("lock:b"), under("lock:b"), granted()];
        assert!(matches!(verdict(&votes), Verdict::Taken(by) if by.key == "lock:b"));
    }

    #[test]
    fn values_that_differ_are_a_split_as_soon_as_nothing_else_can_come() {
        assert_eq!(verdict(&[taken("x"), taken("y"), None]), Verdict::Undecided);
        assert_eq!(
            verdict(&[taken("x"), taken("y"), taken("z")]),
            Verdict::Split
        );
        let five = [taken("x"), taken("y"), taken("z"), granted(), None];
        assert_eq!(verdict(&five), Verdict::Split);
    }

    #[test]
    fn a_holder_seen_through_a_hole_is_a_split_and_never_a_skip() {
        assert_eq!(verdict(&[taken("x"), granted(), failed()]), Verdict::Split);
    }

    #[test]
    fn an_outage_is_never_a_held_lock() {
        assert_eq!(
            verdict(&[taken("x"), failed(), failed()]),
            Verdict::Unreachable
        );
        assert_eq!(
            verdict(&[granted(), failed(), failed()]),
            Verdict::Unreachable
        );
        assert_eq!(verdict(&[failed(), failed(), None]), Verdict::Undecided);
    }

    #[test]
    fn refusals_that_rule_out_a_quorum_are_told_apart_from_an_outage() {
        assert_eq!(
            verdict(&[granted(), refused(), refused()]),
            Verdict::Refused
        );
        assert_eq!(
            verdict(&[granted(), refused(), failed()]),
            Verdict::Unreachable
        );
    }

    #[test]
    fn a_restarted_server_is_no_vote_but_no_outage_either() {
        let young = || young(49);
        assert_eq!(verdict(&[granted(), young(), granted()]), Verdict::Acquired);
        assert_eq!(verdict(&[granted(), young(), None]), Verdict::Undecided);
        assert_eq!(verdict(&[granted(), young(), failed()]), Verdict::Young);
        assert_eq!(verdict(&[taken("x"), young(), failed()]), Verdict::Young);
        assert_eq!(verdict(&[young(), young(), failed()]), Verdict::Young);
        assert_eq!(
            verdict(&[young(), failed(), failed()]),
            Verdict::Unreachable
        );
        assert_eq!(verdict(&[taken("x"), granted(), young()]), Verdict::Split);
    }

    #[test]
    fn all_servers_restarted_and_free_are_a_cold_start() {
        assert_eq!(verdict(&[young(1), young(2), None]), Verdict::Undecided);
        let cold = [young(1), young(3), young(2)];
        assert_eq!(verdict(&cold), Verdict::ColdStart);
        assert_eq!(votes_again(&cold), Some(Duration::from_secs(3)));
    }

    #[test]
    fn a_cold_start_takes_every_node_that_has_a_vote() {
        let verdict = |third| cold_start_verdict(&[granted(), granted(), third]);
        assert_eq!(verdict(granted()), Verdict::Acquired);
        assert_eq!(verdict(young(49)), Verdict::Acquired);
        assert_eq!(verdict(None), Verdict::Undecided);
        assert_eq!(verdict(taken("x")), Verdict::Split);
        assert_eq!(verdict(failed()), Verdict::Young);
        let of_five = [granted(), granted(), granted(), young(49), None];
        assert_eq!(cold_start_verdict(&of_five), Verdict::Undecided);
    }

    #[test]
    fn two_answers_of_one_server_are_refused_as_soon_as_they_are_seen() {
        let vote = || {
            Some(Ok(Vote::Granted {
                fence: 1,
                run_id: Some("7f".to_owned()),
            }))
        };
        assert_eq!(verdict(&[vote(), None, vote()]), Verdict::SameServer(0, 2));
    }

    #[test]
    fn a_majority_can_be_free_after_the_qth_smallest_rest() {
        let rest = |ms| {
            Some(Ok(Vote::Taken {
                by: foreign("x", ms),
                run_id: None,
                listeners: 0,
            }))
        };
        let votes = [rest(Some(900)), rest(Some(100)), rest(Some(500))];
        assert_eq!(earliest_free(&votes), Some(Duration::from_millis(500)));
        assert_eq!(
            earliest_free(&[rest(None), rest(Some(5)), rest(None)]),
            None
        );
        assert_eq!(
            earliest_free(&[granted(), rest(Some(5)), None]),
            Some(Duration::from_millis(5))
        );
    }

    #[test]
    fn the_token_needs_a_quorum_that_stands_at_the_largest_number() {
        assert_eq!(fencing(&[7, 7], 3), Fencing::Agreed(7));
        assert_eq!(fencing(&[7, 7, 6], 3), Fencing::Agreed(7));
        assert_eq!(fencing(&[7, 6, 6], 3), Fencing::Raise(7));
        assert_eq!(fencing(&[7], 3), Fencing::Failed);
        assert_eq!(fencing(&[], 3), Fencing::Failed);
    }

    #[test]
    fn an_extension_is_kept_lost_or_unknown() {
        let extended = || Some(Ok(Extension::Extended { run_id: None }));
        let missing = || Some(Ok(Extension::Missing));
        let silent = || Some(Err(NodeError::TimedOut(Duration::from_millis(80))));
        assert_eq!(keeping(&[extended(), None, extended()]), Keeping::Extended);
        assert_eq!(keeping(&[missing(), None, missing()]), Keeping::Lost);
        assert_eq!(keeping(&[missing(), extended(), None]), Keeping::Undecided);
        assert_eq!(
            keeping(&[missing(), extended(), silent()]),
            Keeping::Unknown
        );
        assert_eq!(keeping(&[silent(), silent(), silent()]), Keeping::Unknown);
    }

    #[test]
    fn validity_is_the_ttl_less_drift_from_before_the_first_byte() {
        let started = Instant::from_boot(Duration::from_secs(100));
        let until = valid_until(started, Duration::from_secs(10));
        assert_eq!(until.since(started), Duration::from_millis(9_898));
    }
}
