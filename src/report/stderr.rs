//! Standard error, which may be a pipe that nobody reads, or a terminal that was told to wait.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::unistd::{getpgrp, tcgetpgrp};

use crate::clock;

/// How long a reader who is slow is waited for, in milliseconds: long for a reader, and short for a
/// lock that must be extended.
const PATIENCE_MS: u16 = 100;

/// The same when nothing is left to be done but to leave.
const LAST_PATIENCE_MS: u16 = 1000;

/// The most lines that are kept for a reader who is slow.
const KEPT: usize = 100;

/// Lines that could not be written yet.
static LATE: Mutex<VecDeque<Vec<u8>>> = Mutex::new(VecDeque::new());

/// Writes a `line`, after those that could not be written before; or keeps it for later if nothing
/// can be written for a while. Errors are ignored.
pub fn tell(line: &[u8]) {
    let mut late = LATE.lock().unwrap_or_else(PoisonError::into_inner);
    if late.len() < KEPT {
        late.push_back(line.to_owned());
    }
    write(&mut late, PATIENCE_MS);
}

/// Writes what could not be written before. Called when redlock leaves.
pub fn tell_the_rest() {
    let mut late = LATE.lock().unwrap_or_else(PoisonError::into_inner);
    write(&mut late, LAST_PATIENCE_MS);
}

fn write(late: &mut VecDeque<Vec<u8>>, patience_ms: u16) {
    while let Some(line) = late.pop_front() {
        if !put_within(&line, patience_ms) {
            late.push_front(line);
            return;
        }
    }
}

/// Writes `bytes`, or leaves them out if nothing can be written for a while.
pub fn put(bytes: &[u8]) {
    put_within(bytes, PATIENCE_MS);
}

/// Writes `bytes` in one go, so that lines of several processes do not mix; false if nothing can be
/// written in this time. In the background a terminal would stop us for it (`stty tostop`), and
/// with us everything that is to be done for a lock: it writes all the same.
fn put_within(bytes: &[u8], patience_ms: u16) -> bool {
    let mut stderr = io::stderr().lock();
    let until = clock::now() + Duration::from_millis(patience_ms.into());
    loop {
        let mut wanted = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
        let rest = PollTimeout::try_from(until.remaining()).unwrap_or(PollTimeout::ZERO);
        // A pipe that is ready takes a page at least, which is more than a line.
        match poll(&mut wanted, rest) {
            Err(Errno::EINTR) => {}
            Ok(0) => return false,
            // Who may not ask does not wait.
            Ok(_) | Err(_) => break,
        }
    }
    let stops = SigSet::from(Signal::SIGTTOU);
    let before = stops.thread_swap_mask(SigmaskHow::SIG_BLOCK);
    let _ = stderr.write_all(bytes);
    if let Ok(before) = before {
        let _ = before.thread_set_mask();
    }
    true
}

/// Whether it is a terminal on which others are in front just now.
pub fn is_behind() -> bool {
    tcgetpgrp(io::stderr()).is_ok_and(|in_front| in_front != getpgrp())
}
