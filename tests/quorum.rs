//! What must hold of the verdicts for every number of nodes, every mixture of votes and every
//! order. What a server says that was asked by two names is in the unit tests.

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;
use redlock::clock::Instant;
use redlock::lock::quorum::{
    Fencing, Keeping, Verdict, cold_start_verdict, count_servers_once, drift, earliest_free,
    fencing, keeping, majority, valid_until, verdict,
};
use redlock::node::{Answer, Extension, Foreign, NodeError, Vote};

type Votes = Vec<Option<Answer<Vote>>>;

fn taken(holder: u8, ttl_ms: u64) -> Vote {
    let by = Foreign {
        key: "lock:a".to_owned(),
        value: vec![holder],
        digest: holder.to_string(),
        kind: "string".to_owned(),
        // Now and then one that never expires.
        ttl: (ttl_ms > 0).then(|| Duration::from_millis(ttl_ms)),
    };
    Vote::Taken {
        by,
        run_id: None,
        listeners: 0,
    }
}

/// A vote or a failure. Few holders, so that they agree often.
fn answer() -> impl Strategy<Value = Answer<Vote>> {
    prop_oneof![
        4 => (1..5_u64).prop_map(|fence| Ok(Vote::Granted { fence, run_id: None })),
        4 => (0..3_u8, 0..1_000_u64).prop_map(|(holder, ttl_ms)| Ok(taken(holder, ttl_ms))),
        2 => (1..60_u64).prop_map(|rest_s| Ok(Vote::Young {
            uptime: Duration::from_secs(1),
            rest: Duration::from_secs(rest_s),
            run_id: None,
        })),
        1 => Just(Err(NodeError::TimedOut(Duration::from_millis(80)))),
        1 => Just(Err(NodeError::Unreachable("connection refused".to_owned()))),
        1 => Just(Err(NodeError::Refused("NOPERM".to_owned()))),
    ]
}

/// The answers of one to nine nodes, and an order in which they come.
fn answers_in_order() -> impl Strategy<Value = (Vec<Answer<Vote>>, Vec<usize>)> {
    prop::collection::vec(answer(), 1..=9).prop_flat_map(|answers| {
        let order: Vec<usize> = (0..answers.len()).collect();
        (Just(answers), Just(order).prop_shuffle())
    })
}

/// The first verdict that decides, when answers come in this order, and the votes it was made of.
fn first_verdict(
    answers: &[Answer<Vote>],
    order: &[usize],
    judge: fn(&[Option<Answer<Vote>>]) -> Verdict,
) -> (Verdict, Votes) {
    let mut votes: Votes = vec![None; answers.len()];
    for &index in order {
        votes[index] = Some(answers[index].clone());
        let verdict = judge(&votes);
        if verdict != Verdict::Undecided {
            return (verdict, votes);
        }
    }
    panic!("all have answered, and nothing is decided: {votes:?}");
}

fn all(answers: &[Answer<Vote>]) -> Votes {
    answers.iter().cloned().map(Some).collect()
}

fn count(votes: &Votes, wanted: fn(&Answer<Vote>) -> bool) -> usize {
    votes.iter().flatten().filter(|vote| wanted(vote)).count()
}

fn granted(votes: &Votes) -> usize {
    count(votes, |vote| matches!(vote, Ok(Vote::Granted { .. })))
}

fn taken_by(votes: &Votes, holder: &Foreign) -> usize {
    let same = |vote: &&Answer<Vote>| matches!(vote, Ok(Vote::Taken { by, .. }) if by.digest == holder.digest);
    votes.iter().flatten().filter(same).count()
}

/// Verdicts without what they carry: which of several views of a holder is shown may depend on the
/// order.
fn kind(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Taken(by) => format!("held by {}", by.digest),
        other => format!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn acquired_takes_a_majority_of_grants_and_held_a_majority_of_one_holder(
        (answers, order) in answers_in_order()
    ) {
        let quorum = majority(answers.len());
        let (verdict, votes) = first_verdict(&answers, &order, verdict);
        match verdict {
            Verdict::Acquired => prop_assert!(granted(&votes) >= quorum),
            Verdict::Taken(by) => prop_assert!(taken_by(&votes, &by) >= quorum),
            _ => prop_assert!(granted(&votes) < quorum),
        }
    }

    #[test]
    fn an_early_verdict_is_the_verdict_on_all_answers((answers, order) in answers_in_order()) {
        let (early, _) = first_verdict(&answers, &order, verdict);
        prop_assert_eq!(kind(&early), kind(&verdict(&all(&answers))));
    }

    #[test]
    fn an_outage_is_never_taken_for_a_held_lock((answers, order) in answers_in_order()) {
        let votes = all(&answers);
        let quorum = majority(votes.len());
        let answered = count(&votes, |vote| matches!(vote, Ok(Vote::Granted { .. } | Vote::Taken { .. })));
        let (verdict, _) = first_verdict(&answers, &order, verdict);
        let is_outage = matches!(
            verdict,
            Verdict::Unreachable | Verdict::Refused | Verdict::Young | Verdict::ColdStart
        );
        prop_assert_eq!(is_outage, answered < quorum, "{:?}", verdict);
    }

    #[test]
    fn a_cold_start_is_all_nodes_and_nothing_less((answers, order) in answers_in_order()) {
        let votes = all(&answers);
        let young = count(&votes, |vote| matches!(vote, Ok(Vote::Young { .. })));
        let (verdict, _) = first_verdict(&answers, &order, verdict);
        prop_assert_eq!(verdict == Verdict::ColdStart, young == votes.len());
    }

    #[test]
    fn a_cold_start_acquires_with_a_quorum_if_all_who_have_a_vote_grant((answers, order) in answers_in_order()) {
        let (verdict, votes) = first_verdict(&answers, &order, cold_start_verdict);
        let young = count(&votes, |vote| matches!(vote, Ok(Vote::Young { .. })));
        let is_quorum = granted(&votes) >= majority(votes.len());
        let nobody_refuses = granted(&votes) + young == votes.len();
        prop_assert_eq!(verdict == Verdict::Acquired, is_quorum && nobody_refuses);
        // It never differs otherwise but by calling a majority of grants a split.
        let plain = quorum_verdict(&all(&answers));
        if verdict != Verdict::Acquired && plain != Verdict::Acquired {
            prop_assert_eq!(kind(&verdict), kind(&plain));
        }
    }

    #[test]
    fn two_nodes_of_one_server_are_never_two_votes(
        (mut answers, order) in answers_in_order(),
        first in 0..9_usize,
        after in 0..9_usize,
    ) {
        let count = answers.len();
        // One node alone has no pair.
        prop_assume!(count > 1);
        let first = first % count;
        let second = (first + 1 + after % (count - 1)) % count;
        for index in [first, second] {
            answers[index] = Ok(Vote::Granted { fence: 1, run_id: Some("7f".to_owned()) });
        }
        let mut votes: Votes = vec![None; answers.len()];
        for &index in &order {
            votes[index] = Some(answers[index].clone());
        }
        let pair = Verdict::SameServer(first.min(second), first.max(second));
        prop_assert_eq!(verdict(&votes), pair);
    }

    #[test]
    fn a_majority_cannot_be_free_earlier_than_told((answers, _) in answers_in_order()) {
        let votes = all(&answers);
        let free_after = |rest: Duration| {
            count_free(&votes, rest)
        };
        if let Some(rest) = earliest_free(&votes) {
            prop_assert!(free_after(rest) >= majority(votes.len()));
            if let Some(before) = rest.checked_sub(Duration::from_nanos(1)) {
                prop_assert!(free_after(before) < majority(votes.len()));
            }
        }
    }

    #[test]
    fn a_token_is_the_largest_number_and_a_majority_stands_there(
        nodes in 1..=9_usize,
        fences in prop::collection::vec(1..4_u64, 0..=9),
    ) {
        let fences = &fences[..fences.len().min(nodes)];
        let largest = fences.iter().copied().max();
        let standing = fences.iter().filter(|&&fence| Some(fence) == largest).count();
        match fencing(fences, nodes) {
            Fencing::Agreed(token) => {
                prop_assert_eq!(Some(token), largest);
                prop_assert!(standing >= majority(nodes));
            }
            Fencing::Raise(target) => {
                prop_assert_eq!(Some(target), largest);
                prop_assert!(standing < majority(nodes) && fences.len() >= majority(nodes));
            }
            Fencing::Failed => prop_assert!(fences.len() < majority(nodes)),
        }
    }

    #[test]
    fn two_names_of_one_server_never_keep_a_lock_together(
        runs in prop::collection::vec(0..4_u8, 1..=9),
    ) {
        let mut answers: Vec<Option<Answer<Extension>>> = runs
            .iter()
            .map(|run| Some(Ok(Extension::Extended { run_id: Some(run.to_string()) })))
            .collect();
        count_servers_once(&mut answers);
        let servers: HashSet<_> = runs.iter().collect();
        let is_kept = servers.len() >= majority(runs.len());
        prop_assert_eq!(keeping(&answers) == Keeping::Extended, is_kept);
        prop_assert!(keeping(&answers) != Keeping::Lost);
    }

    #[test]
    fn a_lock_is_kept_by_a_majority_and_lost_when_there_can_be_none(
        answers in prop::collection::vec(prop_oneof![
            Just(Ok(Extension::Extended { run_id: None })),
            Just(Ok(Extension::Missing)),
            Just(Err(NodeError::TimedOut(Duration::from_millis(80)))),
        ], 1..=9),
        heard in prop::collection::vec(any::<bool>(), 9),
    ) {
        let known: Vec<Option<Answer<Extension>>> = answers
            .iter()
            .zip(&heard)
            .map(|(answer, &heard)| heard.then(|| answer.clone()))
            .collect();
        let all: Vec<_> = answers.iter().cloned().map(Some).collect();
        let (early, last) = (keeping(&known), keeping(&all));
        prop_assert_ne!(last, Keeping::Undecided);
        // What is decided stays so.
        prop_assert!(early == last || matches!(early, Keeping::Undecided), "{:?} {:?}", early, last);
        let extended = answers.iter().filter(|answer| matches!(answer, Ok(Extension::Extended { .. }))).count();
        let silent = answers.iter().filter(|answer| answer.is_err()).count();
        let quorum = majority(answers.len());
        prop_assert_eq!(last == Keeping::Extended, extended >= quorum);
        prop_assert_eq!(last == Keeping::Lost, extended + silent < quorum);
    }

    #[test]
    fn two_majorities_meet_and_validity_ends_before_the_ttl(
        nodes in 1..=9_usize,
        ttl_ms in 1..86_400_000_u64,
        started_ms in 0..1_000_000_000_u64,
    ) {
        prop_assert!(2 * majority(nodes) > nodes);
        let ttl = Duration::from_millis(ttl_ms);
        let started = Instant::from_boot(Duration::from_millis(started_ms));
        prop_assert!(valid_until(started, ttl) + drift(ttl).min(ttl) <= started + ttl);
    }
}

/// How many nodes are free after `rest`, as far as they tell.
fn count_free(votes: &Votes, rest: Duration) -> usize {
    let free = |vote: &&Answer<Vote>| match vote {
        Ok(Vote::Granted { .. }) => true,
        Ok(Vote::Taken { by, .. }) => by.ttl.is_some_and(|ttl| ttl <= rest),
        Ok(Vote::Young { rest: until, .. }) => *until <= rest,
        Ok(Vote::Twin { .. }) | Err(_) => false,
    };
    votes.iter().flatten().filter(free).count()
}

fn quorum_verdict(votes: &Votes) -> Verdict {
    verdict(votes)
}
