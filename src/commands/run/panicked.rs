//! What a panic of redlock does to a run: the job is killed, then its lock is given back.

use nix::unistd::Pid;

use super::Run;
use crate::commands::{by_hand, nodes, panicking};
use crate::job::child;
use crate::lock::Token;
use crate::settings::Common;

/// What a run would leave behind.
struct Remains {
    common: Common,
    /// Empty if the lock is to stay for longer than the job: then it expires.
    keys: Vec<String>,
    token: Token,
    leader: Option<Pid>,
}

impl Run<'_> {
    /// From now on a panic gives back what `token` holds, when the command `leader` is dead.
    pub(super) fn in_case_of_panic(&self, token: &Token, leader: Option<Pid>) {
        let settings = self.settings;
        let common = settings.common.clone();
        let keys = if settings.min_hold.is_zero() {
            let resources = settings.resources.iter();
            resources.map(|name| common.key_format.key(name)).collect()
        } else {
            Vec::new()
        };
        let token = token.clone();
        let remains = Remains {
            common,
            keys,
            token,
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
        if self.keys.is_empty() {
            return;
        }
        // What fails is left to expire; that there was a bug was told.
        let _ = by_hand::tell(async {
            let redlock = nodes::open(&self.common).await?;
            let token = self.token.as_str().as_bytes();
            for key in &self.keys {
                redlock
                    .release_by_hand(key, token, self.common.node_timeout)
                    .await;
            }
            Ok(())
        });
    }
}
