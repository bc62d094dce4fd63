//! What std does before Rust's own `main`, for ours, which is C's. Called by `main`.

use std::ffi::{c_char, c_int};
use std::io;
use std::os::fd::{BorrowedFd, IntoRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl, open};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;

use super::{death, guard, spared};

/// Remembers what only the beginning knows: where our heap begins, and where the arguments lie.
/// Makes sure that the numbers of stdin, stdout and stderr are taken, or a connection could get the
/// one of stderr and be written our messages; and that writing to a pipe without a reader is an
/// error, not our end.
pub fn start_up(count: c_int, arguments: *const *const c_char) {
    spared::remember_what_is_libcs();
    guard::remember_arguments(count, arguments);
    for number in 0..=2 {
        // SAFETY: it is only asked whether there is such a descriptor.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        if fcntl(descriptor, FcntlArg::F_GETFD).is_err() {
            // It gets the lowest number that is free: this one. Open until we end, and good for
            // nothing: for us and for the command what was closed is closed.
            let opened = open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty());
            let _ = opened.map(IntoRawFd::into_raw_fd);
        }
    }
    let _ = death::ignore(Signal::SIGPIPE);
    let _ = death::survive(Signal::SIGXFSZ);
}

/// A copy of the descriptor `number`, which whoever started us has handed on.
///
/// # Errors
///
/// If there is none, or it is one of our own.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(Errno::EBADF.into());
    }
    // SAFETY: what we have inherited is open until we end, and nothing is done with what is ours
    // but to ask.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = fcntl(descriptor, FcntlArg::F_GETFD).map(FdFlag::from_bits_retain)?;
    if flags.contains(FdFlag::FD_CLOEXEC) {
        return Err(Errno::EBADF.into());
    }
    descriptor.try_clone_to_owned()
}
