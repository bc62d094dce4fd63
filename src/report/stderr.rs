//! Standard error, which may be a pipe that nobody reads, or a terminal that was told to wait.

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long a reader who is slow is waited for, in milliseconds: long for a reader, and short for a
/// lock that must be extended.
const PATIENCE_MS: u8 = 100;

/// Writes `bytes` in one go, so that lines of several processes do not mix; or not at all if
/// nothing can be written for a while. Errors are ignored.
pub fn put(bytes: &[u8]) {
    let mut stderr = io::stderr().lock();
    let mut wanted = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    // A pipe that is ready takes a page at least, which is more than a line.
    if poll(&mut wanted, PollTimeout::from(PATIENCE_MS)) == Ok(1) {
        let _ = stderr.write_all(bytes);
    }
}
