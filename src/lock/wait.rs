//! When to try again, after an attempt that did not get the lock.
//!
//! Knows no node and never sleeps: it turns a verdict into a delay, from a random source that is
//! handed in, so that a whole world can be replayed from one seed.

use std::time::Duration;

use fastrand::Rng;

use super::claim::holder_of;
use super::quorum::{self, Answers, Verdict};
use crate::clock::Instant;
use crate::node::{Foreign, Vote};

/// For how long to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// A held lock is an answer; only a split vote and an outage are tried again, for a while.
    None,
    /// Until this much time has passed, whatever the verdicts.
    For(Duration),
    /// For ever, but for an outage of [`OUTAGE_LIMIT`] in a row.
    Forever,
}

/// How often an outage is tried again by somebody who does not wait.
pub(super) const OUTAGE_RETRIES: u32 = 3;
/// The shortest pause between two of these, and what chance adds to it: 200 ms ± 100 ms in all.
const OUTAGE_PAUSE: Duration = Duration::from_millis(100);
const OUTAGE_SPREAD: Duration = Duration::from_millis(200);
/// How long an outage in a row may last for somebody who waits for ever.
pub const OUTAGE_LIMIT: Duration = Duration::from_mins(1);

/// How long a split vote may stay split for somebody who does not wait.
pub const SPLIT_LIMIT: Duration = Duration::from_secs(5);
/// The first time over which contenders of a split vote spread out: a few round trips on a local
/// network, so that contenders who come back one by one no longer collide.
const SPLIT_SPREAD: Duration = Duration::from_millis(4);
/// The first is at least so many times as long as the attempt has taken: on a far or a busy server
/// contenders that came back within one attempt would only collide again.
const SPLIT_ATTEMPTS: u32 = 2;
/// It doubles with each split vote that follows, until a crowd of so many has room in it.
const SPLIT_CROWD: u32 = 100;
/// How long it may become in any case, and how long at most.
const SPLIT_SPREAD_USUAL: Duration = Duration::from_millis(250);
const SPLIT_SPREAD_LIMIT: Duration = Duration::from_secs(4);

/// The first and the longest pause between two looks at a held lock.
const POLL: Duration = Duration::from_millis(25);
const POLL_LIMIT: Duration = Duration::from_millis(250);

/// The pause between two looks for who would hear of a release.
const POLL_INFORMED: Duration = Duration::from_secs(1);

/// Up to what a node's time limit grows while an outage lasts, if it is shorter: a host that is
/// busy at the full hour must not call a slow answer an outage.
const LIMIT_GROWS_TO: Duration = Duration::from_millis(320);

/// The time a node has after so many `failures` in a row: `node_timeout`, doubled with each.
pub(super) fn limit(node_timeout: Duration, failures: u32) -> Duration {
    let doubled = node_timeout * 2_u32.saturating_pow(failures);
    doubled.min(LIMIT_GROWS_TO.max(node_timeout))
}

/// The pause before nodes that did not answer are asked again.
pub(super) fn outage_pause(rng: &mut Rng) -> Duration {
    OUTAGE_PAUSE + OUTAGE_SPREAD.mul_f64(rng.f64())
}

/// What to do after a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try again after this time.
    Again(Duration),
    /// The verdict stands.
    GiveUp,
}

/// The memory of one wait.
#[derive(Debug)]
pub struct Retries {
    patience: Patience,
    began: Instant,
    rng: Rng,
    poll: Duration,
    splits: u32,
    split_since: Option<Instant>,
    /// Whether the last look that a quorum answered found somebody else.
    was_held: bool,
    outages: u32,
    outage_since: Option<Instant>,
    /// When the servers that had restarted were to vote again, as told first in this outage:
    /// waiting for that is no outage, however long it takes. Told once, so that servers that
    /// restart again and again do not hold a waiter for ever.
    promised: Option<Instant>,
    informed: Informed,
}

/// Whether whoever waits would hear of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Informed {
    /// By a notice.
    Yes,
    /// Only by looking again.
    No,
}

impl Retries {
    /// A wait that began at `began`.
    #[must_use]
    pub fn new(patience: Patience, began: Instant, rng: Rng) -> Self {
        Self {
            patience,
            began,
            rng,
            poll: POLL,
            splits: 0,
            split_since: None,
            was_held: false,
            outages: 0,
            outage_since: None,
            promised: None,
            informed: Informed::No,
        }
    }

    /// Whether whoever waits would hear of a release from now on.
    pub fn inform(&mut self, informed: Informed) {
        self.informed = informed;
    }

    /// The time a node has for the next attempt, by the outages in a row.
    #[must_use]
    pub fn limit(&self, node_timeout: Duration) -> Duration {
        limit(node_timeout, self.outages)
    }

    /// What to do after `verdict`, which `votes` came to in an attempt that began at `started`.
    pub fn next(
        &mut self,
        verdict: &Verdict,
        votes: &Answers<Vote>,
        started: Instant,
        now: Instant,
    ) -> Next {
        let pause = match verdict {
            Verdict::Taken(by) => {
                self.outage_over(verdict);
                self.split_since = None;
                self.splits = 0;
                self.after_held(by, votes)
            }
            Verdict::Split => {
                self.outage_over(verdict);
                let pause = self.after_split(started, now);
                // What we were granted ourselves is no reason to hurry.
                let is_free = quorum::earliest_free(votes) == Some(Duration::ZERO);
                pause.map(|pause| {
                    if is_free {
                        pause
                    } else {
                        pause.min(expiry_in(votes))
                    }
                })
            }
            Verdict::Young | Verdict::ColdStart => {
                let promise = quorum::votes_again(votes).map(|rest| now + rest);
                self.promised = self.promised.or(promise);
                self.after_outage(started, now)
            }
            // A lock that could not be made valid in time is as good as an outage.
            Verdict::Unreachable | Verdict::Acquired | Verdict::Undecided => {
                self.after_outage(started, now)
            }
            Verdict::Refused | Verdict::SameServer(..) => None,
        };
        match pause {
            Some(pause) => self.within_patience(pause, now),
            None => Next::GiveUp,
        }
    }

    fn outage_over(&mut self, verdict: &Verdict) {
        self.was_held = matches!(verdict, Verdict::Taken(_));
        self.outages = 0;
        self.outage_since = None;
        self.promised = None;
    }

    fn after_held(&mut self, by: &Foreign, votes: &Answers<Vote>) -> Option<Duration> {
        if self.patience == Patience::None {
            return None;
        }
        // Other programs tell nobody.
        let poll = if self.informed == Informed::Yes && holder_of(&by.value).is_some() {
            self.jittered(POLL_INFORMED)
        } else {
            self.jittered(self.poll)
        };
        self.poll = (self.poll * 3 / 2).min(POLL_LIMIT);
        Some(poll.min(expiry_in(votes)))
    }

    fn after_split(&mut self, started: Instant, now: Instant) -> Option<Duration> {
        let since = *self.split_since.get_or_insert(started);
        if self.patience == Patience::None && now.since(since) >= SPLIT_LIMIT {
            return None;
        }
        let attempt = now.since(started);
        let first = SPLIT_SPREAD.max(attempt * SPLIT_ATTEMPTS);
        let most = (attempt * SPLIT_CROWD).clamp(SPLIT_SPREAD_USUAL, SPLIT_SPREAD_LIMIT);
        let spread = first * 2_u32.saturating_pow(self.splits.min(16));
        self.splits += 1;
        Some(self.up_to(spread.min(most)))
    }

    fn after_outage(&mut self, started: Instant, now: Instant) -> Option<Duration> {
        let since = *self.outage_since.get_or_insert(started);
        let since = self.promised.map_or(since, |promised| promised.max(since));
        let over = match self.patience {
            Patience::None => self.outages >= OUTAGE_RETRIES,
            Patience::For(_) => false,
            Patience::Forever => now.since(since) >= OUTAGE_LIMIT,
        };
        self.outages += 1;
        let pause = outage_pause(&mut self.rng);
        (!over).then_some(pause)
    }

    /// Bounds `pause` by the end of the wait; one last attempt is made right at that end. If that
    /// one got no answer, there is one more: who waited in vain for a holder shall not be told of
    /// an outage because of one slow answer.
    fn within_patience(&self, pause: Duration, now: Instant) -> Next {
        let Patience::For(patience) = self.patience else {
            return Next::Again(pause);
        };
        let rest = (self.began + patience).since(now);
        let is_hiccup = self.was_held && self.outages == 1;
        match (rest.is_zero(), is_hiccup) {
            (false, _) => Next::Again(pause.min(rest)),
            (true, true) => Next::Again(pause),
            (true, false) => Next::GiveUp,
        }
    }

    fn jittered(&mut self, pause: Duration) -> Duration {
        pause / 2 + self.up_to(pause)
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.rng.f64())
    }
}

/// In what time a majority can be free without anybody's doing; never, if none will expire. Up to a
/// millisecond later than the servers say: they count whole ones.
fn expiry_in(votes: &Answers<Vote>) -> Duration {
    quorum::earliest_free(votes).map_or(Duration::MAX, |rest| rest + Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Instant = Instant::ORIGIN;

    fn held_for(ttl: Duration) -> (Verdict, Answers<Vote>) {
        let by = Foreign {
            key: "lock:a".to_owned(),
            value: Vec::new(),
            digest: "x".to_owned(),
            kind: "string".to_owned(),
            ttl: Some(ttl),
        };
        let vote = Some(Ok(Vote::Taken {
            by: by.clone(),
            run_id: None,
            listeners: 0,
        }));
        (Verdict::Taken(by), vec![vote; 3])
    }

    fn retries(patience: Patience) -> Retries {
        Retries::new(patience, ORIGIN, Rng::with_seed(7))
    }

    #[test]
    fn held_is_an_answer_for_who_does_not_wait() {
        let (verdict, votes) = held_for(Duration::from_secs(9));
        assert_eq!(
            retries(Patience::None).next(&verdict, &votes, ORIGIN, ORIGIN),
            Next::GiveUp
        );
    }

    #[test]
    fn a_waiter_comes_back_when_the_holder_expires_if_that_is_sooner_than_the_poll() {
        let (verdict, votes) = held_for(Duration::from_millis(2));
        let next = retries(Patience::Forever).next(&verdict, &votes, ORIGIN, ORIGIN);
        assert_eq!(next, Next::Again(Duration::from_millis(3)));
    }

    #[test]
    fn a_waiter_looks_at_a_long_held_lock_at_most_a_few_times_a_second() {
        let (verdict, votes) = held_for(Duration::from_mins(10));
        let mut retries = retries(Patience::Forever);
        for _ in 0..50 {
            retries.next(&verdict, &votes, ORIGIN, ORIGIN);
        }
        let Next::Again(pause) = retries.next(&verdict, &votes, ORIGIN, ORIGIN) else {
            panic!("a waiter for ever gave up");
        };
        assert!(
            pause >= POLL_LIMIT / 2 && pause <= POLL_LIMIT * 2,
            "{pause:?}"
        );
    }

    #[test]
    fn who_would_hear_of_a_release_looks_once_a_second_but_not_for_other_programs() {
        let (mut verdict, votes) = held_for(Duration::from_mins(10));
        let pause = |verdict: &Verdict| {
            let mut retries = retries(Patience::Forever);
            retries.inform(Informed::Yes);
            match retries.next(verdict, &votes, ORIGIN, ORIGIN) {
                Next::Again(pause) => pause,
                Next::GiveUp => panic!("a waiter for ever gave up"),
            }
        };
        assert!(pause(&verdict) < POLL_LIMIT);
        if let Verdict::Taken(by) = &mut verdict {
            let json = br#" {"host":"h","pid":1,"user":"u","since":"2026-11-24T03:00:00Z"}"#;
            by.value = [&[b'a'; 32], &json[..]].concat();
        }
        assert!(pause(&verdict) >= POLL_INFORMED / 2);
    }

    #[test]
    fn an_outage_is_tried_three_times_again_with_growing_limits() {
        let mut retries = retries(Patience::None);
        let mut limits = vec![retries.limit(Duration::from_millis(80)).as_millis()];
        while let Next::Again(pause) = retries.next(&Verdict::Unreachable, &vec![], ORIGIN, ORIGIN)
        {
            assert!((100..=300).contains(&pause.as_millis()), "{pause:?}");
            limits.push(retries.limit(Duration::from_millis(80)).as_millis());
        }
        assert_eq!(limits, [80, 160, 320, 320]);
    }

    #[test]
    fn a_limit_grows_to_320_ms_and_a_longer_one_not_at_all() {
        for (node_timeout, limits) in [(40, [40, 80, 160, 320, 320]), (500, [500; 5])] {
            let node_timeout = Duration::from_millis(node_timeout);
            let found = [0, 1, 2, 3, 31].map(|failures| limit(node_timeout, failures).as_millis());
            assert_eq!(found, limits);
        }
    }

    #[test]
    fn a_split_is_given_up_after_five_seconds_and_not_before() {
        let mut retries = retries(Patience::None);
        let at = |ms| ORIGIN + Duration::from_millis(ms);
        let mut next = |ms| retries.next(&Verdict::Split, &vec![], at(ms), at(ms));
        assert!(matches!(next(0), Next::Again(_)));
        assert!(matches!(next(4_999), Next::Again(_)));
        assert_eq!(next(5_000), Next::GiveUp);
    }

    #[test]
    fn contenders_of_a_split_spread_out_further_where_attempts_take_longer() {
        let longest = |attempt_ms| {
            let now = ORIGIN + Duration::from_millis(attempt_ms);
            let pauses = (0..100).map(|seed| {
                let mut retries = Retries::new(Patience::None, ORIGIN, Rng::with_seed(seed));
                match retries.next(&Verdict::Split, &vec![], ORIGIN, now) {
                    Next::Again(pause) => pause.as_millis(),
                    Next::GiveUp => panic!("a split was given up at once"),
                }
            });
            pauses.max().expect("a hundred")
        };
        assert!((2..=4).contains(&longest(1)));
        assert!((30..=40).contains(&longest(20)));
        assert!((1_900..=2_000).contains(&longest(1_000)));
    }

    #[test]
    fn a_split_is_tried_again_when_a_majority_expires_but_not_at_once_where_we_had_one() {
        let now = ORIGIN + Duration::from_secs(1);
        let pauses = |votes: &Answers<Vote>| {
            let pauses = (0..50).map(|seed| {
                let mut retries = Retries::new(Patience::Forever, ORIGIN, Rng::with_seed(seed));
                match retries.next(&Verdict::Split, votes, ORIGIN, now) {
                    Next::Again(pause) => pause.as_millis(),
                    Next::GiveUp => panic!("a waiter gave up"),
                }
            });
            pauses.max().expect("fifty")
        };
        let (_, stale) = held_for(Duration::from_millis(20));
        assert_eq!(pauses(&stale), 21);
        let granted = Some(Ok(Vote::Granted {
            fence: 1,
            run_id: None,
        }));
        // A cold start takes all of them.
        let contended = vec![granted.clone(), granted, stale[0].clone()];
        assert!(pauses(&contended) > 1_000);
    }

    #[test]
    fn the_longest_spread_of_a_split_has_room_for_a_crowd() {
        let longest = |attempt_ms| {
            let now = ORIGIN + Duration::from_millis(attempt_ms);
            let pauses = (0..100).map(|seed| {
                let mut retries = Retries::new(Patience::Forever, ORIGIN, Rng::with_seed(seed));
                let mut next = || retries.next(&Verdict::Split, &vec![], ORIGIN, now);
                match (0..20).map(|_| next()).last() {
                    Some(Next::Again(pause)) => pause.as_millis(),
                    last => panic!("a waiter gave up: {last:?}"),
                }
            });
            pauses.max().expect("a hundred")
        };
        assert!((200..=250).contains(&longest(1)));
        assert!((400..=500).contains(&longest(5)));
        assert!((3_600..=4_000).contains(&longest(80)));
    }

    #[test]
    fn a_bounded_wait_ends_with_one_last_attempt_at_its_end() {
        let (verdict, votes) = held_for(Duration::from_mins(10));
        let mut retries = retries(Patience::For(Duration::from_secs(1)));
        let last = ORIGIN + Duration::from_millis(999);
        let pause = Next::Again(Duration::from_millis(1));
        assert_eq!(retries.next(&verdict, &votes, last, last), pause);
        let end = ORIGIN + Duration::from_secs(1);
        assert_eq!(retries.next(&verdict, &votes, end, end), Next::GiveUp);
    }

    #[test]
    fn a_bounded_wait_for_a_holder_does_not_end_in_an_outage_for_one_slow_answer() {
        let end = ORIGIN + Duration::from_secs(1);
        let (held, votes) = held_for(Duration::from_mins(10));
        let mut waiter = retries(Patience::For(Duration::from_secs(1)));
        let mut next = |verdict, at| waiter.next(verdict, &votes, at, at);
        assert!(matches!(next(&held, ORIGIN), Next::Again(_)));
        assert!(matches!(next(&Verdict::Unreachable, end), Next::Again(_)));
        assert_eq!(next(&Verdict::Unreachable, end), Next::GiveUp);
        // Who never saw a holder waited for the servers, and has done so long enough.
        let mut waiter = retries(Patience::For(Duration::from_secs(1)));
        let outage = waiter.next(&Verdict::Unreachable, &votes, end, end);
        assert_eq!(outage, Next::GiveUp);
    }

    #[test]
    fn a_waiter_waits_until_restarted_servers_vote_again_and_a_minute_more() {
        let young = |rest_s| {
            let vote = Vote::Young {
                uptime: Duration::from_secs(1),
                rest: Duration::from_secs(rest_s),
                run_id: None,
            };
            vec![Some(Ok(vote)); 3]
        };
        let mut retries = retries(Patience::Forever);
        let at = |s| ORIGIN + Duration::from_secs(s);
        let mut next = |s, rest_s| retries.next(&Verdict::Young, &young(rest_s), at(s), at(s));
        assert!(matches!(next(0, 600), Next::Again(_)));
        // One of them restarted again: that promise is not believed.
        assert!(matches!(next(599, 600), Next::Again(_)));
        assert!(matches!(next(659, 540), Next::Again(_)));
        assert_eq!(next(660, 540), Next::GiveUp);
    }

    #[test]
    fn who_waits_for_ever_gives_an_outage_a_minute() {
        let mut retries = retries(Patience::Forever);
        let at = |s| ORIGIN + Duration::from_secs(s);
        let mut next = |s| retries.next(&Verdict::Unreachable, &vec![], at(s), at(s));
        assert!(matches!(next(0), Next::Again(_)));
        assert!(matches!(next(59), Next::Again(_)));
        assert_eq!(next(60), Next::GiveUp);
    }

    #[test]
    fn an_outage_that_is_over_does_not_count_for_the_next_one() {
        let node_timeout = Duration::from_millis(80);
        let at = |s| ORIGIN + Duration::from_secs(s);
        let (held, votes) = held_for(Duration::from_mins(10));
        for over in [held, Verdict::Split] {
            let mut retries = retries(Patience::Forever);
            let mut next = |verdict: &Verdict, s| retries.next(verdict, &votes, at(s), at(s));
            assert!(matches!(next(&Verdict::Unreachable, 0), Next::Again(_)));
            assert!(matches!(next(&over, 59), Next::Again(_)));
            assert!(matches!(next(&Verdict::Unreachable, 61), Next::Again(_)));
            assert!(matches!(next(&over, 62), Next::Again(_)));
            assert_eq!(retries.limit(node_timeout), node_timeout);
        }
    }

    #[test]
    fn who_waits_does_not_give_up_a_split() {
        let mut retries = retries(Patience::Forever);
        let at = |s| ORIGIN + Duration::from_secs(s);
        let mut next = |s| retries.next(&Verdict::Split, &vec![], at(s), at(s));
        assert!(matches!(next(0), Next::Again(_)));
        assert!(matches!(next(60), Next::Again(_)));
    }
}
