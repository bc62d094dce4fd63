//! Hears release notices of all nodes: that a lock may be free, or not ours any more.
//!
//! Listening costs a connection to each node, so nobody does it before there is something to wait
//! for. What is heard is a hint and never an answer: whoever hears it asks the nodes. A node that
//! cannot be listened to is simply not heard. Used by `redlock` (who waits) and `lease` (who
//! holds).
//!
//! **Crowds.** A node tells with each notice how many listened, and chance does the rest: those who
//! heard it try one by one, at moments spread over as many attempts as there are of them. That
//! needs no queue, which would have to survive waiters that die, notices that are lost and clocks
//! that differ; whoever dies costs the others nothing, since nobody waits for his turn. But each
//! notice wakes everybody who listens, on every node: of 500 waiters on two cores the last had its
//! turn after 40 s. So only about [`CROWD`] listen. A node that refuses a lock tells how many do,
//! and who finds so many comes back after a while to see whether there is room; should many have
//! come at once, each notice makes some of them leave, drawn by lot. Nobody starves: those who
//! listen are served one after the other, and make room. With that it was 3.5 s, and a hand-over
//! took hardly more requests than among 50. `tests/sim/crowds.rs` simulates it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::quorum::majority;
use crate::clock::{self, Instant};
use crate::node::{Node, NodeError};

/// The pause before a node whose connection broke is listened to again.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// The bounds of what we take for the duration of an attempt.
const ATTEMPT_RANGE: (Duration, Duration) = (Duration::from_micros(500), Duration::from_millis(10));

/// The room that each of a crowd has for his attempt, in attempts. With 1.3 the servers get an
/// eighth fewer requests than with 1, of 50 waiters as of 500, and the last has his turn hardly
/// later; with 1.6 a fifth fewer, and he has it a tenth later.
const SLOT: f64 = 1.3;

/// How many listen to the release of one lock, or about so many.
pub const CROWD: u32 = 50;

/// The longest that many who heard the same notice spread out.
const SPREAD_LIMIT: Duration = Duration::from_secs(1);

/// Something heard from one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The node is listened to from now on: what it told before was missed.
    Listening(usize),
    /// Somebody released one of the locks there, and so many listened.
    Released(usize, u32),
    /// The node is not listened to for the time being.
    Deaf(usize),
}

/// Whether somebody goes on listening after a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// As before.
    Kept,
    /// There are too many: let go of the ear, and look again later.
    Lost,
}

/// Listens to all nodes for as long as it lives.
pub struct Ear {
    heard: mpsc::UnboundedReceiver<Heard>,
    nodes: usize,
    listening: BTreeSet<usize>,
    _tasks: JoinSet<()>,
}

impl Ear {
    /// Begins to listen for the release of `keys` at `from`. Connecting to a node may take `limit`.
    pub fn open<N: Node>(
        nodes: &Arc<[Arc<N>]>,
        keys: &[String],
        from: Instant,
        limit: Duration,
    ) -> Self {
        let (tell, heard) = mpsc::unbounded_channel();
        let (nodes, count) = (Arc::clone(nodes), nodes.len());
        let keys: Arc<[String]> = keys.into();
        let mut tasks = JoinSet::new();
        // One timer for all: most jobs that are quick end before it.
        tasks.spawn(async move {
            clock::sleep_until(from).await;
            let mut listening = JoinSet::new();
            for (index, node) in nodes.iter().enumerate() {
                let (node, keys) = (Arc::clone(node), Arc::clone(&keys));
                listening.spawn(listen(node, index, keys, limit, tell.clone()));
            }
            drop(tell);
            listening.join_all().await;
        });
        Self {
            heard,
            nodes: count,
            listening: BTreeSet::new(),
            _tasks: tasks,
        }
    }

    /// The next that is heard; never comes if no node can be listened to.
    pub async fn hear(&mut self) -> Heard {
        let Some(heard) = self.heard.recv().await else {
            return std::future::pending().await;
        };
        self.note(heard);
        heard
    }

    fn note(&mut self, heard: Heard) {
        match heard {
            Heard::Listening(node) => self.listening.insert(node),
            Heard::Deaf(node) => self.listening.remove(&node),
            Heard::Released(..) => false,
        };
    }

    /// Whether so many nodes are listened to that no release on a quorum can be missed altogether.
    #[must_use]
    pub fn hears_a_quorum(&self) -> bool {
        self.listening.len() >= majority(self.nodes)
    }

    /// Forgets what was heard so far.
    pub fn forget(&mut self) {
        while let Ok(heard) = self.heard.try_recv() {
            self.note(heard);
        }
    }

    /// Sleeps until `until`, or until so many nodes told of a release that a majority can be free,
    /// counting those in `free`, which were free when they were asked last. Then many who listen
    /// spread out, with a little more than an `attempt` takes for each: the first of them gets the
    /// lock, and the others find it taken one by one. In a crowd it may be that there is no room
    /// for us any more.
    pub async fn rest(
        &mut self,
        until: Instant,
        free: BTreeSet<usize>,
        attempt: Duration,
        rng: &mut Rng,
    ) -> Attention {
        let slot = attempt
            .clamp(ATTEMPT_RANGE.0, ATTEMPT_RANGE.1)
            .mul_f64(SLOT);
        let Some(listeners) = self.released(until, free).await else {
            return Attention::Kept;
        };
        if rng.u32(..listeners.max(1)) >= CROWD {
            return Attention::Lost;
        }
        let spread = slot * (listeners.min(CROWD) - 1);
        let spread = spread.min(SPREAD_LIMIT).mul_f64(rng.f64());
        clock::sleep_until((clock::now() + spread).min(until)).await;
        Attention::Kept
    }

    /// Waits for a release on so many nodes that a majority can be free, and answers how many
    /// listened; `None` if it is time to look instead.
    async fn released(&mut self, until: Instant, mut free: BTreeSet<usize>) -> Option<u32> {
        let heard_before = self.hears_a_quorum();
        let mut listeners = 1;
        let mut time_to_look = std::pin::pin!(clock::sleep_until(until));
        while free.len() < majority(self.nodes) {
            let heard = tokio::select! {
                biased;
                heard = self.hear() => heard,
                () = &mut time_to_look => return None,
            };
            if let Heard::Released(node, count) = heard {
                free.insert(node);
                listeners = count.max(listeners);
            }
            // A release between the last attempt and now was missed: look once.
            if !heard_before && self.hears_a_quorum() {
                return None;
            }
        }
        Some(listeners)
    }
}

/// Listens to one node, again and again.
async fn listen<N: Node>(
    node: Arc<N>,
    index: usize,
    keys: Arc<[String]>,
    limit: Duration,
    tell: mpsc::UnboundedSender<Heard>,
) {
    loop {
        match node.listen(Arc::clone(&keys), limit).await {
            Ok(mut notices) => {
                let _ = tell.send(Heard::Listening(index));
                while let Some(notice) = notices.next().await {
                    let _ = tell.send(Heard::Released(index, notice.listeners));
                }
                let _ = tell.send(Heard::Deaf(index));
            }
            // It will say the same next time.
            Err(NodeError::Refused(_)) => return,
            Err(_) => {}
        }
        clock::sleep_until(clock::now() + LISTEN_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTEMPT: Duration = Duration::from_millis(1);

    /// How many of 200 go on listening, who hear from two of three nodes that so many listened.
    fn stay(listeners: u32) -> usize {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let attention = |seed| {
            let (tell, heard) = mpsc::unbounded_channel();
            let mut ear = Ear {
                heard,
                nodes: 3,
                listening: (0..3).collect(),
                _tasks: JoinSet::new(),
            };
            for node in 0..2 {
                let _ = tell.send(Heard::Released(node, listeners));
            }
            let (until, mut rng) = (clock::now() + ATTEMPT, Rng::with_seed(seed));
            runtime.block_on(ear.rest(until, BTreeSet::new(), ATTEMPT, &mut rng))
        };
        let attentions = (0..200).map(attention);
        attentions.filter(|kept| *kept == Attention::Kept).count()
    }

    #[test]
    fn few_all_go_on_listening() {
        assert_eq!(stay(CROWD), 200);
    }

    #[test]
    fn of_many_about_as_many_go_on_as_are_no_crowd() {
        let stayed = stay(4 * CROWD);
        assert!((35..=65).contains(&stayed), "{stayed} of 200");
    }
}
