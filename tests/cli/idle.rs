//! What redlock does while its job runs and nothing happens: next to nothing.

use std::thread;
use std::time::Duration;

use crate::support::process::sleeps;
use crate::support::{Cluster, Place, Redlock};

/// With a TTL of 1 s there is a round of extension every 333 ms.
const TTL: &str = "1s";
const ROUNDS: usize = 12;

/// How often `redlock`, whose job says `ready` and then reads, wakes in each of `ROUNDS` or more
/// rounds.
fn wakings(redlock: Redlock) -> Vec<u64> {
    let mut run = redlock.start_ready();
    // It has begun to listen for a forced release, and the first round is over.
    thread::sleep(Duration::from_millis(500));
    let mut wakings = Vec::new();
    let mut before = sleeps(run.pid());
    // So many looks are more than those rounds, and end should it not wake any more.
    for _ in 0..4 * ROUNDS {
        // A round takes a few milliseconds at most: few are cut in two.
        thread::sleep(Duration::from_millis(100));
        let now = sleeps(run.pid());
        if now > before {
            wakings.push(now - before);
        }
        before = now;
    }
    run.write_line("");
    run.end().assert_code(0).assert_silent();
    wakings
}

/// On a machine that is busy with other tests a round now and then takes more.
#[track_caller]
fn assert_mostly_one(wakings: &[u64]) {
    let one = wakings.iter().filter(|count| **count == 1).count();
    assert!(one > wakings.len() / 2, "{wakings:?}");
}

const JOB: [&str; 9] = [
    "run",
    "-t",
    TTL,
    "-r",
    "job",
    "--",
    "sh",
    "-c",
    "echo ready; read _",
];

#[test]
fn a_round_on_five_servers_nearby_wakes_redlock_once() {
    let cluster = Cluster::start(5);
    assert_mostly_one(&wakings(cluster.redlock(JOB)));
}

#[test]
fn a_round_on_the_embedded_node_wakes_redlock_once() {
    let place = Place::Local(tempfile::tempdir().expect("a temporary directory"));
    assert_mostly_one(&wakings(place.redlock(JOB)));
}
