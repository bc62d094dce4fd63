//! The one thread on which a command tells its story.

use std::future::Future;

use tokio::runtime::{Builder, Runtime};

use super::Stop;

/// A runtime on this thread.
///
/// # Errors
///
/// If the system refuses what every program needs.
pub fn new() -> Result<Runtime, Stop> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::system("start", &error))
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
