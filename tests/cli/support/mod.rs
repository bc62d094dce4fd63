//! What the tests stand on: real redis-servers, the real binary, and what comes between them.
//!
//! Everything a test starts is its own: servers on ports and in directories of their own, stopped
//! by pid when the test's value is dropped, and by the kernel should the test be killed. Waiting is
//! for events, each with a bound of [`PATIENCE`]: a test that would hang fails instead and says
//! what it waited for.

pub mod address;
pub mod cluster;
pub mod faults;
pub mod nobody;
pub mod place;
pub mod process;
pub mod proxy;
pub mod pty;
pub mod sandbox;
pub mod server;
pub mod session;
pub mod shim;

use std::thread;
use std::time::Duration;

use redlock::clock;

pub use address::Address;
pub use cluster::Cluster;
pub use faults::BadNode;
pub use nobody::Nobody;
pub use place::Place;
pub use process::{End, Process, Redlock};
pub use server::Server;
pub use session::Session;
pub use shim::Shim;

/// How long anything may take that is to happen at all, on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until `happened`, and fails with `what` if it does not.
#[track_caller]
pub fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let began = clock::now();
    while !happened() {
        assert!(clock::now().since(began) < PATIENCE, "in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// What redlock has printed with `--json`.
#[track_caller]
pub fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
