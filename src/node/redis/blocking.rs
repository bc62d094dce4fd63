//! What the system may take any time for, on a thread of its own: names of hosts and files. Called
//! by `lookup` and `password`.

use std::io::{self, ErrorKind};
use std::thread;

use tokio::sync::oneshot;

/// What `work` answers. Should the caller not wait for it, it goes on alone.
///
/// # Errors
///
/// If the system has no more threads for us; tokio's own would panic then.
pub async fn answer<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (tell, told) = oneshot::channel();
    thread::Builder::new().spawn(move || tell.send(work()))?;
    told.await.map_err(|_| ErrorKind::Other.into())
}
