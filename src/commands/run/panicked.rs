//! What a panic of redlock does to a run: the job is killed, then its lock is given back.
//!
//! Not before the command is known: should we panic while it is being started, it dies with us,
//! and the lock expires.

use std::sync::Arc;
use std::time::Duration;

use nix::unistd::Pid;
use tokio::task::JoinSet;

use super::Run;
use crate::clock::Instant;
use crate::commands::{nodes, panicking, runtime};
use crate::job::child;
use crate::lock::{Lease, Redlock, Token};
use crate::node::AnyNode;
use crate::settings::Common;

/// The longest that a node has for its answer: there is not much time in all.
const NODE_TIMEOUT: Duration = Duration::from_secs(1);

/// What a run would leave behind.
struct Remains {
    common: Common,
    keys: Vec<String>,
    token: Token,
    /// Until when the lock is to stay, whatever becomes of the job.
    stays_until: Instant,
    leader: Option<Pid>,
}

impl Run<'_> {
    /// From now on a panic kills the command `leader` and all its group, if there is one, and then
    /// gives back what is held under `lease`. A lock that is to stay for longer than the job is
    /// left to its TTL.
    pub(super) fn in_case_of_panic(&self, lease: &Lease<AnyNode>, leader: Option<Pid>) {
        let settings = self.settings;
        let common = settings.common.clone();
        let resources = settings.resources.iter();
        let remains = Remains {
            keys: resources.map(|name| common.key_format.key(name)).collect(),
            common,
            token: lease.token.clone(),
            stays_until: lease.since + settings.min_hold,
            leader,
        };
        panicking::in_case(|| remains.clear_up());
    }
}

impl Remains {
    /// On connections of its own: those that are open belong to the thread that panicked.
    fn clear_up(self) {
        if let Some(leader) = self.leader {
            child::kill_all(leader);
        }
        if !self.stays_until.has_passed() {
            return;
        }
        // What fails is left to expire: all that can be said of it is that there was a bug.
        let _ = runtime::run(async {
            let redlock = Arc::new(Redlock::new(nodes::each(
                &self.common,
                nodes::Purpose::Lock,
            )?));
            let node_timeout = self.common.node_timeout.min(NODE_TIMEOUT);
            let mut releasing = JoinSet::new();
            for key in self.keys {
                let (redlock, token) = (Arc::clone(&redlock), self.token.clone());
                releasing.spawn(async move {
                    let token = token.as_str().as_bytes();
                    redlock.release_by_hand(&key, token, node_timeout).await
                });
            }
            releasing.join_all().await;
            Ok(())
        });
    }
}
