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
        let window = self.window.max(ttl);
        let whole = window.as_secs() + u64::from(window.subsec_nanos() > 0);
        Duration::from_secs(whole.saturating_add(1))
    }
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
}
