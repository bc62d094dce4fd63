//! What one file holds: a resource's fencing counter, and its lock while it is held.
//!
//! Pure: bytes in, a [`Record`] out, and back. A file reads like this, and anything else, to the
//! byte, is damaged: it is then neither free nor held.
//!
//! ```text
//! redlock 1 FENCE RESERVED KEEP_UNTIL_MS KEY_BYTES
//! KEY
//! UNTIL_MS VALUE_BYTES
//! VALUE
//! ```
//!
//! The counter stands first, so that a lock can be taken out by cutting the file short, which is
//! one step and needs no room on a full disk. Times are milliseconds since the boot.

use std::fmt::Write as _;
use std::time::Duration;

use crate::node::MarkerKind;

/// What the first line begins with: the format's name and version.
const MAGIC: &str = "redlock 1";

/// One resource, as one file knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The resource's key, since the file's name is only its hash.
    pub(super) key: String,
    /// The fencing counter: the largest number that was given out.
    pub(super) fence: u64,
    /// Every number below this one may be given out: the disk knows that it may have been.
    pub(super) reserved: u64,
    /// Until when the counter is kept, at least.
    pub(super) keep_until_ms: u64,
    /// The lock that was last put here, if it was not taken out since. It may have expired.
    pub(super) lock: Option<Lock>,
}

/// A value under a key, as Redis would hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lock {
    /// The token, one byte of state and the holder.
    pub(super) value: Vec<u8>,
    /// When it expires.
    pub(super) until_ms: u64,
}

impl Record {
    /// The record of a resource that has no file yet, and whose tokens were all smaller than
    /// `floor`.
    pub(super) fn new(key: &str, floor: u64, reserved: u64) -> Self {
        Self {
            key: key.to_owned(),
            fence: floor.saturating_sub(1),
            reserved,
            keep_until_ms: 0,
            lock: None,
        }
    }

    /// The lock, if it has not expired.
    pub(super) fn living(&self, now: Duration) -> Option<&Lock> {
        self.lock.as_ref().filter(|lock| lock.left(now).is_some())
    }

    /// Whether nobody would miss this record: no lock, and a counter that was kept for long
    /// enough and that the wall clock has overtaken, so that the next number is larger even
    /// without it.
    pub(super) fn is_spent(&self, now: Duration, unix_ms: u64) -> bool {
        self.living(now).is_none()
            && Duration::from_millis(self.keep_until_ms) <= now
            && self.fence < unix_ms
    }

    /// The bytes of the file.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.counter_part().into_bytes();
        if let Some(lock) = &self.lock {
            let head = format!("{} {}\n", lock.until_ms, lock.value.len());
            bytes.extend_from_slice(head.as_bytes());
            bytes.extend_from_slice(&lock.value);
        }
        bytes
    }

    /// How much of the file stays when the lock is taken out.
    pub(super) fn counter_len(&self) -> usize {
        self.counter_part().len()
    }

    fn counter_part(&self) -> String {
        let mut text = String::with_capacity(96 + self.key.len());
        write!(
            text,
            "{MAGIC} {} {} {} {}\n{}\n",
            self.fence,
            self.reserved,
            self.keep_until_ms,
            self.key.len(),
            self.key
        )
        .expect("a String takes everything");
        text
    }

    /// What `bytes` mean, or `None` if they are damaged.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = line(bytes)?;
        let [fence, reserved, keep_until_ms, key_len] =
            numbers(head.strip_prefix(MAGIC)?.strip_prefix(' ')?)?;
        let (key, rest) = rest.split_at_checked(usize::try_from(key_len).ok()?)?;
        let record = Self {
            key: std::str::from_utf8(key).ok()?.to_owned(),
            fence,
            reserved,
            keep_until_ms,
            lock: match rest.strip_prefix(b"\n")? {
                [] => None,
                lock => Some(Lock::decode(lock)?),
            },
        };
        // Only what we would write ourselves: `counter_len` relies on it.
        (record.encode() == bytes).then_some(record)
    }
}

impl Lock {
    /// The time that is left, or `None` if it has expired.
    pub(super) fn left(&self, now: Duration) -> Option<Duration> {
        let left = Duration::from_millis(self.until_ms).saturating_sub(now);
        (!left.is_zero()).then_some(left)
    }

    /// Why others are kept out, if nobody holds it.
    pub(super) fn marker(&self) -> Option<MarkerKind> {
        MarkerKind::of_value(&self.value)
    }

    /// The lock that `bytes` mean, or `None` if they are damaged.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, value) = line(bytes)?;
        let [until_ms, value_len] = numbers(head)?;
        let value = value.to_vec();
        let whole = usize::try_from(value_len) == Ok(value.len());
        whole.then_some(Self { value, until_ms })
    }
}

/// The first line, and what follows it.
pub(super) fn line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]))
}

/// Exactly `N` numbers, with blanks between them.
pub(super) fn numbers<const N: usize>(text: &str) -> Option<[u64; N]> {
    let numbers: Option<Vec<u64>> = text.split(' ').map(|word| word.parse().ok()).collect();
    numbers?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held() -> Record {
        Record {
            key: "lock:täglich\nzwei".to_owned(),
            fence: 17,
            reserved: 90_000,
            keep_until_ms: 604_800_000,
            lock: Some(Lock {
                value: b"0123456789abcdef0123456789abcdef {\"host\":\"web\"}\n\xff".to_vec(),
                until_ms: 31_000,
            }),
        }
    }

    #[test]
    fn a_record_survives_the_way_to_the_file_and_back() {
        let free = Record {
            lock: None,
            ..held()
        };
        for record in [held(), free] {
            assert_eq!(Record::decode(&record.encode()), Some(record));
        }
    }

    #[test]
    fn a_file_cut_at_the_counter_is_the_same_record_without_its_lock() {
        let record = held();
        let cut = Record::decode(&record.encode()[..record.counter_len()]);
        assert_eq!(
            cut,
            Some(Record {
                lock: None,
                ..record
            })
        );
    }

    #[test]
    fn a_file_cut_anywhere_else_or_with_something_added_is_damaged() {
        let record = held();
        let bytes = record.encode();
        for end in (0..bytes.len()).filter(|&end| end != record.counter_len()) {
            assert_eq!(Record::decode(&bytes[..end]), None, "cut at {end}");
        }
        assert_eq!(Record::decode(&[&bytes[..], b"x"].concat()), None);
        assert_eq!(Record::decode(&vec![0; bytes.len()]), None);
        assert_eq!(Record::decode(b"redlock 1 007 8 0 1\nk\n"), None);
    }

    #[test]
    fn bytes_that_were_changed_at_random_never_panic() {
        let bytes = held().encode();
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let mut changed = bytes.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..changed.len());
                changed[at] = random.u8(..);
            }
            if let Some(record) = Record::decode(&changed) {
                assert_eq!(record.encode(), changed);
            }
        }
    }

    #[test]
    fn a_lock_lives_until_its_end_and_no_longer() {
        let record = held();
        assert!(record.living(Duration::from_millis(30_999)).is_some());
        assert!(record.living(Duration::from_secs(31)).is_none());
    }

    #[test]
    fn a_record_is_spent_only_without_lock_and_with_an_old_and_overtaken_counter() {
        let old = Duration::from_hours(7 * 24);
        assert!(held().is_spent(old, 18));
        assert!(!held().is_spent(old, 17), "the wall clock must be ahead");
        assert!(!held().is_spent(Duration::from_millis(604_799_999), 18));
        let mut long = held();
        long.lock.as_mut().expect("it is held").until_ms = 604_800_001;
        assert!(!long.is_spent(old, 18));
    }
}
