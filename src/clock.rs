//! Time that does not stop in suspend.
//!
//! A lock expires on its servers while this host sleeps, so every deadline is an instant of
//! `CLOCK_BOOTTIME`. Wall clock time is read here as well, and is only good for showing and for the
//! floor of the fencing counter: no deadline may ever depend on it. Everybody uses this module.

use std::cell::Cell;
use std::ops::{Add, Sub};
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{self, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId, clock_gettime};
use tokio::net::unix::pipe;

/// What a time namespace adds to the clocks of the host.
const OFFSETS: &str = "/proc/self/timens_offsets";

/// An instant of `CLOCK_BOOTTIME`, as the time since this host booted, or what a time namespace
/// makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(Duration);

impl Instant {
    /// The boot of this host.
    pub const ORIGIN: Self = Self(Duration::ZERO);

    /// The instant that is `since_boot` after the boot.
    #[must_use]
    pub fn from_boot(since_boot: Duration) -> Self {
        Self(since_boot)
    }

    /// The time between the boot and this instant.
    #[must_use]
    pub fn since_boot(self) -> Duration {
        self.0
    }

    /// The time from `earlier` to this instant, zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Instant) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The time from now to this instant, zero if it has passed.
    #[must_use]
    pub fn remaining(self) -> Duration {
        self.since(now())
    }

    /// Whether this instant has come.
    #[must_use]
    pub fn has_passed(self) -> bool {
        now() >= self
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration))
    }
}

/// What a clock shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The present instant.
    pub now: Instant,
    /// The wall clock, in milliseconds since 1970.
    pub unix_ms: u64,
}

thread_local! {
    /// What is read instead of the kernel's clocks on this thread; see [`simulate`].
    static SIMULATED: Cell<Option<fn() -> Reading>> = const { Cell::new(None) };
}

/// From now on this thread reads `clock` instead of the kernel's. For simulations only, which run
/// hours within milliseconds and give every host a clock of its own: the lock under test must read
/// theirs. Otherwise it costs a look at a thread-local, a hundredth of what asking the kernel
/// costs.
pub fn simulate(clock: fn() -> Reading) {
    SIMULATED.set(Some(clock));
}

/// The present instant.
///
/// # Panics
///
/// If the kernel knows no `CLOCK_BOOTTIME`; Linux does since 2.6.39.
#[must_use]
pub fn now() -> Instant {
    if let Some(clock) = SIMULATED.get() {
        return clock().now;
    }
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("Linux has CLOCK_BOOTTIME");
    Instant(Duration::from(time))
}

/// The time since this host booted, for what its processes tell one another: in every time
/// namespace the same, while [`now`] may be anything else there.
#[must_use]
pub fn host_uptime() -> Duration {
    static OFFSET: OnceLock<(i64, u32)> = OnceLock::new();
    if let Some(clock) = SIMULATED.get() {
        return clock().now.since_boot();
    }
    // Without that file there are no time namespaces, or there is no way to tell.
    let offset = OFFSET.get_or_init(|| {
        let table = std::fs::read_to_string(OFFSETS).unwrap_or_default();
        boottime_offset(&table).unwrap_or_default()
    });
    without(*offset, now().since_boot())
}

/// What a time namespace adds to `CLOCK_BOOTTIME`, in seconds and nanoseconds; see
/// `time_namespaces(7)`.
fn boottime_offset(table: &str) -> Option<(i64, u32)> {
    let mut lines = table.lines();
    let numbers = lines.find_map(|line| line.strip_prefix("boottime"))?;
    let (seconds, nanoseconds) = numbers.trim().split_once(' ')?;
    Some((seconds.parse().ok()?, nanoseconds.trim().parse().ok()?))
}

fn without((seconds, nanoseconds): (i64, u32), shown: Duration) -> Duration {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let rest = if seconds < 0 {
        shown + whole
    } else {
        shown.saturating_sub(whole)
    };
    rest.saturating_sub(Duration::from_nanos(nanoseconds.into()))
}

/// An instant of the wall clock, in UTC and whole milliseconds.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// The wall clock. For showing.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "everybody else is to ask here")]
pub fn wall() -> SystemTime {
    match SIMULATED.get() {
        Some(clock) => UNIX_EPOCH + Duration::from_millis(clock().unix_ms),
        None => SystemTime::now(),
    }
}

/// The wall clock, in milliseconds since 1970. For showing, and for the floor of the fencing
/// counter.
#[must_use]
pub fn unix_ms() -> u64 {
    whole_ms(wall().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// `duration` in milliseconds, rounded down: as Redis, JSON and messages have it.
#[must_use]
pub fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Sleeps until `instant` has come.
pub async fn sleep_until(instant: Instant) {
    // tokio sleeps on the monotonic clock, which stands still in suspend, wakes now and then to
    // sort its timers (every 8 s for a sleep of 10), and knows no less than a millisecond: a crowd
    // that spreads out would come in bursts. So an alarm of the kernel's wakes us, and without one
    // we look at our clock after each sleep, and never sleep for longer than a minute.
    const LONGEST_SLEEP: Duration = Duration::from_mins(1);
    let alarm = alarm(instant);
    loop {
        let remaining = instant.remaining();
        if remaining.is_zero() {
            return;
        }
        let rang = match &alarm {
            Some(alarm) => alarm.readable().await.is_ok(),
            None => false,
        };
        if !rang {
            tokio::time::sleep(remaining.min(LONGEST_SLEEP)).await;
        }
    }
}

/// Lets everybody else run, on this processor and on this thread, without going to sleep; false for
/// a simulated clock, on which no time passes meanwhile.
pub async fn step_back() -> bool {
    if SIMULATED.get().is_some() {
        return false;
    }
    std::thread::yield_now();
    tokio::task::yield_now().await;
    true
}

/// Readable once `instant` has come, also if that was in suspend. `None` if it has come already,
/// for a simulated clock, or if the system has no more descriptors.
fn alarm(instant: Instant) -> Option<pipe::Receiver> {
    let remaining = instant.remaining();
    if remaining.is_zero() || SIMULATED.get().is_some() {
        return None;
    }
    let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
    let timer = TimerFd::new(timerfd::ClockId::CLOCK_BOOTTIME, flags).ok()?;
    // From now on, suspends included: so it also fits a clock that was set for a test.
    let after = Expiration::OneShot(TimeSpec::from_duration(remaining));
    timer.set(after, TimerSetTimeFlags::empty()).ok()?;
    // No pipe, and never read: only its being readable is of interest, as of any descriptor.
    pipe::Receiver::from_owned_fd_unchecked(OwnedFd::from(timer)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_namespace_is_told_by_its_table() {
        let offset =
            |line: &str| boottime_offset(&format!("monotonic           7         8\n{line}\n"));
        assert_eq!(offset("boottime            0         0"), Some((0, 0)));
        assert_eq!(
            offset("boottime         -1000   5000000"),
            Some((-1000, 5_000_000))
        );
        assert_eq!(offset("boottime"), None);
        assert_eq!(boottime_offset(""), None);
    }

    #[test]
    fn whatever_a_time_namespace_adds_the_uptime_is_that_of_the_host() {
        let host = Duration::from_millis(90_500);
        let half = 500_000_000;
        assert_eq!(without((0, 0), host), host);
        assert_eq!(without((1_000, half), Duration::from_secs(1_091)), host);
        assert_eq!(without((-90, half), Duration::from_secs(1)), host);
    }
}
