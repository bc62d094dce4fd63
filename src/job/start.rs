//! What std does before Rust's own `main`, for ours, which is C's. Called by `main`.

use std::ffi::{c_char, c_int};
use std::io;
use std::os::fd::{BorrowedFd, IntoRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FdFlag, OFlag, open};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;

use super::{death, guard, spared};

/// Remembers what only the beginning knows: where our heap begins, and where the arguments lie.
/// Makes sure that the numbers of stdin, stdout and stderr are taken, or a connection could get the
/// one of stderr and be written our messages; and that writing to a pipe without a reader is an
/// error, not our end.
///
/// # Safety
///
/// The arguments are what C's `main` was called with.
pub unsafe fn start_up(count: c_int, arguments: *const *const c_char) {
    spared::remember_what_is_libcs();
    // SAFETY: as our own caller says.
    unsafe { guard::remember_arguments(count, arguments) };
    for number in 0..=2 {
        if flags(number).is_err() {
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
    if flags(number)?.contains(FdFlag::FD_CLOEXEC) {
        return Err(Errno::EBADF.into());
    }
    // SAFETY: it is open, and as it is none of ours, nobody closes it.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    descriptor.try_clone_to_owned()
}

/// The flags of the descriptor `number`, if there is one.
fn flags(number: RawFd) -> nix::Result<FdFlag> {
    // SAFETY: asks, and does not mind if there is none.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    Errno::result(flags).map(FdFlag::from_bits_retain)
}
