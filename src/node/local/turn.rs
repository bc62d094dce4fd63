//! The queue of those who wait for one lock of the embedded node.
//!
//! Only who stands first watches the files: a release wakes one process, however many wait. The
//! kernel keeps the queue, as a lock on one byte of a file: it forgets who dies, and comes to the
//! next, in the order of arrival. Nobody relies on it: who was stopped while he stood first costs
//! the others no more than that they find the lock free at their next look, since all who wait look
//! from time to time. Where there is no queue to be had, everybody watches. Called by `watch`.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use tokio::sync::oneshot;

use super::files::FLAGS;

/// Enough for a thread that makes one system call.
const STACK: usize = 64 * 1024;

/// Those who wait for one lock, in the order in which they came.
pub(super) struct Queue {
    path: PathBuf,
    place: i64,
}

/// The first place in a queue, until the value is dropped.
pub(super) struct Turn {
    file: File,
    place: i64,
}

impl Queue {
    /// The queue that stands at the byte `place` of the file at `path`.
    pub(super) fn new(path: PathBuf, place: i64) -> Self {
        Self { path, place }
    }

    /// Waits for the first place; `None` if there is none to be had, since the file is missing or
    /// the file system has no such locks.
    pub(super) async fn first(&self) -> Option<Turn> {
        let Self { path, place } = self;
        let place = *place;
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).custom_flags(FLAGS);
        let file = options.open(path).ok()?;
        let lock = flock(libc::F_WRLCK, place);
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)) {
            Ok(_) => return Some(Turn { file, place }),
            Err(Errno::EAGAIN | Errno::EACCES) => {}
            Err(_) => return None,
        }
        // Nothing but a thread can wait for it. Should the turn come when nobody wants it any more,
        // it is handed on.
        let (tell, turn) = oneshot::channel();
        let wait = move || {
            let mut taken = Err(Errno::EINTR);
            while taken == Err(Errno::EINTR) {
                taken = fcntl(&file, FcntlArg::F_OFD_SETLKW(&lock));
            }
            if taken.is_ok() {
                let _ = tell.send(Turn { file, place });
            }
        };
        thread::Builder::new().stack_size(STACK).spawn(wait).ok()?;
        turn.await.ok()
    }
}

impl Drop for Turn {
    /// Not left to the end of the file, of which a process that we started may have a copy.
    fn drop(&mut self) {
        let unlock = flock(libc::F_UNLCK, self.place);
        let _ = fcntl(&self.file, FcntlArg::F_OFD_SETLK(&unlock));
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the constants of fcntl are 0 to 2"
)]
fn flock(kind: libc::c_int, place: i64) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: place,
        l_len: 1,
        // Must be 0 for a lock of an open file.
        l_pid: 0,
    }
}
