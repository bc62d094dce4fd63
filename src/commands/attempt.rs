//! What `run` and `acquire` share: how a lock is tried for, and with which code it is not got.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::time::Duration;

use crate::clock::{self, Instant};
use crate::exit::Exit;
use crate::lock::claim::marker_of;
use crate::lock::quorum::Verdict;
use crate::lock::{Failure, Patience, Policy, RestartGuard, Restarts};
use crate::node::{Foreign, TOKEN_LEN};
use crate::report::live::LiveLine;
use crate::report::{self, Names, Reporter};
use crate::settings::{Common, Servers, Wait, World};

/// The variable with the tokens of all redlocks around a command but the one that started it.
pub const OUTER_TOKENS: &str = "REDLOCK_OUTER_TOKENS";

/// How often the live line is brought up to date.
const TICK: Duration = Duration::from_secs(1);

/// How the settings want a lock to be tried for.
pub fn policy(common: &Common, wait: Wait, restarts: Restarts) -> Policy {
    Policy {
        node_timeout: common.node_timeout,
        patience: match wait {
            Wait::No => Patience::None,
            Wait::For(duration) => Patience::For(duration),
            Wait::Forever => Patience::Forever,
        },
        restarts,
        rng: fastrand::Rng::new(),
    }
}

/// Mentions what the restart guard cannot see to: who has a shorter TTL does not know of ours.
pub fn mention_window(
    reporter: Reporter,
    common: &Common,
    names: &str,
    ttl: Duration,
    restarts: &Restarts,
) {
    let has_servers = matches!(common.servers, Servers::Redis(_));
    if has_servers && restarts.guard != RestartGuard::Off && ttl > restarts.window {
        reporter.tell(&report::longer_than_window(names, ttl, restarts.window));
    }
}

/// The code for a lock that was not got; `conflict` if somebody else holds it.
pub fn exit_of(verdict: &Verdict, conflict: u8) -> Exit {
    match verdict {
        Verdict::Taken(_) => Exit::Conflict(conflict),
        Verdict::SameServer(..) => Exit::Configuration,
        Verdict::Refused => Exit::Refused,
        // Servers that restarted are an outage until they vote again: the message says when.
        Verdict::Unreachable
        | Verdict::Young
        | Verdict::ColdStart
        | Verdict::Split
        | Verdict::Acquired
        | Verdict::Undecided => Exit::Unavailable,
    }
}

/// The tokens of the redlock around us, if any, and of those around that one, separated by blanks.
pub fn tokens_around(world: &World) -> Option<OsString> {
    let tokens: Vec<OsString> = ["REDLOCK_TOKEN", OUTER_TOKENS]
        .iter()
        .filter_map(|name| world.variable(name))
        .collect();
    (!tokens.is_empty()).then(|| tokens.join(OsStr::new(" ")))
}

/// Whether the holder is a redlock that we run inside of: waiting for it would never end.
pub fn is_around(world: &World, failure: &Failure) -> bool {
    failure.holder().is_some_and(|by| holds_around(world, by))
}

/// Whether what is `by` in the way is a lock of a redlock that we run inside of, or inside of which
/// we were started: a marker that it has left is nobody's any more.
pub fn holds_around(world: &World, by: &Foreign) -> bool {
    let holder = by.value.get(..TOKEN_LEN);
    holder
        .filter(|_| marker_of(&by.value).is_none())
        .zip(tokens_around(world))
        .is_some_and(|(holder, tokens)| {
            let mut tokens = tokens.as_encoded_bytes().split(|byte| *byte == b' ');
            tokens.any(|token| token == holder)
        })
}

/// Tells what somebody waits for: each holder and each trouble once, and on a terminal a line that
/// is kept up to date.
pub struct Waiting<'a> {
    reporter: Reporter,
    names: &'a Names,
    began: Instant,
    latest: RefCell<Option<Failure>>,
}

impl<'a> Waiting<'a> {
    /// A wait for `names` that begins now.
    pub fn new(reporter: Reporter, names: &'a Names) -> Self {
        Self {
            reporter,
            names,
            began: clock::now(),
            latest: RefCell::new(None),
        }
    }

    /// For how long it has taken so far.
    pub fn waited(&self) -> Duration {
        clock::now().since(self.began)
    }

    /// The last attempt that was followed by another.
    pub fn latest(&self) -> Option<Failure> {
        self.latest.borrow().clone()
    }

    /// Takes note of an attempt that is followed by another.
    pub fn note(&self, failure: &Failure) {
        let holder = |failure: &Failure| failure.holder().map(|by| by.digest.clone());
        let told = self.latest.borrow().as_ref().map(holder);
        if told != Some(holder(failure)) {
            self.reporter
                .tell(&report::trying_again(self.names, failure));
        }
        *self.latest.borrow_mut() = Some(failure.clone());
    }

    /// Shows how it stands while `acquiring` goes on, if somebody watches.
    pub async fn shown<T>(&self, acquiring: impl Future<Output = T>) -> T {
        if !self.reporter.is_watched() {
            return acquiring.await;
        }
        let mut line = LiveLine::new();
        let mut acquiring = std::pin::pin!(acquiring);
        loop {
            tokio::select! {
                biased;
                acquired = &mut acquiring => return acquired,
                () = clock::sleep_until(clock::now() + TICK) => {}
            }
            if let Some(failure) = &*self.latest.borrow() {
                line.show(&report::still_waiting(self.names, failure, self.waited()));
            }
        }
    }
}
