//! Watches all the time: who believes to hold what, and whether that may be.
//!
//! Invariants of the design: I1 mutual exclusion, I2 fencing tokens grow, I3 held implies validity,
//! I8 if any contender can win, one does. (I4 is looked at when everything is over, in `run.rs`; I5
//! lies in the scripts and is compared with them in `differential.rs`.) All times are true
//! microseconds, whatever the hosts' clocks show.

use std::collections::BTreeMap;

/// How long a free lock may stay free with somebody waiting, once nothing goes wrong any more,
/// beyond the time that a dead holder's key lives: the slowest poll, a few split votes, the slowest
/// answer.
const IDLE_LIMIT_US: u64 = 3_000_000;

/// A client's belief that it holds something.
#[derive(Clone, Debug)]
struct Belief {
    keys: Vec<String>,
    until_us: u64,
}

/// What went wrong with a server, as far as it excuses two holders.
#[derive(Clone, Copy, Debug)]
struct Harm {
    at_us: u64,
    server: usize,
}

/// What may still be on the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftovers {
    /// Nothing.
    None,
    /// What was held, and whose release was lost.
    OfHolders,
}

/// The watcher of one world.
pub struct Checker {
    beliefs: BTreeMap<usize, Belief>,
    waiting: BTreeMap<usize, Vec<String>>,
    tokens: BTreeMap<String, u64>,
    /// The tokens under which a lock was held: what they left behind is no failed attempt's.
    held: Vec<Vec<u8>>,
    wiped: Vec<Harm>,
    stepped: Vec<Harm>,
    /// How many servers are a majority.
    quorum: usize,
    /// How far apart two wiped servers must be, so that no lock was on both.
    window_us: u64,
    idle_since: Option<u64>,
    /// What should never have been; the first ends the world.
    pub violations: Vec<String>,
    /// How many times a lock was acquired.
    pub acquired: u64,
    /// When the first was.
    pub first_acquired_us: Option<u64>,
    /// How many attempts found the lock held, or done.
    pub skipped: u64,
}

impl Checker {
    /// A watcher that has seen nothing yet.
    pub fn new(quorum: usize, window_us: u64) -> Self {
        Self {
            beliefs: BTreeMap::new(),
            waiting: BTreeMap::new(),
            tokens: BTreeMap::new(),
            held: Vec::new(),
            wiped: Vec::new(),
            stepped: Vec::new(),
            quorum,
            window_us,
            idle_since: None,
            violations: Vec::new(),
            acquired: 0,
            first_acquired_us: None,
            skipped: 0,
        }
    }

    /// `client` holds `keys` with fencing token `fence`, and believes so until `until_us`.
    pub fn acquired(
        &mut self,
        client: usize,
        keys: &[String],
        fence: u64,
        until_us: u64,
        now_us: u64,
    ) {
        self.acquired += 1;
        self.first_acquired_us.get_or_insert(now_us);
        self.idle_since = None;
        self.waiting.remove(&client);
        if until_us <= now_us {
            self.violate(now_us, &format!("I3: {client} acquired without validity"));
        }
        let belief = Belief {
            keys: keys.to_vec(),
            until_us,
        };
        self.exclude(client, &belief, now_us);
        for key in keys {
            let last = self.tokens.get(key).copied().unwrap_or(0);
            if fence <= last && self.stepped.is_empty() && !self.is_excused(now_us) {
                let what = format!("I2: {client} got token {fence} of {key} after {last}");
                self.violate(now_us, &what);
            }
            self.tokens.insert(key.clone(), fence.max(last));
        }
        self.beliefs.insert(client, belief);
    }

    /// A lock was held under `token`.
    pub fn was_held(&mut self, token: &[u8]) {
        self.held.push(token.to_vec());
    }

    /// Invariant I4: the key that `token` left on `server` is allowed for its TTL if the lock was
    /// held, since its release may be lost, and at no time if the attempt failed.
    pub fn left(
        &mut self,
        server: usize,
        key: &str,
        token: &[u8],
        leftovers: Leftovers,
        now_us: u64,
    ) {
        let held = self.held.iter().any(|held| held == token);
        if leftovers == Leftovers::None || !held {
            self.violate(now_us, &format!("I4: {key} stayed on server {server}"));
        }
    }

    /// `client` has extended what it holds until `until_us`.
    pub fn extended(&mut self, client: usize, until_us: u64, now_us: u64) {
        let Some(mut belief) = self.beliefs.remove(&client) else {
            return;
        };
        if belief.until_us <= now_us {
            self.violate(now_us, &format!("I1: {client} revived what had ended"));
        }
        belief.until_us = until_us;
        self.exclude(client, &belief, now_us);
        self.beliefs.insert(client, belief);
    }

    /// `client` does not believe to hold anything any more.
    pub fn ended(&mut self, client: usize) {
        self.beliefs.remove(&client);
        self.waiting.remove(&client);
    }

    /// `client` waits for `keys`, for as long as it takes.
    pub fn waits(&mut self, client: usize, keys: &[String]) {
        self.waiting.insert(client, keys.to_vec());
    }

    /// `server` came back without some of its data.
    pub fn wiped(&mut self, server: usize, at_us: u64) {
        self.wiped.push(Harm { at_us, server });
    }

    /// The clock of `server` was set.
    pub fn stepped(&mut self, server: usize, at_us: u64) {
        self.stepped.push(Harm { at_us, server });
    }

    /// Looks whether somebody waits for what nobody holds; called now and then once nothing goes
    /// wrong any more. A dead holder's key lives for at most `ttl_us`.
    pub fn look_for_idleness(&mut self, ttl_us: u64, now_us: u64) {
        let held = |key: &String| {
            let holds = |belief: &Belief| belief.until_us > now_us && belief.keys.contains(key);
            self.beliefs.values().any(holds)
        };
        let starves = self.waiting.values().any(|keys| !keys.iter().any(held));
        if !starves {
            self.idle_since = None;
            return;
        }
        let since = *self.idle_since.get_or_insert(now_us);
        if now_us - since > ttl_us + IDLE_LIMIT_US {
            let who: Vec<_> = self.waiting.keys().collect();
            self.violate(
                now_us,
                &format!("I8: {who:?} wait and nobody holds the lock"),
            );
        }
    }

    /// Invariant I1: nobody else believes to hold any of it now.
    fn exclude(&mut self, client: usize, mine: &Belief, now_us: u64) {
        let overlaps = |belief: &Belief| {
            belief.until_us > now_us && belief.keys.iter().any(|key| mine.keys.contains(key))
        };
        let other = self
            .beliefs
            .iter()
            .find(|(other, belief)| **other != client && overlaps(belief));
        if let Some((other, belief)) = other
            && !self.is_excused(now_us)
        {
            let left_us = belief.until_us - now_us;
            let what =
                format!("I1: {client} and {other} hold the same, the latter for {left_us} µs");
            self.violate(now_us, &what);
        }
    }

    /// Whether more went wrong lately than the lock promises to survive: a majority wiped within
    /// one window, or the clock of a server set.
    fn is_excused(&self, now_us: u64) -> bool {
        let lately = now_us.saturating_sub(2 * self.window_us);
        let majority_at = |first: &Harm| {
            let near = |harm: &&Harm| harm.at_us.abs_diff(first.at_us) <= self.window_us;
            let mut servers: Vec<usize> =
                self.wiped.iter().filter(near).map(|h| h.server).collect();
            servers.sort_unstable();
            servers.dedup();
            servers.len() >= self.quorum
        };
        let wiped = self
            .wiped
            .iter()
            .any(|harm| harm.at_us >= lately && majority_at(harm));
        wiped || self.stepped.iter().any(|harm| harm.at_us >= lately)
    }

    /// Notes what should never have been.
    pub fn violate(&mut self, now_us: u64, what: &str) {
        self.violations
            .push(format!("at {}ms, {what}", now_us / 1000));
    }
}
