//! One simulated server: what the scripts in `src/node` do, on a map instead of Redis.
//!
//! Time and messages are somebody else's business: every command is told what the server's own
//! clock shows. `differential.rs` compares this file with the real scripts on a real server.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use redlock::node::{
    Ballot, CLOCK_ERROR_MS, Entry, Extension, Foreign, Raised, Release, TOKEN_LEN, Vote, is_ours,
};

/// The least time a fencing counter lives.
const COUNTER_LIFE_MS: u64 = 7 * 24 * 3_600_000;

/// What a crash takes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing: every write was on disk.
    Nothing,
    /// What was written in so many last milliseconds, at most a second: Redis' `everysec`.
    Last(u64),
    /// All: no persistence.
    Everything,
}

/// What is in memory.
#[derive(Clone, Debug, Default)]
struct Memory {
    locks: BTreeMap<String, Stored<Arc<Entry>>>,
    fences: BTreeMap<String, Stored<u64>>,
}

/// A value, and the last millisecond of the server's clock at which it is there.
#[derive(Clone, Debug)]
struct Stored<T> {
    value: T,
    until_ms: u64,
}

/// A server.
pub struct Server {
    memory: Memory,
    /// What the memory was after each write of the last second, for [`Loss::Last`].
    journal: VecDeque<(u64, Memory)>,
    /// The server's clock at its start.
    started_ms: u64,
    /// How often it was started.
    pub run: u64,
    /// Whether it is running.
    pub is_up: bool,
}

impl Server {
    /// A server that was started at `started_ms` of its clock.
    pub fn new(started_ms: u64) -> Self {
        Self {
            memory: Memory::default(),
            journal: VecDeque::new(),
            started_ms,
            run: 0,
            is_up: true,
        }
    }

    /// Ends at once, and takes `loss` with it. Time `now_ms` is that of the server's clock.
    pub fn crash(&mut self, loss: Loss, now_ms: u64) {
        self.is_up = false;
        match loss {
            Loss::Nothing => {}
            Loss::Everything => self.memory = Memory::default(),
            Loss::Last(lost_ms) => {
                let kept = |(at, _): &&(u64, Memory)| *at + lost_ms <= now_ms;
                let last = self.journal.iter().rev().find(kept);
                self.memory = last.map(|(_, memory)| memory.clone()).unwrap_or_default();
            }
        }
        self.journal.clear();
        self.journal.push_back((0, self.memory.clone()));
    }

    /// Starts again with what the crash left.
    pub fn restart(&mut self, now_ms: u64) {
        self.is_up = true;
        self.run += 1;
        self.started_ms = now_ms;
    }

    /// `run_id` in `INFO`.
    fn run_id(&self, index: usize) -> String {
        format!("{index}-{}", self.run)
    }

    /// The locks that are there, with the tokens of their owners.
    pub fn locks(&mut self, now_ms: u64) -> impl Iterator<Item = (&String, &[u8])> {
        self.expire(now_ms);
        let locks = self.memory.locks.iter();
        locks.map(|(key, stored)| (key, stored.value.token()))
    }

    /// `acquire.lua`
    pub fn acquire(&mut self, index: usize, entry: &Arc<Entry>, ballot: Ballot, now: u64) -> Vote {
        self.expire(now);
        let run_id = Some(self.run_id(index));
        match self.check(entry, now) {
            (_, Some(by)) => {
                return Vote::Taken {
                    by,
                    run_id,
                    listeners: 0,
                };
            }
            (gone, None) if gone < entry.keys.len() => return Vote::Twin { run_id },
            _ => {}
        }
        // Both are read in whole seconds, so that the age may be a second too much.
        let uptime = Duration::from_secs((now / 1000).saturating_sub(self.started_ms / 1000));
        let rest = ballot.min_uptime.saturating_sub(uptime);
        if !rest.is_zero() {
            return Vote::Young {
                uptime,
                rest,
                run_id,
            };
        }
        for key in &entry.keys {
            self.set(key, entry, now);
        }
        let floor = ballot
            .unix_ms
            .clamp(now - CLOCK_ERROR_MS, now + CLOCK_ERROR_MS);
        let fence = self.raise_counters(entry, floor, 1, now);
        Vote::Granted { fence, run_id }
    }

    /// `raise.lua`
    pub fn raise(&mut self, entry: &Arc<Entry>, fence: u64, now: u64) -> Raised {
        self.expire(now);
        match self.check(entry, now) {
            (0, None) => Raised::To(self.raise_counters(entry, fence, 0, now)),
            _ => Raised::NotOurs,
        }
    }

    /// `extend.lua`
    pub fn extend(&mut self, index: usize, entry: &Arc<Entry>, fence: u64, now: u64) -> Extension {
        self.expire(now);
        match self.check(entry, now) {
            (_, Some(by)) => return Extension::Foreign(by),
            (0, None) => {}
            _ => return Extension::Missing,
        }
        for key in &entry.keys {
            let stored = self.memory.locks.get_mut(key).expect("it is ours");
            stored.until_ms = stored.until_ms.max(now + ttl_ms(entry));
        }
        self.raise_counters(entry, fence, 0, now);
        Extension::Extended {
            run_id: Some(self.run_id(index)),
        }
    }

    /// `heal.lua`
    pub fn heal(&mut self, entry: &Arc<Entry>, fence: u64, now: u64) -> Extension {
        self.expire(now);
        if let Some(by) = self.check(entry, now).1 {
            return Extension::Foreign(by);
        }
        for key in &entry.keys {
            if !self.memory.locks.contains_key(key) {
                self.set(key, entry, now);
            }
        }
        self.raise_counters(entry, fence, 0, now);
        Extension::Extended { run_id: None }
    }

    /// `release.lua`
    pub fn release(&mut self, entry: &Arc<Entry>, now: u64) -> Release {
        self.expire(now);
        let before = self.memory.locks.len();
        for key in &entry.keys {
            let stored = self.memory.locks.get(key);
            if stored.is_some_and(|stored| is_ours(&stored.value.value, entry.token())) {
                self.memory.locks.remove(key);
            }
        }
        self.note(now);
        if before - self.memory.locks.len() == entry.keys.len() {
            Release::Released { run_id: None }
        } else {
            Release::NotOurs
        }
    }

    /// A bare `DEL`, as other programs do: known to be bad.
    pub fn delete(&mut self, entry: &Arc<Entry>, now: u64) -> Release {
        for key in &entry.keys {
            self.memory.locks.remove(key);
        }
        self.note(now);
        Release::Released { run_id: None }
    }

    /// How many locks are gone, and the first that is somebody else's: `check.lua`.
    fn check(&self, entry: &Arc<Entry>, now: u64) -> (usize, Option<Foreign>) {
        let mut gone = 0;
        for key in &entry.keys {
            match self.memory.locks.get(key) {
                None => gone += 1,
                Some(stored) if is_ours(&stored.value.value, entry.token()) => {}
                Some(stored) => return (gone, Some(foreign(key, stored, now))),
            }
        }
        (gone, None)
    }

    /// `SET key value PX ttl`
    fn set(&mut self, key: &str, entry: &Arc<Entry>, now: u64) {
        let stored = Stored {
            value: Arc::clone(entry),
            until_ms: now + ttl_ms(entry),
        };
        self.memory.locks.insert(key.to_owned(), stored);
    }

    /// `counters.lua`, and the end of every script that writes.
    fn raise_counters(&mut self, entry: &Arc<Entry>, floor: u64, step: u64, now: u64) -> u64 {
        let counter = |key: &String| {
            let stored = self.memory.fences.get(key);
            stored.map_or(0, |stored| stored.value) + step
        };
        let fence = entry.keys.iter().map(counter).max().unwrap_or(0).max(floor);
        let stay_ms = u64::try_from(entry.stay.as_millis()).expect("a stay is short");
        let until_ms = now + COUNTER_LIFE_MS.max(2 * stay_ms);
        for key in &entry.keys {
            let left = self.memory.fences.get(key);
            let stored = Stored {
                value: fence,
                until_ms: left.map_or(until_ms, |left| left.until_ms.max(until_ms)),
            };
            self.memory.fences.insert(key.clone(), stored);
        }
        self.note(now);
        fence
    }

    fn expire(&mut self, now: u64) {
        self.memory.locks.retain(|_, stored| stored.until_ms >= now);
        self.memory
            .fences
            .retain(|_, stored| stored.until_ms >= now);
    }

    /// Writes the memory into the journal, and forgets what is older than a crash can reach.
    fn note(&mut self, now: u64) {
        while self.journal.len() > 1 && self.journal[1].0 + 1000 < now {
            self.journal.pop_front();
        }
        self.journal.push_back((now, self.memory.clone()));
    }
}

fn ttl_ms(entry: &Entry) -> u64 {
    u64::try_from(entry.ttl.as_millis()).expect("a TTL is short")
}

fn foreign(key: &str, stored: &Stored<Arc<Entry>>, now: u64) -> Foreign {
    let value = &stored.value.value;
    Foreign {
        key: key.to_owned(),
        value: value.clone(),
        // The token tells values apart as well as a hash of all of it.
        digest: String::from_utf8_lossy(&value[..TOKEN_LEN]).into_owned(),
        kind: "string".to_owned(),
        ttl: Some(Duration::from_millis(stored.until_ms.saturating_sub(now))),
    }
}
