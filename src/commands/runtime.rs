//! The one thread on which a command tells its story.

use std::future::Future;
use std::io;
use std::os::unix::net::UnixStream;

use tokio::runtime::{Builder, Runtime};

use super::Stop;

/// A runtime on this thread.
///
/// # Errors
///
/// If the system refuses what every program needs.
pub fn new() -> Result<Runtime, Stop> {
    check_room()
        .and_then(|()| Builder::new_current_thread().enable_all().build())
        .map_err(|error| Stop::system("start", &error))
}

/// Whether there is room for what a runtime opens: where it is refused a pair of sockets, it takes
/// that for a bug, and panics.
fn check_room() -> io::Result<()> {
    let (socket, _other) = UnixStream::pair()?;
    let others = [(); 4].map(|()| socket.try_clone());
    others.into_iter().try_for_each(|other| other.map(drop))
}

/// Runs `story` to its end. A resolver's thread may hang for long; nobody waits for it.
///
/// # Errors
///
/// What the story ends with, or as [`new`].
pub fn run<T>(story: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
    let runtime = new()?;
    let told = runtime.block_on(story);
    runtime.shutdown_background();
    told
}
