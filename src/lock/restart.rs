//! Servers that restarted: whether they may vote for a new holder.
//!
//! A server that came back without its data would grant a lock that it granted before. Redis' own
//! advice is to keep it out for the longest TTL in use; we do that for the user, and let the
//! server's own script apply it. Plain data; what the votes mean is decided in `quorum`.

use std::time::Duration;

/// The restart window of whoever says nothing else: a server that has been up for less may have
/// forgotten a lock.
pub const USUAL_WINDOW: Duration = Duration::from_mins(1);

/// Whether servers that restarted within the window may grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartGuard {
    /// Not unless all of them have restarted, which is a cold start: then nobody could ever begin.
    /// See [`Restarts::cold_start_min_uptime`].
    Auto,
    /// Never.
    Strict,
    /// As if they had not restarted.
    Off,
}

/// What is asked of the servers' age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restarts {
    /// Whether they may grant.
    pub guard: RestartGuard,
    /// For how long a restarted server may have forgotten a lock: the longest TTL in use.
    pub window: Duration,
}

impl Restarts {
    /// For how long a server must have been up before it grants a lock of `ttl`, in whole seconds.
    #[must_use]
    pub fn min_uptime(&self, ttl: Duration) -> Duration {
        match self.guard {
            RestartGuard::Off => Duration::ZERO,
            RestartGuard::Auto | RestartGuard::Strict => self.young_until(ttl),
        }
    }

    /// Until what age a server may have forgotten a lock of `ttl`, in whole seconds.
    ///
    /// One second more than the window, since servers tell their age in whole seconds and may round
    /// it up. Our own TTL counts if it is longer: whoever uses one may use it elsewhere.
    #[must_use]
    pub fn young_until(&self, ttl: Duration) -> Duration {
        certainly_past(self.window.max(ttl))
    }

    /// For how long a server must have been up before it grants in a cold start, when all servers
    /// are younger than [`Restarts::young_until`], having been up for `uptimes`.
    ///
    /// If all have restarted within the window, their age does not count. If some have not, it is
    /// for our own long TTL alone that they are young, and they did not restart with the others:
    /// the window counts then, as it does for a shorter TTL. A longer one must not give a lock away
    /// that a shorter one would not.
    #[must_use]
    pub fn cold_start_min_uptime(&self, uptimes: impl IntoIterator<Item = Duration>) -> Duration {
        let window = certainly_past(self.window);
        if uptimes.into_iter().all(|uptime| uptime < window) {
            Duration::ZERO
        } else {
            window
        }
    }
}

/// The uptime, in whole seconds, by which a server has been up for as long as `window`.
fn certainly_past(window: Duration) -> Duration {
    let whole = window.as_secs() + u64::from(window.subsec_nanos() > 0);
    Duration::from_secs(whole.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_must_be_older_than_the_window_and_the_ttl_by_a_second() {
        let restarts = |guard| Restarts {
            guard,
            window: Duration::from_mins(1),
        };
        let min_uptime = |guard, ttl_ms| {
            restarts(guard)
                .min_uptime(Duration::from_millis(ttl_ms))
                .as_secs()
        };
        assert_eq!(min_uptime(RestartGuard::Auto, 30_000), 61);
        assert_eq!(min_uptime(RestartGuard::Strict, 60_001), 62);
        assert_eq!(min_uptime(RestartGuard::Off, 90_000), 0);
    }

    #[test]
    fn servers_that_did_not_all_restart_within_the_window_are_no_cold_start_without_it() {
        let restarts = Restarts {
            guard: RestartGuard::Auto,
            window: Duration::from_mins(1),
        };
        let min_uptime = |uptimes: [u64; 3]| {
            let uptimes = uptimes.map(Duration::from_secs);
            restarts.cold_start_min_uptime(uptimes).as_secs()
        };
        assert_eq!(min_uptime([0, 5, 60]), 0);
        assert_eq!(min_uptime([0, 5, 61]), 61);
        assert_eq!(min_uptime([100, 200, 300]), 61);
    }
}
