//! What a process does about a signal: whether we were told to ignore it, and how to die of it.

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal};
use nix::sys::signal::{raise, sigaction, sigprocmask};
use nix::unistd::{Pid, getpid};

/// Whether `signal` is ignored now: by whoever started us, as long as we have changed nothing.
#[must_use]
pub fn is_ignored(signal: Signal) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: sigaction with a null pointer changes nothing; it writes the present action, for
    // which there is room. All-zero bytes are a valid action, should it fail.
    let action = unsafe {
        libc::sigaction(signal as i32, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}

/// The number of the signal that killed `child`, which has ended and was not reaped, whether or not
/// the signal has a name: a real-time signal has none.
#[must_use]
pub fn killer(child: Pid) -> Option<u8> {
    let id = libc::id_t::try_from(child.as_raw()).ok()?;
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    let mut end = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: waitid writes how the child ended, for which there is room. All-zero bytes say that
    // nothing has ended, should it fail; what is read of them is a number.
    let (how, number) = unsafe {
        libc::waitid(libc::P_PID, id, end.as_mut_ptr(), flags);
        let end = end.assume_init();
        (end.si_code, end.si_status())
    };
    let was_killed = [libc::CLD_KILLED, libc::CLD_DUMPED].contains(&how);
    was_killed.then(|| u8::try_from(number).ok()).flatten()
}

/// Ignores `signal` from now on. Async-signal-safe.
///
/// # Errors
///
/// If `signal` cannot be ignored.
pub fn ignore(signal: Signal) -> nix::Result<()> {
    let ignored = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: an ignored signal runs no code of ours.
    unsafe { sigaction(signal, &ignored) }.map(drop)
}

/// Lets `signal` do what it does by default from now on. Async-signal-safe.
///
/// # Errors
///
/// If nothing can be said about what `signal` does.
pub fn heed(signal: Signal) -> nix::Result<()> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default action runs no code of ours.
    unsafe { sigaction(signal, &default) }.map(drop)
}

/// Makes `signal` do nothing to us, and what it does by default to a command. Where it was ignored
/// when we were started, it stays so.
///
/// # Errors
///
/// If `signal` cannot be caught.
pub fn survive(signal: Signal) -> nix::Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    if is_ignored(signal) {
        return Ok(());
    }
    let caught = SigAction::new(
        SigHandler::Handler(nothing),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    // SAFETY: the handler does nothing.
    unsafe { sigaction(signal, &caught) }.map(drop)
}

/// Dies of `signal`, as the command did, so that whoever started us sees the same. Answers the code
/// 128 + the signal's number if that is impossible: as PID 1, or for a signal that does not kill.
#[must_use]
pub fn die_of(signal: Signal) -> u8 {
    let code = 128 + u8::try_from(signal as i32).unwrap_or_default();
    // The kernel protects PID 1 from signals without a handler.
    if getpid().as_raw() == 1 {
        return code;
    }
    // A core of ours says nothing about the command, which has left its own.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let _ = heed(signal);
    let mut only = SigSet::empty();
    only.add(signal);
    let _ = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&only), None);
    let _ = raise(signal);
    code
}
