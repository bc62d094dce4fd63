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
//! turn after 40 s. So of more than `CROWD` all but about so many step back at random: they close
//! their ears for a time that grows with the crowd, and come back one by one, as others are served.
//! With that it was 6 to 10 s. Every notice is a new draw, so nobody starves. `tests/sim/crowds.rs`
//! simulates it.

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

/// How many may listen before some step back.
const CROWD: u32 = 100;

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

/// Begins to listen at an instant, for as long as the tasks live.
type Begin = dyn Fn(Instant, mpsc::UnboundedSender<Heard>) -> JoinSet<()> + Send + Sync;

/// Listens to all nodes for as long as it lives.
pub struct Ear {
    heard: mpsc::UnboundedReceiver<Heard>,
    nodes: usize,
    listening: BTreeSet<usize>,
    /// Whether there is no need to hear anything now: others do.
    stepped_back: bool,
    tasks: JoinSet<()>,
    begin: Box<Begin>,
}

impl Ear {
    /// Begins to listen for the release of `keys` at `from`. Connecting to a node may take `limit`.
    pub fn open<N: Node>(
        nodes: &Arc<[Arc<N>]>,
        keys: &[String],
        from: Instant,
        limit: Duration,
    ) -> Self {
        let nodes = Arc::clone(nodes);
        let count = nodes.len();
        let keys: Arc<[String]> = keys.into();
        let begin = move |from, tell: mpsc::UnboundedSender<Heard>| {
            let (nodes, keys) = (Arc::clone(&nodes), Arc::clone(&keys));
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
            tasks
        };
        let (tell, heard) = mpsc::unbounded_channel();
        Self {
            heard,
            nodes: count,
            listening: BTreeSet::new(),
            stepped_back: false,
            tasks: begin(from, tell),
            begin: Box::new(begin),
        }
    }

    /// Listens to nobody until `from`.
    fn step_back(&mut self, from: Instant) {
        let (tell, heard) = mpsc::unbounded_channel();
        self.tasks = (self.begin)(from, tell);
        self.heard = heard;
        self.listening.clear();
        self.stepped_back = true;
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
        self.stepped_back &= !self.hears_a_quorum();
    }

    /// Whether so many nodes are listened to that no release on a quorum can be missed altogether.
    fn hears_a_quorum(&self) -> bool {
        self.listening.len() >= majority(self.nodes)
    }

    /// Whether it is enough to look now and then: a release is heard, or others hear it.
    #[must_use]
    pub fn is_informed(&self) -> bool {
        self.stepped_back || self.hears_a_quorum()
    }

    /// Forgets what was heard so far.
    pub fn forget(&mut self) {
        while let Ok(heard) = self.heard.try_recv() {
            self.note(heard);
        }
    }

    /// Sleeps until `until`, or until so many nodes told of a release that a majority can be free,
    /// counting those in `free`, which were free when they were asked last. Then many who listen
    /// spread out over a `slot` each, the time that one attempt takes: the first of them gets the
    /// lock, and the others find it taken one by one. In a crowd it may be that we step back
    /// instead, and listen again later.
    pub async fn rest(
        &mut self,
        until: Instant,
        mut free: BTreeSet<usize>,
        slot: Duration,
        rng: &mut Rng,
    ) {
        let slot = slot.clamp(SLOT_RANGE.0, SLOT_RANGE.1);
        loop {
            let Some(listeners) = self.released(until, free).await else {
                return;
            };
            if rng.u32(..listeners.max(1)) < CROWD {
                let spread = slot * (listeners.min(CROWD) - 1);
                let spread = spread.min(SPREAD_LIMIT).mul_f64(rng.f64());
                return clock::sleep_until((clock::now() + spread).min(until)).await;
            }
            let absence = slot * listeners.min(1000);
            self.step_back(clock::now() + absence.mul_f64(1.0 + 2.0 * rng.f64()));
            free = BTreeSet::new();
        }
    }

    /// Waits for a release on so many nodes that a majority can be free, and answers how many
    /// listened; `None` if it is time to look instead.
    async fn released(&mut self, until: Instant, mut free: BTreeSet<usize>) -> Option<u32> {
        let heard_before = self.hears_a_quorum();
        let mut listeners = 1;
        while free.len() < majority(self.nodes) {
            let heard = tokio::select! {
                () = clock::sleep_until(until) => return None,
                heard = self.hear() => heard,
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
    use std::sync::Mutex;

    use super::*;

    const SLOT: Duration = Duration::from_millis(1);

    /// A waiter who has just heard from two of three nodes that so many listened, and when it began
    /// to listen again.
    fn waiter(listeners: u32) -> (Ear, Arc<Mutex<Vec<Instant>>>) {
        let (tell, heard) = mpsc::unbounded_channel();
        for node in 0..3 {
            let _ = tell.send(Heard::Listening(node));
        }
        let began = Arc::new(Mutex::new(Vec::new()));
        let note = Arc::clone(&began);
        let mut ear = Ear {
            heard,
            nodes: 3,
            listening: BTreeSet::new(),
            stepped_back: false,
            tasks: JoinSet::new(),
            begin: Box::new(move |from, _| {
                note.lock().expect("no panic yet").push(from);
                JoinSet::new()
            }),
        };
        ear.forget();
        for node in 0..2 {
            let _ = tell.send(Heard::Released(node, listeners));
        }
        (ear, began)
    }

    /// For how long each of 200 steps back, who hear that so many listened.
    fn absences(listeners: u32) -> Vec<Duration> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let mut absences = Vec::new();
        for seed in 0..200 {
            let (mut ear, began) = waiter(listeners);
            let now = clock::now();
            let mut rng = Rng::with_seed(seed);
            runtime.block_on(ear.rest(now + SLOT, BTreeSet::new(), SLOT, &mut rng));
            let began = began.lock().expect("no panic yet");
            assert_eq!(ear.stepped_back, !began.is_empty());
            assert!(ear.is_informed());
            absences.extend(began.iter().map(|from| from.since(now)));
        }
        absences
    }

    #[test]
    fn nobody_steps_back_from_few() {
        assert_eq!(absences(CROWD), []);
    }

    #[test]
    fn about_as_many_stay_as_are_no_crowd_and_the_others_come_back_at_different_times() {
        let absences = absences(4 * CROWD);
        let stayed = 200 - absences.len();
        assert!((35..=65).contains(&stayed), "{stayed} of 200");
        let (first, last) = (absences.iter().min(), absences.iter().max());
        assert!(first >= Some(&(SLOT * 4 * CROWD)), "{first:?}");
        assert!(
            last > first.map(|first| *first * 2).as_ref(),
            "{first:?} to {last:?}"
        );
    }

    #[test]
    fn who_comes_back_looks_at_once() {
        let (mut ear, _) = waiter(1);
        ear.step_back(clock::now());
        let (tell, heard) = mpsc::unbounded_channel();
        ear.heard = heard;
        let _ = [0, 1].map(|node| tell.send(Heard::Listening(node)));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let mut rng = Rng::with_seed(0);
        let never = clock::now() + Duration::from_hours(1);
        runtime.block_on(ear.rest(never, BTreeSet::new(), SLOT, &mut rng));
        assert!(!ear.stepped_back && ear.hears_a_quorum());
    }
}
