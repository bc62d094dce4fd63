//! The two deadlines of a job, as timers of the kernel that redlock and the guard share: redlock
//! winds them, the guard sees whether they ring. So a new deadline wakes nobody, and there is no
//! moment at which it is on its way.
//!
//! Redlock winds them also from the command's process, before exec, and the guard is what it is:
//! all of this but [`Alarms::new`] is async-signal-safe.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::errno::Errno;
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};

/// An instant that never comes.
pub const NEVER: u64 = u64::MAX;

/// The two timers, as redlock has them. They count the time of a suspend.
pub struct Alarms {
    stop: OwnedFd,
    kill: OwnedFd,
}

/// Their descriptors, in whatever process.
#[derive(Clone, Copy, Debug)]
pub struct Wires {
    /// Rings when the job must be told to stop.
    pub stop: RawFd,
    /// Rings when it must be killed.
    pub kill: RawFd,
}

impl Alarms {
    /// Both are silent until they are wound.
    ///
    /// # Errors
    ///
    /// If the system has no more descriptors.
    pub fn new() -> nix::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = || TimerFd::new(ClockId::CLOCK_BOOTTIME, flags).map(OwnedFd::from);
        Ok(Self {
            stop: timer()?,
            kill: timer()?,
        })
    }

    /// Their descriptors, which are open as long as these alarms live.
    pub fn wires(&self) -> Wires {
        Wires {
            stop: self.stop.as_raw_fd(),
            kill: self.kill.as_raw_fd(),
        }
    }
}

impl Wires {
    /// From now on they ring at these instants of `CLOCK_BOOTTIME`, in nanoseconds: at once if one
    /// has come, and not any more if one is in the future.
    ///
    /// # Errors
    ///
    /// If the system refuses: they may never ring then.
    pub fn wind(self, stop_at: u64, kill_at: u64) -> nix::Result<()> {
        // In this order: should we be stopped in between, the job is not killed untold.
        wind(self.kill, kill_at)?;
        wind(self.stop, stop_at.min(kill_at))
    }

    /// The guard is to kill at `kill_at`, and no more.
    pub fn wind_to_kill(self, kill_at: u64) {
        // They have been wound before, so the system does not refuse.
        let _ = wind(self.kill, kill_at).and(wind(self.stop, NEVER));
    }
}

/// Whether what `wire` leads to rings. It does until it is wound again.
pub fn rings(wire: RawFd) -> bool {
    is_readable(wire)
}

/// Whether there is something to be read from `descriptor`, now.
pub fn is_readable(descriptor: RawFd) -> bool {
    let mut asked = libc::pollfd {
        fd: descriptor,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one pollfd, and no waiting.
    unsafe { libc::poll(&raw mut asked, 1, 0) > 0 }
}

/// Absolute, or we could be stopped between reckoning how long it is and winding.
fn wind(wire: RawFd, instant: u64) -> nix::Result<()> {
    const NONE: libc::timespec = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // What is beyond the kernel's reach is as good as never: a hundred years.
    let is_near = instant < 100 * 365 * 86_400 * 1_000_000_000;
    let at = libc::itimerspec {
        it_interval: NONE,
        it_value: if is_near {
            libc::timespec {
                tv_sec: (instant / 1_000_000_000).cast_signed(),
                // A value of zero would silence the timer.
                tv_nsec: (instant % 1_000_000_000).cast_signed().max(1),
            }
        } else {
            NONE
        },
    };
    // SAFETY: the setting can be read.
    let result = unsafe {
        libc::timerfd_settime(
            wire,
            libc::TFD_TIMER_ABSTIME,
            &raw const at,
            ptr::null_mut(),
        )
    };
    Errno::result(result).map(drop)
}
