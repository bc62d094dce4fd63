//! Replies of servers: whatever bytes come, an answer is made of them in time, and no vote is made
//! up: a lock is granted only by the words that grant it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use redlock::node::endpoint::Address;
use redlock::node::{Ballot, Credentials, Endpoint, Entry, Node, RedisNode, Vote};

use crate::{fuzz, mutate};

const LIMIT: Duration = Duration::from_millis(200);

const GRANTED: &[u8] = b"*3\r\n$7\r\ngranted\r\n$13\r\n1795594422651\r\n$4\r\n7f3a\r\n";

const YOUNG: &[u8] = b"*3\r\n$5\r\nyoung\r\n$2\r\n12\r\n$4\r\n7f3a\r\n";

const BALLOT: Ballot = Ballot {
    unix_ms: 1,
    min_uptime: Duration::from_secs(61),
};

const REPLIES: [&[u8]; 9] = [
    GRANTED,
    YOUNG,
    b"*2\r\n$4\r\ntwin\r\n$4\r\n7f3a\r\n",
    b"*8\r\n$7\r\nforeign\r\n$8\r\nlock:job\r\n$6\r\nstring\r\n$3\r\nabc\r\n$2\r\n9f\r\n$4\r\n5000\r\n$4\r\n7f3a\r\n$1\r\n2\r\n",
    b"*2\r\n$8\r\nextended\r\n$4\r\n7f3a\r\n",
    b"*1\r\n$7\r\nmissing\r\n",
    b"*2\r\n$8\r\nreleased\r\n$4\r\n7f3a\r\n",
    b"-NOPERM this user has no permissions\r\n",
    b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
];

/// A server that answers every request with what stands in `reply`, and then hangs up.
fn serve(reply: Arc<Mutex<Vec<u8>>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 8192];
            if client.read(&mut request).is_ok_and(|length| length > 0) {
                let reply = reply.lock().expect("nobody panics with it").clone();
                let _ = client.write_all(&reply);
            }
        }
    });
    port
}

/// Whether `bytes` hold a word that grants, wherever it stands.
fn grants(bytes: &[u8]) -> bool {
    bytes.windows(7).any(|window| window == b"granted")
}

#[test]
fn a_reply_of_any_bytes_is_answered_in_time_and_grants_only_if_it_says_so() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let reply = Arc::new(Mutex::new(Vec::new()));
    let port = serve(Arc::clone(&reply));
    let endpoint = Endpoint {
        address: Address::Tcp {
            host: "127.0.0.1".to_owned(),
            port,
        },
        database: 0,
        credentials: Credentials::default(),
    };
    let entry = Arc::new(Entry {
        keys: vec!["lock:job".to_owned()],
        value: b"0123456789abcdef0123456789abcdef {}".to_vec(),
        ttl: Duration::from_secs(30),
        stay: Duration::from_secs(30),
    });
    fuzz(|rng| {
        let mut bytes = REPLIES[rng.usize(..REPLIES.len())].to_vec();
        mutate(rng, &mut bytes);
        reply
            .lock()
            .expect("nobody panics with it")
            .clone_from(&bytes);
        let node = RedisNode::new(&endpoint).expect("a plain endpoint");
        let called = rng.u8(..3);
        runtime.block_on(async {
            // Every call ends by itself: a bound of ours that is reached is a failure.
            let bound = tokio::time::timeout(LIMIT * 20, async {
                match called {
                    0 => {
                        let vote = node.acquire(Arc::clone(&entry), BALLOT, LIMIT).await;
                        let granted = matches!(vote, Ok(Vote::Granted { .. }));
                        assert!(!granted || grants(&bytes), "{vote:?} of {bytes:?}");
                    }
                    1 => drop(node.extend(Arc::clone(&entry), 1, LIMIT).await),
                    _ => drop(
                        node.release(Arc::clone(&entry), Arc::default(), LIMIT)
                            .await,
                    ),
                }
            });
            bound.await.expect("the node's limit holds");
        });
    });
}
