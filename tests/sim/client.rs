//! A client: the real `Redlock::acquire`, the real keeper, the real release, and a job that is a
//! sleep.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use redlock::clock::{self, Instant};
use redlock::lock::quorum::{self, Verdict};
use redlock::lock::{
    Acquisition, Audience, Claim, Failure, Grip, Held, Holder, KeyFormat, Lease, Patience, Policy,
    Redlock, Resource, State,
};
use redlock::node::Vote;

use crate::flaws::{Flaw, FlawedNode};
use crate::plan::Habits;
use crate::sim_node::SimNode;
use crate::world::with;

/// Does what its habits say until that is done, being killed in between perhaps.
pub async fn live(client: usize) {
    let habits = with(|world| world.plan.habits[client].clone());
    for _ in 0..habits.cycles {
        let (idle_us, killed_after_us) = with(|world| {
            let idle_us = world.rng.u64(0..=habits.idle_us);
            let killed = world.chance(habits.killed);
            let after_us = world.rng.u64(0..3_000_000);
            (idle_us, killed.then_some(after_us))
        });
        sleep_us(idle_us).await;
        // A fresh process each time: it has no connections yet.
        let process = Process::new(client, &habits);
        match killed_after_us {
            None => process.run().await,
            Some(us) => tokio::select! {
                biased;
                () = sleep_us(us) => with(|world| world.note(|| format!("{client} is killed"))),
                () = process.run() => {}
            },
        }
        with(|world| world.checker.ended(client));
    }
}

/// One run of redlock.
struct Process<'a> {
    client: usize,
    habits: &'a Habits,
    redlock: Redlock<FlawedNode>,
    claim: Claim,
    policy: Policy,
    flaw: Flaw,
}

impl<'a> Process<'a> {
    fn new(client: usize, habits: &'a Habits) -> Self {
        let holder = Holder {
            host: format!("client-{client}"),
            pid: 1,
            user: "sim".to_owned(),
            command: None,
            note: None,
            since: String::new(),
        };
        let resource = |key: &&str| Resource::new(key).expect("a good name");
        let resources: Vec<Resource> = habits.keys.iter().map(resource).collect();
        let verbatim = KeyFormat::new("{}").expect("one pair of braces");
        with(|world| {
            let flaw = world.plan.flaw;
            let node = |server| FlawedNode {
                inner: SimNode::new(client, server),
                flaw,
            };
            Self {
                client,
                habits,
                redlock: Redlock::new((0..world.plan.servers).map(node).collect()),
                claim: Claim::new(&resources, &verbatim, habits.ttl, holder),
                policy: Policy {
                    node_timeout: world.plan.node_timeout,
                    patience: habits.patience,
                    restarts: world.plan.restarts,
                    rng: world.rng.fork(),
                },
                flaw,
            }
        })
    }

    async fn run(self) {
        let (client, habits) = (self.client, self.habits);
        let (interrupted, by_hand, job_us) = with(|world| {
            if habits.patience == Patience::Forever {
                world.checker.waits(client, &self.claim.keys);
            }
            let interrupted = world.chance(habits.interrupted);
            let after_us = world.rng.u64(0..2_000_000);
            let by_hand = world.chance(habits.by_hand);
            let job_us = world.rng.u64(habits.job_us.0..=habits.job_us.1);
            (interrupted.then_some(after_us), by_hand, job_us)
        });
        let interruption = async {
            match interrupted {
                Some(us) => sleep_us(us).await,
                None => std::future::pending().await,
            }
        };
        let flaw = self.flaw;
        let on_failure = |failure: &Failure| {
            with(|world| world.note(|| format!("{client}: {:?}", failure.verdict)));
            let taken = |vote: &Option<_>| matches!(vote, Some(Ok(Vote::Taken { .. })));
            if flaw == Flaw::MinorityIsHeld && failure.votes.iter().any(|(_, vote)| taken(vote)) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let acquiring =
            self.redlock
                .acquire(&self.claim, self.policy.clone(), on_failure, interruption);
        match acquiring.await {
            Acquisition::Acquired(held) if by_hand => self.hold(held, job_us).await,
            Acquisition::Acquired(held) => self.keep(held, job_us).await,
            Acquisition::Failed(failure) => self.failed(&failure),
            Acquisition::Interrupted(()) => {}
        }
    }

    fn failed(&self, failure: &Failure) {
        with(|world| {
            world.note(|| format!("{} gives up: {:?}", self.client, failure.verdict));
            if matches!(failure.verdict, Verdict::Taken(_)) {
                world.checker.skipped += 1;
            } else if self.habits.patience == Patience::Forever {
                // No world has an outage of a minute.
                let what = format!("I8: {} gave up: {:?}", self.client, failure.verdict);
                let now = world.now_us();
                world.checker.violate(now, &what);
            }
        });
    }

    /// Tells the checker what this process believes.
    fn believes(&self, held: &Held<FlawedNode>) {
        let until = if self.flaw == Flaw::ValidityFromTheEnd {
            quorum::valid_until(clock::now(), self.habits.ttl)
        } else {
            held.valid_until
        };
        with(|world| {
            let until_us = world.true_us(self.client, until);
            let now_us = world.now_us();
            let fence = held.fencing_token.0;
            world.note(|| format!("{} holds with token {fence}", self.client));
            world.checker.was_held(held.token.as_str().as_bytes());
            world
                .checker
                .acquired(self.client, &self.claim.keys, fence, until_us, now_us);
        });
    }

    /// The lock is taken by hand, used within its validity or beyond, and given back.
    async fn hold(&self, mut held: Held<FlawedNode>, job_us: u64) {
        self.believes(&held);
        sleep_us(job_us).await;
        with(|world| world.checker.ended(self.client));
        self.release(&mut held.grip).await;
    }

    /// The lock is kept while a job runs, and given back; or it is lost.
    async fn keep(&self, held: Held<FlawedNode>, job_us: u64) {
        self.believes(&held);
        let mut lease = Lease::keep(held, self.policy.node_timeout);
        with(|world| world.expect_task(self.client));
        let mut over = std::pin::pin!(sleep_us(job_us));
        loop {
            let state = tokio::select! {
                biased;
                () = &mut over => break,
                state = lease.changed() => state,
            };
            match state {
                State::Held { until, .. } => self.extended(until),
                // Its belief ends by itself.
                State::Unknown { .. } => {}
                State::Lost(_) => break,
            }
        }
        with(|world| {
            world.note(|| format!("{} lets go", self.client));
            world.checker.ended(self.client);
        });
        let mut grip = lease.stop().await;
        self.release(&mut grip).await;
    }

    /// As `redlock run` does.
    async fn release(&self, grip: &mut Grip<FlawedNode>) {
        let limit = self.policy.node_timeout;
        grip.release(&Arc::default(), Audience::Quorum, limit).await;
    }

    fn extended(&self, until: Instant) {
        with(|world| {
            let until_us = world.true_us(self.client, until);
            let now_us = world.now_us();
            world.checker.extended(self.client, until_us, now_us);
        });
    }
}

async fn sleep_us(us: u64) {
    tokio::time::sleep(Duration::from_micros(us)).await;
}
