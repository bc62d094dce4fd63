//! Hears release notices of all nodes: that a lock may be free, or not ours any more.
//!
//! Listening costs a connection to each node, so nobody does it before there is something to wait
//! for. What is heard is a hint and never an answer: whoever hears it asks the nodes. A node that
//! cannot be listened to is simply not heard. Used by `redlock` (who waits) and `lease` (who
//! holds).
//!
//! **Crowds.** A node tells with each notice how many listened, and chance does the rest: those
//! who heard it try one by one, at moments spread over as many attempts as there are of them,
//! and draw another moment at the next notice, for then somebody else was first. How far apart
//! the attempts are follows from how often the lock is released, which all of them hear alike:
//! about three fall between two releases, be the processors idle or busy with the crowd itself.
//! That needs no queue, which would have to survive waiters that die, notices that are lost and
//! clocks that differ; whoever dies costs the others nothing, since nobody waits for his turn.
//! But each notice wakes everybody who listens, on every node: of 500 waiters on two cores the
//! last had its turn after 40 s. So only about [`CROWD`] listen. A node that refuses a lock
//! tells how many do, and who finds so many comes back after a while to see whether there is
//! room; should many have come at once, each notice makes some of them leave, drawn by lot.
//! Nobody starves: those who listen are served one after the other, and make room. Whoever lost
//! a split vote calls nobody, and comes back the later the longer his attempt took (`wait`): a
//! crowd that keeps the servers from answering in time would call itself again and again, for a
//! minute and more. So it is 3 to 4 s for 500 waiters, and a hand-over takes hardly more requests
//! than among 50. `tests/sim/crowds.rs` simulates it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::quorum::majority;
use crate::clock::{self, Instant};
use crate::node::{Node, NodeError, Print};

/// The pause before a node whose connection broke is listened to again.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// The bounds of what we take for the duration of an attempt.
const ATTEMPT_RANGE: (Duration, Duration) = (Duration::from_micros(500), Duration::from_millis(10));

/// Between two releases there is room for so many attempts. More of them would find the lock held;
/// with fewer it would be free for a larger part of the time.
const TRIES: u32 = 3;

/// So many times the duration of an attempt is room enough for one, however rare the releases are.
const ROOM_LIMIT: u32 = 3;

/// So many do not all die within the time that it takes to begin to listen.
const COMPANY: u32 = 8;

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
    /// A person took this value away there. Followed by the release that it was.
    TakenAway(usize, Print),
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
    /// Whether others will take what is released before we hear a quorum.
    in_company: bool,
    rhythm: Rhythm,
    _tasks: JoinSet<()>,
}

/// How often the lock is released: the same for all who listen.
#[derive(Debug, Default)]
struct Rhythm {
    last: Option<Instant>,
    /// The mean time between two releases, the late ones counting more.
    cycle: Option<Duration>,
}

impl Rhythm {
    fn released(&mut self, now: Instant) {
        if let Some(last) = self.last.replace(now) {
            let cycle = now.since(last);
            let mean = self.cycle.map_or(cycle, |mean| (mean * 3 + cycle) / 4);
            self.cycle = Some(mean);
        }
    }

    /// How far apart those who listen should try, if an `attempt` takes so long: so that few of
    /// them find that another was first, whatever keeps the releases apart. Longer jobs, or
    /// processors that are busy with the crowd itself, make room in the same way.
    fn room(&self, attempt: Duration) -> Duration {
        let (least, most) = ATTEMPT_RANGE;
        let attempt = attempt.clamp(least, most);
        self.cycle.map_or(attempt, |cycle| {
            (cycle / TRIES).clamp(least, attempt * ROOM_LIMIT)
        })
    }
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
            in_company: false,
            rhythm: Rhythm::default(),
            _tasks: tasks,
        }
    }

    /// The same among so many who listened before.
    #[must_use]
    pub fn among(self, listeners: u32) -> Self {
        Self {
            in_company: listeners >= COMPANY,
            ..self
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
            Heard::Released(..) | Heard::TakenAway(..) => false,
        };
    }

    /// Whether so many nodes are listened to that no release on a quorum can be missed altogether.
    #[must_use]
    pub fn hears_a_quorum(&self) -> bool {
        self.listening.len() >= majority(self.nodes)
    }

    /// All that was heard meanwhile, without waiting.
    pub fn heard_so_far(&mut self) -> Vec<Heard> {
        let mut all = Vec::new();
        while let Ok(heard) = self.heard.try_recv() {
            self.note(heard);
            all.push(heard);
        }
        all
    }

    /// Sleeps until `until`, or until so many nodes told of a release that a majority can be free,
    /// counting those in `free`, which were free when they were asked last. Then many who listen
    /// spread out, with room for an `attempt` of each: the first of them gets the
    /// lock. Whoever hears before his time that it was released again draws anew, and so most do
    /// not try at all while another holds it. In a crowd it may be that there is no room for us any
    /// more.
    pub async fn rest(
        &mut self,
        until: Instant,
        free: BTreeSet<usize>,
        attempt: Duration,
        rng: &mut Rng,
    ) -> Attention {
        let mut released = self.released(until, free).await;
        while let Some(listeners) = released {
            if rng.u32(..listeners.max(1)) >= CROWD {
                return Attention::Lost;
            }
            let now = clock::now();
            self.rhythm.released(now);
            let spread = self.rhythm.room(attempt) * (listeners.clamp(1, CROWD) - 1);
            let spread = spread.min(SPREAD_LIMIT).mul_f64(rng.f64());
            let turn = (now + spread).min(until);
            released = self.released(turn, BTreeSet::new()).await;
        }
        Attention::Kept
    }

    /// Waits for a release on so many nodes that a majority can be free, and answers how many
    /// listened; `None` if it is time to look instead, at `until` or sooner.
    async fn released(&mut self, until: Instant, mut free: BTreeSet<usize>) -> Option<u32> {
        let mut heard_before = self.hears_a_quorum();
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
            // A release between the last attempt and now was missed: look once. Where many
            // listened already, one of them had it, and we shall hear when it is released.
            if !heard_before && self.hears_a_quorum() {
                if !std::mem::take(&mut self.in_company) {
                    return None;
                }
                heard_before = true;
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
    let mut was_let_in = false;
    loop {
        match node.listen(Arc::clone(&keys), limit).await {
            Ok(mut notices) => {
                was_let_in = true;
                let _ = tell.send(Heard::Listening(index));
                while let Some(notice) = notices.next().await {
                    if let Some(print) = notice.taken {
                        let _ = tell.send(Heard::TakenAway(index, print));
                    }
                    let _ = tell.send(Heard::Released(index, notice.listeners));
                }
                let _ = tell.send(Heard::Deaf(index));
            }
            // It will say the same next time, unless somebody changes a password just now.
            Err(NodeError::Refused(_)) if !was_let_in => return,
            Err(_) => {}
        }
        clock::sleep_until(clock::now() + LISTEN_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTEMPT: Duration = Duration::from_millis(1);

    /// Rests for `most` after a release for each of `releases`, so many having listened to it, each
    /// told by two of three nodes.
    fn rest(releases: &[u32], most: Duration, seed: u64) -> Attention {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let (tell, heard) = mpsc::unbounded_channel();
        let mut ear = Ear {
            heard,
            nodes: 3,
            listening: (0..3).collect(),
            in_company: false,
            rhythm: Rhythm::default(),
            _tasks: JoinSet::new(),
        };
        for listeners in releases {
            for node in 0..2 {
                let _ = tell.send(Heard::Released(node, *listeners));
            }
        }
        let (until, mut rng) = (clock::now() + most, Rng::with_seed(seed));
        runtime.block_on(ear.rest(until, BTreeSet::new(), ATTEMPT, &mut rng))
    }

    /// How many of 200 go on listening, when so many listened.
    fn stay(listeners: u32) -> usize {
        let attentions = (0..200).map(|seed| rest(&[listeners], ATTEMPT, seed));
        attentions.filter(|kept| *kept == Attention::Kept).count()
    }

    #[test]
    fn who_hears_of_another_release_before_his_time_draws_anew() {
        let began = clock::now();
        for seed in 0..200 {
            // Of 50 each would rest for 25 attempts on the average, 5 s in all.
            rest(&[CROWD, 1], Duration::from_mins(1), seed);
        }
        assert!(clock::now().since(began) < Duration::from_secs(2));
    }

    /// The room for an attempt after ten releases, so far apart.
    fn room(apart: Duration) -> Duration {
        let mut rhythm = Rhythm::default();
        for count in 0..10 {
            rhythm.released(Instant::ORIGIN + apart * count);
        }
        rhythm.room(ATTEMPT)
    }

    #[test]
    fn few_try_between_two_releases() {
        let cycle = Duration::from_millis(6);
        assert_eq!(room(cycle), cycle / TRIES);
    }

    #[test]
    fn after_a_long_job_somebody_tries_soon() {
        assert_eq!(room(Duration::from_mins(1)), ATTEMPT * ROOM_LIMIT);
    }

    #[test]
    fn before_a_second_release_there_is_room_for_an_attempt_each() {
        assert_eq!(Rhythm::default().room(ATTEMPT), ATTEMPT);
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
