//! What others send to us, as one stream.
//!
//! ctrlc owns SIGINT, tokio the others: registered the other way round, one would silence the
//! other. A signal that we inherited as ignored stays ignored, for us and for the command: that is
//! what `nohup` and a shell's background jobs rely on. Called by `commands`.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use nix::sys::signal::Signal;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::mpsc;

use super::death;

/// What tokio listens to; SIGINT is ctrlc's.
const BY_TOKIO: [Signal; 5] = [
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// The signals that reach us, in the order in which they are noticed.
pub struct Signals {
    interrupts: mpsc::UnboundedReceiver<()>,
    others: Vec<(Signal, unix::Signal)>,
}

impl Signals {
    /// Listens from now on: a signal that comes later is not lost, and does not kill us.
    ///
    /// # Errors
    ///
    /// If the system refuses, or somebody in this process listens already.
    pub fn listen() -> io::Result<Self> {
        let (heard, interrupts) = mpsc::unbounded_channel();
        if !death::is_ignored(Signal::SIGINT) {
            // The handler runs on a thread of ctrlc's; a stream that is gone needs no more signals.
            let tell = move || {
                let _ = heard.send(());
            };
            ctrlc::try_set_handler(tell).map_err(io::Error::other)?;
        }
        let mut others = Vec::with_capacity(BY_TOKIO.len());
        for signal in BY_TOKIO {
            if !death::is_ignored(signal) {
                others.push((signal, unix::signal(SignalKind::from_raw(signal as i32))?));
            }
        }
        Ok(Self { interrupts, others })
    }

    /// The next signal. Nothing is lost when the future is dropped; the same signal several times
    /// before it is heard counts once, as for any process.
    pub async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            if let Poll::Ready(Some(())) = self.interrupts.poll_recv(context) {
                return Poll::Ready(Signal::SIGINT);
            }
            let heard = self.others.iter_mut().find_map(|(signal, stream)| {
                stream.poll_recv(context).is_ready().then_some(*signal)
            });
            heard.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}
