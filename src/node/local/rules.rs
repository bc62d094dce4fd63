//! The five operations on records in memory: the Lua scripts beside this folder, in Rust.
//!
//! Pure: no file, no clock. The records are those of the entry's keys, in the same order, and
//! belong to nobody else meanwhile. An [`Effect`] says what to answer, and what has to be
//! written first.

use std::time::Duration;

use super::record::{Lock, Record};
use crate::node::{
    COUNTER_LIFE, Entry, Extension, FOREIGN_VALUE_LIMIT, Foreign, Raised, Release, TOKEN_LEN, Vote,
    is_ours,
};

/// An answer, and what must be on the disk before it is given.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Effect<T> {
    pub(super) answer: T,
    pub(super) changes: Changes,
}

/// Which records were changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Changes {
    /// None.
    Nothing,
    /// All of them.
    All,
    /// The locks of the records at these places were taken out; nothing else was changed.
    Freed(Vec<usize>),
    /// Those at these places were made markers, for which the same holds.
    Marked(Vec<usize>),
}

/// `acquire.lua`: takes every lock, or none. `floor` is the least fencing token to give. Unlike the
/// script it also takes what is ours already: nobody asks one directory by two names.
pub(super) fn acquire(
    records: &mut [Record],
    entry: &Entry,
    floor: u64,
    now: Duration,
) -> Effect<Vote> {
    if let Err(by) = count_missing(records, entry, now) {
        return unchanged(taken(by));
    }
    for record in &mut *records {
        record.lock = Some(lock_of(entry, now));
    }
    let fence = next_fence(records, floor, entry.stay, now);
    changed(Vote::Granted {
        fence,
        run_id: None,
    })
}

/// `raise.lua`: raises the counters to at least `fence` if every lock is still ours.
pub(super) fn raise(
    records: &mut [Record],
    entry: &Entry,
    fence: u64,
    now: Duration,
) -> Effect<Raised> {
    if count_missing(records, entry, now) != Ok(0) {
        return unchanged(Raised::NotOurs);
    }
    changed(Raised::To(raise_counters(records, fence, entry.stay, now)))
}

/// `extend.lua`: raises the rest of every lock to at least the TTL if all are ours.
pub(super) fn extend(
    records: &mut [Record],
    entry: &Entry,
    fence: u64,
    now: Duration,
) -> Effect<Extension> {
    match count_missing(records, entry, now) {
        Err(by) => return unchanged(Extension::Foreign(by)),
        Ok(0) => {}
        Ok(_) => return unchanged(Extension::Missing),
    }
    let until_ms = end_ms(now, entry.ttl);
    for lock in records.iter_mut().filter_map(|record| record.lock.as_mut()) {
        // Invariant I5: extend never shortens.
        lock.until_ms = lock.until_ms.max(until_ms);
    }
    raise_counters(records, fence, entry.stay, now);
    changed(Extension::Extended { run_id: None })
}

/// `heal.lua`: puts back the locks that are gone, unless one is somebody else's.
pub(super) fn heal(
    records: &mut [Record],
    entry: &Entry,
    fence: u64,
    now: Duration,
) -> Effect<Extension> {
    if let Err(by) = count_missing(records, entry, now) {
        return unchanged(Extension::Foreign(by));
    }
    for record in records.iter_mut() {
        if record.living(now).is_none() {
            record.lock = Some(lock_of(entry, now));
        }
    }
    raise_counters(records, fence, entry.stay, now);
    changed(Extension::Extended { run_id: None })
}

/// `release.lua`: takes out every lock that is ours, or makes it a marker of this state for so many
/// milliseconds.
pub(super) fn release(
    records: &mut [Record],
    entry: &Entry,
    marker: Option<(u8, u64)>,
    now: Duration,
) -> Effect<Release> {
    let (mut places, mut left, all) = (Vec::new(), 0, records.len());
    for (index, record) in records.iter_mut().enumerate() {
        let Some(lock) = record.lock.as_mut().filter(|lock| lock.left(now).is_some()) else {
            continue;
        };
        let wanted = marker.map(|(state, rest_ms)| {
            let until_ms = end_ms(now, Duration::from_millis(rest_ms));
            (state, until_ms)
        });
        if is_ours(&lock.value, entry.token()) {
            left += 1;
            places.push(index);
            if let Some((state, until_ms)) = wanted {
                lock.value[TOKEN_LEN] = state;
                lock.until_ms = until_ms;
            } else {
                record.lock = None;
            }
        } else if let Some((state, until_ms)) = wanted
            && lock.value.starts_with(entry.token())
            && lock.value.get(TOKEN_LEN) == Some(&state)
        {
            left += 1;
            if lock.until_ms > until_ms {
                places.push(index);
                lock.until_ms = until_ms;
            }
        }
    }
    Effect {
        answer: if left == all {
            Release::Released { run_id: None }
        } else {
            Release::NotOurs
        },
        changes: match marker {
            _ if places.is_empty() => Changes::Nothing,
            Some(_) => Changes::Marked(places),
            None => Changes::Freed(places),
        },
    }
}

/// Who waits for this host's locks is not counted.
fn taken(by: Foreign) -> Vote {
    Vote::Taken {
        by,
        run_id: None,
        listeners: 0,
    }
}

pub(super) fn unchanged<T>(answer: T) -> Effect<T> {
    Effect {
        answer,
        changes: Changes::Nothing,
    }
}

fn changed<T>(answer: T) -> Effect<T> {
    Effect {
        answer,
        changes: Changes::All,
    }
}

/// How many locks are gone, or the first one that is somebody else's.
fn count_missing(records: &[Record], entry: &Entry, now: Duration) -> Result<usize, Foreign> {
    let mut missing = 0;
    for record in records {
        match record.living(now) {
            None => missing += 1,
            Some(lock) if is_ours(&lock.value, entry.token()) => {}
            Some(lock) => return Err(foreign(&record.key, lock, now)),
        }
    }
    Ok(missing)
}

pub(super) fn foreign(key: &str, lock: &Lock, now: Duration) -> Foreign {
    Foreign {
        key: key.to_owned(),
        value: lock.value[..FOREIGN_VALUE_LIMIT.min(lock.value.len())].to_vec(),
        digest: sha1_smol::Sha1::from(&lock.value).digest().to_string(),
        kind: "string".to_owned(),
        ttl: lock.left(now),
    }
}

fn lock_of(entry: &Entry, now: Duration) -> Lock {
    Lock {
        value: entry.value.clone(),
        until_ms: end_ms(now, entry.ttl),
    }
}

/// Raises every counter to one number, more than each and at least `floor`, and answers it.
fn next_fence(records: &mut [Record], floor: u64, stay: Duration, now: Duration) -> u64 {
    let next = records.iter().map(|record| record.fence.saturating_add(1));
    let floor = next.fold(floor, u64::max);
    raise_counters(records, floor, stay, now)
}

/// Raises every counter to the largest, or to `floor`, and answers that. It outlives what the entry
/// may leave: twice `stay`.
fn raise_counters(records: &mut [Record], floor: u64, stay: Duration, now: Duration) -> u64 {
    let counted = records.iter().map(|record| record.fence);
    let fence = counted.fold(floor, u64::max);
    let keep_until_ms = end_ms(now, COUNTER_LIFE.max(stay.saturating_mul(2)));
    for record in records {
        record.fence = fence;
        record.keep_until_ms = record.keep_until_ms.max(keep_until_ms);
    }
    fence
}

/// `span` from `now`, in milliseconds since the boot, rounded up: nothing may expire early.
fn end_ms(now: Duration, span: Duration) -> u64 {
    let nanos = now.saturating_add(span).as_nanos();
    u64::try_from(nanos.div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);
    const TTL: Duration = Duration::from_secs(30);
    const OURS: char = 'a';
    const THEIRS: char = 'b';

    fn entry(token: char) -> Entry {
        let mut value = token.to_string().repeat(32).into_bytes();
        value.extend_from_slice(b" {\"host\":\"web-1\"}");
        Entry {
            keys: vec!["one".to_owned(), "two".to_owned()],
            value,
            ttl: TTL,
            stay: TTL,
        }
    }

    /// Two records: for each the token that holds it, or a dot.
    fn records(tokens: [char; 2]) -> Vec<Record> {
        let record = |(key, token): (&str, char)| {
            let mut record = Record::new(key, 0, 0);
            record.fence = 100;
            if token != '.' {
                record.lock = Some(lock_of(&entry(token), NOW));
            }
            record
        };
        ["one", "two"].into_iter().zip(tokens).map(record).collect()
    }

    fn holders(records: &[Record], now: Duration) -> String {
        let token = |record: &Record| record.living(now).map_or('.', |lock| lock.value[0].into());
        records.iter().map(token).collect()
    }

    fn fences(records: &[Record]) -> Vec<u64> {
        records.iter().map(|record| record.fence).collect()
    }

    #[test]
    fn acquire_takes_all_that_are_free_or_ours_already() {
        for tokens in [['.', '.'], [OURS, '.'], [OURS, OURS]] {
            let mut records = records(tokens);
            records[1].fence = 500;
            let effect = acquire(&mut records, &entry(OURS), 300, NOW);
            let granted = Vote::Granted {
                fence: 501,
                run_id: None,
            };
            assert_eq!(effect, changed(granted));
            assert_eq!(holders(&records, NOW), "aa");
            assert_eq!(fences(&records), [501, 501]);
        }
    }

    #[test]
    fn a_token_is_at_least_the_floor() {
        let mut records = records(['.', '.']);
        let effect = acquire(&mut records, &entry(OURS), 7000, NOW);
        assert!(matches!(effect.answer, Vote::Granted { fence: 7000, .. }));
    }

    #[test]
    fn acquire_takes_nothing_when_one_is_somebody_elses_and_says_what_stands_there() {
        let mut records = records(['.', THEIRS]);
        let lock = records[1].lock.as_mut().expect("it is held");
        lock.value.resize(600, b'x');
        let digest = sha1_smol::Sha1::from(&lock.value).digest().to_string();
        let value = lock.value[..512].to_vec();
        let before = records.clone();
        let effect = acquire(
            &mut records,
            &entry(OURS),
            300,
            NOW + Duration::from_secs(1),
        );
        let by = Foreign {
            key: "two".to_owned(),
            value,
            digest,
            kind: "string".to_owned(),
            ttl: Some(Duration::from_secs(29)),
        };
        assert_eq!(effect, unchanged(taken(by)));
        assert_eq!(records, before);
    }

    #[test]
    fn a_counter_that_is_to_last_is_not_cut_short_by_who_stays_for_less() {
        let mut records = records(['.', '.']);
        let long = Entry {
            stay: COUNTER_LIFE,
            ..entry(OURS)
        };
        acquire(&mut records, &long, 0, NOW);
        let until_ms = end_ms(NOW, COUNTER_LIFE * 2);
        for now in [NOW, NOW + TTL] {
            acquire(&mut records, &entry(OURS), 0, now);
            assert!(records.iter().all(|one| one.keep_until_ms == until_ms));
        }
    }

    #[test]
    fn an_expired_lock_is_free() {
        let mut records = records([THEIRS, THEIRS]);
        let effect = acquire(&mut records, &entry(OURS), 0, NOW + TTL);
        assert_eq!(effect.changes, Changes::All);
        assert_eq!(holders(&records, NOW + TTL), "aa");
    }

    #[test]
    fn a_kept_or_done_marker_belongs_to_nobody_not_even_to_its_writer() {
        for state in *b"~!" {
            let mut records = records([OURS, OURS]);
            for record in &mut records {
                record.lock.as_mut().expect("it is held").value[32] = state;
            }
            let entry = entry(OURS);
            let vote = acquire(&mut records, &entry, 0, NOW).answer;
            assert!(matches!(vote, Vote::Taken { .. }));
            assert_eq!(
                release(&mut records, &entry, None, NOW).answer,
                Release::NotOurs
            );
        }
    }

    #[test]
    fn raise_changes_the_counters_only_while_every_lock_is_ours() {
        let mut all = records([OURS, OURS]);
        all[0].fence = 900;
        assert_eq!(
            raise(&mut all, &entry(OURS), 800, NOW),
            changed(Raised::To(900))
        );
        assert_eq!(fences(&all), [900, 900]);
        for tokens in [[OURS, '.'], [OURS, THEIRS], ['.', '.']] {
            let mut records = records(tokens);
            assert_eq!(
                raise(&mut records, &entry(OURS), 800, NOW),
                unchanged(Raised::NotOurs)
            );
            assert_eq!(fences(&records), [100, 100]);
        }
    }

    #[test]
    fn extend_raises_the_rest_and_never_shortens() {
        let mut records = records([OURS, OURS]);
        let far = 9_000_000;
        records[1].lock.as_mut().expect("it is held").until_ms = far;
        let later = NOW + Duration::from_secs(10);
        let effect = extend(&mut records, &entry(OURS), 150, later);
        assert_eq!(effect, changed(Extension::Extended { run_id: None }));
        let until = |record: &Record| record.lock.as_ref().map(|lock| lock.until_ms);
        assert_eq!(until(&records[0]), Some(1_040_000));
        assert_eq!(until(&records[1]), Some(far));
        assert_eq!(fences(&records), [150, 150]);
    }

    #[test]
    fn extend_creates_nothing() {
        let mut gone = records([OURS, '.']);
        let effect = extend(&mut gone, &entry(OURS), 150, NOW);
        assert_eq!(effect, unchanged(Extension::Missing));
        assert_eq!(holders(&gone, NOW), "a.");
        let mut taken = records(['.', THEIRS]);
        let effect = extend(&mut taken, &entry(OURS), 150, NOW);
        assert!(matches!(effect.answer, Extension::Foreign(by) if by.key == "two"));
        assert_eq!(effect.changes, Changes::Nothing);
    }

    #[test]
    fn heal_puts_back_what_is_gone_and_leaves_the_others_their_time() {
        let mut gone = records([OURS, '.']);
        let later = NOW + Duration::from_secs(5);
        let effect = heal(&mut gone, &entry(OURS), 150, later);
        assert_eq!(effect, changed(Extension::Extended { run_id: None }));
        let until: Vec<_> = gone.iter().flat_map(|record| &record.lock).collect();
        assert_eq!(
            (until[0].until_ms, until[1].until_ms),
            (1_030_000, 1_035_000)
        );
        let mut taken = records([THEIRS, '.']);
        let effect = heal(&mut taken, &entry(OURS), 150, later);
        assert!(matches!(effect.answer, Extension::Foreign(_)));
        assert_eq!(holders(&taken, NOW), "b.");
    }

    #[test]
    fn release_frees_what_is_ours_and_nothing_else() {
        let mut mixed = records([THEIRS, OURS]);
        let effect = release(&mut mixed, &entry(OURS), None, NOW);
        assert_eq!(effect.answer, Release::NotOurs, "not all of it");
        assert_eq!(effect.changes, Changes::Freed(vec![1]));
        assert_eq!(holders(&mixed, NOW), "b.");
        assert_eq!(fences(&mixed), [100, 100]);
        let mut expired = records([OURS, OURS]);
        assert_eq!(
            release(&mut expired, &entry(OURS), None, NOW + TTL),
            unchanged(Release::NotOurs)
        );
    }

    #[test]
    fn a_marker_stands_where_the_lock_was_ours_and_nobody_owns_it_any_more() {
        let mut mixed = records([THEIRS, OURS]);
        let done = Some((b'!', 90_000));
        let effect = release(&mut mixed, &entry(OURS), done, NOW);
        assert_eq!(effect.answer, Release::NotOurs, "not all of it");
        assert_eq!(effect.changes, Changes::Marked(vec![1]));
        let lock = mixed[1].lock.clone().expect("a marker");
        assert_eq!(lock.value[TOKEN_LEN], b'!');
        assert_eq!(
            lock.value[TOKEN_LEN + 1..],
            entry(OURS).value[TOKEN_LEN + 1..]
        );
        assert_eq!(lock.until_ms, 1_090_000);
        // The same again is no news; anything else of the old holder changes nothing.
        let again = release(&mut mixed, &entry(OURS), done, NOW + TTL);
        assert_eq!(again, unchanged(Release::NotOurs));
        let mut marked = vec![mixed.remove(1)];
        let again = release(&mut marked, &entry(OURS), done, NOW);
        assert_eq!(again, unchanged(Release::Released { run_id: None }));
        // A marker that came late ends when it should have.
        let sooner = release(&mut marked, &entry(OURS), Some((b'!', 1_000)), NOW);
        assert_eq!(sooner.answer, Release::Released { run_id: None });
        assert_eq!(sooner.changes, Changes::Marked(vec![0]));
        let until_ms = |records: &[Record]| records[0].lock.as_ref().map(|lock| lock.until_ms);
        assert_eq!(until_ms(&marked), Some(1_001_000));
        let later = release(&mut marked, &entry(OURS), done, NOW);
        assert_eq!(later, unchanged(Release::Released { run_id: None }));
        assert_eq!(until_ms(&marked), Some(1_001_000));
        let lock = Lock {
            until_ms: 1_001_000,
            ..lock
        };
        let late = release(&mut marked, &entry(OURS), None, NOW);
        assert_eq!(late, unchanged(Release::NotOurs));
        let kept = release(&mut marked, &entry(OURS), Some((b'~', 1)), NOW);
        assert_eq!(kept, unchanged(Release::NotOurs));
        let another = release(&mut marked, &entry(THEIRS), Some((b'!', 1)), NOW);
        assert_eq!(another, unchanged(Release::NotOurs));
        let late = extend(&mut marked, &entry(OURS), 900, NOW);
        assert!(matches!(late.answer, Extension::Foreign(_)));
        let late = heal(&mut marked, &entry(OURS), 900, NOW);
        assert!(matches!(late.answer, Extension::Foreign(_)));
        assert_eq!(
            raise(&mut marked, &entry(OURS), 900, NOW).answer,
            Raised::NotOurs
        );
        assert_eq!(marked[0].lock, Some(lock));
    }

    #[test]
    fn a_counter_lives_for_a_week_or_twice_as_long_as_anything_may_stay() {
        let mut records = records(['.', '.']);
        let mut entry = entry(OURS);
        acquire(&mut records, &entry, 0, NOW);
        assert_eq!(records[0].keep_until_ms, 605_800_000);
        entry.stay = Duration::from_hours(7 * 24);
        acquire(&mut records, &entry, 0, NOW);
        assert_eq!(records[0].keep_until_ms, 1000_u64 * 1000 + 2 * 604_800_000);
    }

    #[test]
    fn nothing_expires_early() {
        let now = Duration::from_nanos(1_000_001);
        assert_eq!(end_ms(now, Duration::from_millis(1)), 3);
    }
}
