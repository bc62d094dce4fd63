//! The embedded node: the scripts beside this folder, done on files of one directory of this host.
//!
//! It excludes whoever uses the same directory on this host, and nobody else: a lock of another
//! boot is free, and a directory on a network file system does not connect hosts. `rules` says
//! what an operation does to records in memory, `store` brings them from the disk and back under
//! a lock among processes, `lasting` is what is kept over boots, `sweep` removes what is spent.
//!
//! No lock on a record is ever waited for, or held while something else is waited for: a
//! process that was stopped in the middle must not stop us, and every call ends within its
//! limit. `turn` is the only queue, and nobody needs it in order to get a lock. The files
//! themselves are read and written where we stand, without a thread: that takes less time than
//! starting one. So a disk that hangs hangs us; the job's deadline is kept by the guard
//! process. Called by `lock` through [`Node`].

mod by_hand;
pub mod examine;
mod files;
mod lasting;
mod record;
mod rules;
mod store;
mod sweep;
mod turn;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use self::files::StoreError;
use self::record::Record;
use self::rules::{Changes, Effect};
use self::store::Store;
use self::watch::Watcher;
use super::{
    Answer, Ballot, CLOCK_ERROR_MS, Entry, Extension, Node, NodeName, Notices, Parting, Raised,
    Release, Vote,
};
use crate::clock;

/// How often a lock that is taken is tried again at once, letting others run in between: it is
/// nearly always held for less time than the shortest sleep takes.
const QUICK_TRIES: u32 = 4;

/// The shortest sleep before it is tried again after that; up to as much is added by chance.
const PAUSE: Duration = Duration::from_millis(1);

/// A directory of this host. It is created for this user alone if it is missing. What is created in
/// it can be used by all who can use the directory: they exclude one another.
pub struct LocalNode {
    name: NodeName,
    store: Store,
    may_hold_a_key: AtomicBool,
}

impl LocalNode {
    /// The node in `directory`. Touches nothing yet.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self::over(
            NodeName(directory.display().to_string()),
            Store::new(directory),
        )
    }

    /// Whether the directory can be used; it is created if it is missing.
    ///
    /// # Errors
    ///
    /// If it is no directory, or not ours to write to. The text names it and says what to do.
    pub fn check(&self) -> Answer<()> {
        self.store.check().map_err(|error| error.to_node_error())
    }

    /// Whether the directory can be used if there is one. Where there is none, nothing is locked.
    ///
    /// # Errors
    ///
    /// As [`LocalNode::check`].
    pub fn check_if_there(&self) -> Answer<()> {
        let usable = self.store.check_if_there();
        usable.map_err(|error| error.to_node_error())
    }

    fn over(name: NodeName, store: Store) -> Self {
        Self {
            name,
            store,
            may_hold_a_key: AtomicBool::new(false),
        }
    }

    /// Does `operation` on the records of `keys`, as soon as nobody else is at them.
    async fn call<T>(
        &self,
        keys: &[String],
        limit: Duration,
        operation: impl Fn(&mut [Record], Duration) -> Effect<T>,
    ) -> Answer<T> {
        self.call_telling(keys, limit, operation, None).await
    }

    /// The same, and tells the history of a `run` in the end.
    async fn call_telling<T>(
        &self,
        keys: &[String],
        limit: Duration,
        operation: impl Fn(&mut [Record], Duration) -> Effect<T>,
        run: Option<&str>,
    ) -> Answer<T> {
        let attempt = || self.apply(keys, &operation, run);
        let mut answer = attempt();
        for _ in 1..QUICK_TRIES {
            if !matches!(answer, Err(StoreError::Busy(_))) {
                break;
            }
            std::thread::yield_now();
            answer = attempt();
        }
        let tries = async {
            while let Err(StoreError::Busy(_)) = answer {
                let pause = PAUSE.mul_f64(1.0 + fastrand::f64());
                tokio::time::sleep(pause).await;
                answer = attempt();
            }
        };
        // An answer that is still busy after the limit names who is in the way.
        let _ = tokio::time::timeout(limit, tries).await;
        answer.map_err(|error| error.to_node_error())
    }

    fn apply<T>(
        &self,
        keys: &[String],
        operation: impl Fn(&mut [Record], Duration) -> Effect<T>,
        run: Option<&str>,
    ) -> Result<T, StoreError> {
        let mut session = self.store.open(keys)?;
        // Read under the lock: what was before us is in the past.
        let now = clock::host_uptime();
        let mut records = session.load(keys, now)?;
        let outcome = operation(&mut records, now);
        match outcome.changes {
            Changes::Nothing => {}
            Changes::All => {
                self.may_hold_a_key.store(true, Ordering::Relaxed);
                session.save(&mut records)?;
            }
            Changes::Freed(freed) => session.free(&records, &freed)?,
            Changes::Marked(marked) => session.mark(&mut records, &marked, now)?,
        }
        if let Some(run) = run {
            session.remember(run);
        }
        Ok(outcome.answer)
    }
}

impl Node for LocalNode {
    fn name(&self) -> &NodeName {
        &self.name
    }

    async fn acquire(&self, entry: Arc<Entry>, ballot: Ballot, limit: Duration) -> Answer<Vote> {
        self.may_hold_a_key.store(false, Ordering::Relaxed);
        // Its age is never asked: what must outlive a restart of the host is on its disk.
        let now_ms = clock::unix_ms();
        let earliest = now_ms.saturating_sub(CLOCK_ERROR_MS);
        let floor = ballot.unix_ms.clamp(earliest, now_ms + CLOCK_ERROR_MS);
        self.call(&entry.keys, limit, |records, now| {
            rules::acquire(records, &entry, floor, now)
        })
        .await
    }

    async fn raise(&self, entry: Arc<Entry>, fence: u64, limit: Duration) -> Answer<Raised> {
        self.call(&entry.keys, limit, |records, now| {
            rules::raise(records, &entry, fence, now)
        })
        .await
    }

    async fn extend(&self, entry: Arc<Entry>, fence: u64, limit: Duration) -> Answer<Extension> {
        self.call(&entry.keys, limit, |records, now| {
            rules::extend(records, &entry, fence, now)
        })
        .await
    }

    async fn heal(&self, entry: Arc<Entry>, fence: u64, limit: Duration) -> Answer<Extension> {
        self.call(&entry.keys, limit, |records, now| {
            rules::heal(records, &entry, fence, now)
        })
        .await
    }

    async fn release(
        &self,
        entry: Arc<Entry>,
        parting: Arc<Parting>,
        limit: Duration,
    ) -> Answer<Release> {
        let release = |records: &mut [Record], now| {
            rules::release(records, &entry, parting.marker_now(), now)
        };
        self.call_telling(&entry.keys, limit, release, parting.run.as_deref())
            .await
    }

    async fn listen(&self, keys: Arc<[String]>, _limit: Duration) -> Answer<Notices> {
        let watcher = if self.may_hold_a_key() {
            Watcher::Holds
        } else {
            Watcher::Waits
        };
        let watch = self.store.watch(&keys, watcher);
        watch.map_err(|error| error.to_node_error())
    }

    fn may_hold_a_key(&self) -> bool {
        self.may_hold_a_key.load(Ordering::Relaxed)
    }

    fn is_in_touch(&self) -> bool {
        true
    }

    /// Nothing to do: every call opens its files anew.
    fn reconnect(&self) {}
}

#[cfg(test)]
mod tests;
