//! The simulated server against a real one: the same commands, and answers that mean the same.
//!
//! What the simulation shows is worth as much as its servers are like Redis. Here the real scripts
//! run on a real redis-server beside `server.rs`, thousands of times in an order that a seed
//! decides. Only time cannot be the same, so it is compared with some tolerance.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use redlock::clock;
use redlock::node::endpoint::Address;
use redlock::node::{
    Ballot, Credentials, Endpoint, Entry, Extension, Foreign, Node, RedisNode, Vote,
};
use tempfile::TempDir;

use crate::server::Server;

/// How many commands are compared.
const COMMANDS: usize = 4_000;

const LIMIT: Duration = Duration::from_secs(10);

/// By how much times may differ between the two.
const TOLERANCE_MS: u64 = 5_000;

/// A redis-server that ends with this value.
struct Redis {
    process: Child,
    directory: TempDir,
}

impl Redis {
    /// An empty server on a Unix socket: no port, so no port that is taken.
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--unixsocket", "redis.sock"])
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed; tests/run sees to that");
        Self { process, directory }
    }

    fn node(&self) -> RedisNode {
        let endpoint = Endpoint {
            address: Address::Unix(self.directory.path().join("redis.sock")),
            database: 0,
            credentials: Credentials::default(),
        };
        RedisNode::new(&endpoint).expect("a plain endpoint")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Three owners of one or two keys, with TTLs that do not end within the test.
fn entries() -> Vec<Arc<Entry>> {
    let keys = [&["lock:a"][..], &["lock:b"], &["lock:a", "lock:b"]];
    let entry = |owner: u8, keys: &[&str]| Entry {
        keys: keys.iter().map(|&key| key.to_owned()).collect(),
        value: format!("{} {{}}", char::from(b'a' + owner).to_string().repeat(32)).into_bytes(),
        ttl: Duration::from_secs(1_000 + 100 * u64::from(owner)),
        stay: Duration::from_secs(1_000 + 100 * u64::from(owner)),
    };
    (0..3)
        .flat_map(|owner| keys.map(|keys| Arc::new(entry(owner, keys))))
        .collect()
}

/// A holder without what differs for good reasons: how the value is hashed, and the exact time.
fn holder(by: &Foreign) -> (String, Vec<u8>, String, u64) {
    let ttl = by.ttl.expect("every key expires").as_millis();
    let ttl_ms = u64::try_from(ttl).expect("a TTL is short");
    (
        by.key.clone(),
        by.value.clone(),
        by.kind.clone(),
        // The TTLs of two owners are further apart.
        (ttl_ms + TOLERANCE_MS) / 100_000,
    )
}

fn assert_same_vote(real: &Vote, simulated: &Vote, number: usize) {
    match (real, simulated) {
        (Vote::Granted { fence, .. }, Vote::Granted { fence: other, .. }) => {
            assert!(
                fence.abs_diff(*other) < TOLERANCE_MS,
                "{number}: {real:?} {simulated:?}"
            );
        }
        (Vote::Taken { by, .. }, Vote::Taken { by: other, .. }) => {
            assert_eq!(holder(by), holder(other), "{number}");
        }
        (Vote::Young { .. }, Vote::Young { .. }) | (Vote::Twin { .. }, Vote::Twin { .. }) => {}
        _ => panic!("{number}: {real:?} {simulated:?}"),
    }
}

fn assert_same_extension(real: &Extension, simulated: &Extension, number: usize) {
    match (real, simulated) {
        (Extension::Foreign(by), Extension::Foreign(other)) => {
            assert_eq!(holder(by), holder(other), "{number}");
        }
        (Extension::Extended { run_id }, Extension::Extended { run_id: other }) => {
            assert_eq!(run_id.is_some(), other.is_some(), "{number}");
        }
        _ => assert_eq!(real, simulated, "{number}"),
    }
}

#[test]
fn a_simulated_server_answers_as_redis_does() {
    let redis = Redis::start();
    let node = redis.node();
    let entries = entries();
    let mut rng = Rng::with_seed(4);
    // The real one has just started as well.
    let mut simulated = Server::new(clock::unix_ms());
    let mut fence = clock::unix_ms();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        until_up(&node).await;
        for number in 0..COMMANDS {
            let entry = Arc::clone(&entries[rng.usize(..entries.len())]);
            // Counters far ahead of any clock, so that they are equal to the last digit.
            fence += rng.u64(0..1_000);
            let now = clock::unix_ms();
            match rng.u32(0..10) {
                0..4 => {
                    let ballot = ballot(&mut rng, now);
                    let real = node.acquire(Arc::clone(&entry), ballot, LIMIT).await;
                    let real = real.expect("the server is there");
                    assert_same_vote(&real, &simulated.acquire(0, &entry, ballot, now), number);
                }
                4 => {
                    let real = node.raise(Arc::clone(&entry), fence, LIMIT).await;
                    let real = real.expect("the server is there");
                    assert_eq!(real, simulated.raise(&entry, fence, now), "{number}");
                }
                5..7 => {
                    let real = node.extend(Arc::clone(&entry), fence, LIMIT).await;
                    let real = real.expect("the server is there");
                    assert_same_extension(&real, &simulated.extend(0, &entry, fence, now), number);
                }
                7 => {
                    let real = node.heal(Arc::clone(&entry), fence, LIMIT).await;
                    let real = real.expect("the server is there");
                    assert_same_extension(&real, &simulated.heal(&entry, fence, now), number);
                }
                _ => {
                    let real = node
                        .release(Arc::clone(&entry), Arc::default(), LIMIT)
                        .await;
                    let real = real.expect("the server is there");
                    assert_eq!(real, simulated.release(&entry, now), "{number}");
                }
            }
        }
    });
}

/// A clock that is right, or far off, and now and then the wish for an older server.
fn ballot(rng: &mut Rng, now: u64) -> Ballot {
    let unix_ms = match rng.u32(0..4) {
        0 => 0,
        1 => now + 100_000_000,
        _ => now,
    };
    let min_uptime = match rng.u32(0..4) {
        0 => Duration::from_hours(1),
        _ => Duration::ZERO,
    };
    Ballot {
        unix_ms,
        min_uptime,
    }
}

/// Waits until the server answers.
async fn until_up(node: &RedisNode) {
    let nobody = Entry {
        keys: vec!["lock:nobody".to_owned()],
        value: format!("{} {{}}", "f".repeat(32)).into_bytes(),
        ttl: LIMIT,
        stay: LIMIT,
    };
    let nobody = Arc::new(nobody);
    for _ in 0..1_000 {
        if node
            .release(Arc::clone(&nobody), Arc::default(), LIMIT)
            .await
            .is_ok()
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("redis-server does not answer");
}
