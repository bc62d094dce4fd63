//! Standard error, which may be a pipe that nobody reads, or a terminal that was told to wait.

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::unistd::{getpgrp, tcgetpgrp};

/// How long a reader who is slow is waited for, in milliseconds: long for a reader, and short for a
/// lock that must be extended.
const PATIENCE_MS: u8 = 100;

/// Writes `bytes` in one go, so that lines of several processes do not mix; or not at all if
/// nothing can be written for a while. Errors are ignored. In the background a terminal would stop
/// us for it (`stty tostop`), and with us everything that is to be done for a lock: it writes all
/// the same.
pub fn put(bytes: &[u8]) {
    let mut stderr = io::stderr().lock();
    let mut wanted = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    // A pipe that is ready takes a page at least, which is more than a line.
    if poll(&mut wanted, PollTimeout::from(PATIENCE_MS)) == Ok(1) {
        let stops = SigSet::from(Signal::SIGTTOU);
        let before = stops.thread_swap_mask(SigmaskHow::SIG_BLOCK);
        let _ = stderr.write_all(bytes);
        if let Ok(before) = before {
            let _ = before.thread_set_mask();
        }
    }
}

/// Whether it is a terminal on which others are in front just now.
pub fn is_behind() -> bool {
    tcgetpgrp(io::stderr()).is_ok_and(|in_front| in_front != getpgrp())
}
