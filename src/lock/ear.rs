//! Hears release notices of all nodes: that a lock may be free, or not ours any more.
//!
//! Listening costs a connection to each node, so nobody does it before there is something to wait
//! for. What is heard is a hint and never an answer: whoever hears it asks the nodes. A node that
//! cannot be listened to is simply not heard. Used by `redlock` (who waits) and `lease` (who
//! holds).

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

/// The bounds of what we take for a round trip to the nodes.
const SLOT_RANGE: (Duration, Duration) = (Duration::from_micros(500), Duration::from_millis(10));

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
        let nodes = Arc::clone(nodes);
        let count = nodes.len();
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
        match heard {
            Heard::Listening(node) => self.listening.insert(node),
            Heard::Deaf(node) => self.listening.remove(&node),
            Heard::Released(..) => false,
        };
        heard
    }

    /// Whether so many nodes are listened to that no release on a quorum can be missed altogether.
    #[must_use]
    pub fn hears_a_quorum(&self) -> bool {
        self.listening.len() >= majority(self.nodes)
    }

    /// Forgets what was heard so far.
    pub fn forget(&mut self) {
        while let Ok(heard) = self.heard.try_recv() {
            match heard {
                Heard::Listening(node) => self.listening.insert(node),
                Heard::Deaf(node) => self.listening.remove(&node),
                Heard::Released(..) => false,
            };
        }
    }

    /// Sleeps until `until`, or until so many nodes told of a release that a majority can be free,
    /// counting those in `free`, which were free when they were asked last. Then many who listen
    /// spread out over a `slot` each, the time that one attempt takes: the first of them gets the
    /// lock, and the others find it taken one by one.
    pub async fn rest(
        &mut self,
        until: Instant,
        mut free: BTreeSet<usize>,
        slot: Duration,
        rng: &mut Rng,
    ) {
        let quorum = majority(self.nodes);
        let heard_before = self.hears_a_quorum();
        let mut listeners = 1;
        while free.len() < quorum {
            let heard = tokio::select! {
                () = clock::sleep_until(until) => return,
                heard = self.hear() => heard,
            };
            if let Heard::Released(node, count) = heard {
                free.insert(node);
                listeners = count.max(listeners);
            }
            // A release between the last attempt and now was missed: look once.
            if !heard_before && self.hears_a_quorum() {
                return;
            }
        }
        let slot = slot.clamp(SLOT_RANGE.0, SLOT_RANGE.1);
        let spread = slot * (listeners - 1).min(1000);
        let spread = spread.min(SPREAD_LIMIT).mul_f64(rng.f64());
        clock::sleep_until((clock::now() + spread).min(until)).await;
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
