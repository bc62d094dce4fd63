//! What `run` and `acquire` share: how a lock is tried for, and with which code it is not got.

use std::time::Duration;

use crate::exit::Exit;
use crate::lock::quorum::Verdict;
use crate::lock::{Patience, Policy, RestartGuard, Restarts};
use crate::settings::{self, Common, Wait};

/// How the settings want a lock to be tried for.
pub fn policy(
    common: &Common,
    wait: Wait,
    guard: settings::RestartGuard,
    window: Duration,
) -> Policy {
    Policy {
        node_timeout: common.node_timeout,
        patience: match wait {
            Wait::No => Patience::None,
            Wait::For(duration) => Patience::For(duration),
            Wait::Forever => Patience::Forever,
        },
        restarts: Restarts {
            guard: match guard {
                settings::RestartGuard::Auto => RestartGuard::Auto,
                settings::RestartGuard::Strict => RestartGuard::Strict,
                settings::RestartGuard::Off => RestartGuard::Off,
            },
            window,
        },
        rng: fastrand::Rng::new(),
    }
}

/// The code for a lock that was not got; `conflict` if somebody else holds it.
pub fn exit_of(verdict: &Verdict, conflict: u8) -> Exit {
    match verdict {
        Verdict::Held(_) => Exit::Conflict(conflict),
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
