//! What is still done when redlock panics, which is a bug of ours: what would be left behind is
//! cleared up, in the way that a command has said ([`in_case`]), the bug is told, and redlock
//! leaves with the code for it.
//!
//! A release build does not unwind: the tables for that were a tenth of the program. So nothing of
//! this can stand in a `Drop`, and what the panicking thread was in the middle of is not touched:
//! clearing up happens on a thread of its own. Should that fail as well, the guard kills the job
//! when we are gone, and the lock expires.

use std::io::Write as _;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;
use std::{panic, process, thread};

use crate::exit::Exit;

/// How long clearing up may take in all.
const LIMIT: Duration = Duration::from_secs(5);

type Clearing = Box<dyn FnOnce() + Send>;

static PANICKED: AtomicBool = AtomicBool::new(false);
static CLEARING: Mutex<Option<Clearing>> = Mutex::new(None);

/// From now on a panic, on whatever thread, ends the process.
pub fn prepare() {
    panic::set_hook(Box::new(leave));
}

/// What is to be done in case of a panic from now on, instead of what was said before. It is
/// called on a thread of its own, while the one that panicked stands still. That is meant for the
/// main thread: if another one panics, the main thread runs on meanwhile, and sees the job end.
pub fn in_case(clear_up: impl FnOnce() + Send + 'static) {
    *clearing() = Some(Box::new(clear_up));
}

fn clearing() -> MutexGuard<'static, Option<Clearing>> {
    CLEARING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The hook: does not return.
fn leave(panic: &PanicHookInfo<'_>) {
    if PANICKED.swap(true, Ordering::SeqCst) {
        // The first one is at it, and leaves for us; or it is waiting for this very thread.
        loop {
            thread::park();
        }
    }
    // In a statement of its own: clearing up may take the mutex as well.
    let clear_up = clearing().take();
    if let Some(clear_up) = clear_up {
        let (done, is_done) = mpsc::channel();
        let started = thread::Builder::new().spawn(move || {
            clear_up();
            // Nobody listens any more when it took too long.
            let _ = done.send(());
        });
        if started.is_ok() {
            // An error is that time: there is no more to be done about it.
            let _ = is_done.recv_timeout(LIMIT);
        }
    }
    // Now a terminal is as it was.
    tell(panic);
    process::exit(Exit::Software.code().into());
}

/// One line, and no more than where it happened: a panic's text could hold anything.
fn tell(panic: &PanicHookInfo<'_>) {
    let place = panic
        .location()
        .map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
    let text = format!("redlock: a bug in redlock{place}; please report it\n");
    // stderr may be closed; a panic within a panic would abort without stopping the job.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
