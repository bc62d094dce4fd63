//! What others send to us, as one stream.
//!
//! tokio listens to all of them, SIGINT included: the ctrlc package would start a thread for it,
//! whose stack and malloc arena, and the locks that malloc takes from then on, were 0.15 ms of a
//! run of 2 ms. A signal that we inherited as ignored stays ignored, for us and for the command:
//! that is what `nohup` and a shell's background jobs rely on. Called by `commands`.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use tokio::signal::unix::{self, SignalKind};

use super::death;

/// What we pass on.
const HEARD: [Signal; 6] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// The signals that reach us, in the order in which they are noticed.
pub struct Signals(Vec<(Signal, unix::Signal)>);

impl Signals {
    /// Listens from now on: a signal that comes later is not lost, and does not kill us. None is
    /// blocked any more, should whoever started us have done so: we would never hear of the end of
    /// the command.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub fn listen() -> io::Result<Self> {
        // A signal that came between a handler and what it tells would be lost.
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)?;
        let mut streams = Vec::with_capacity(HEARD.len());
        for signal in HEARD {
            if !death::is_ignored(signal) {
                streams.push((signal, unix::signal(SignalKind::from_raw(signal as i32))?));
            }
        }
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
        Ok(Self(streams))
    }

    /// The next signal. Nothing is lost when the future is dropped; the same signal several times
    /// before it is heard counts once, as for any process.
    pub async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            let heard = self.0.iter_mut().find_map(|(signal, stream)| {
                stream.poll_recv(context).is_ready().then_some(*signal)
            });
            heard.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}
