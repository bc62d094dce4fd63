//! A server as one client sees it. Keeps connections as `src/node/redis` does, and answers errors
//! where it would.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use redlock::node::{
    Answer, Ballot, Entry, Extension, Node, NodeError, NodeName, Parting, Raised, Release, Vote,
};

use crate::network::{Command, Reply};
use crate::world::{sleep_until, with};

/// Whether a command can create a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Creates {
    Keys,
    Nothing,
}

/// A server as one client sees it.
pub struct SimNode {
    name: NodeName,
    client: usize,
    server: usize,
    slot: Mutex<Slot>,
    may_hold_a_key: AtomicBool,
}

/// The connections of one node, as in `src/node/redis`.
#[derive(Default)]
struct Slot {
    open: Option<usize>,
    unanswered: bool,
    owed: Vec<usize>,
}

impl SimNode {
    /// `server`, as `client` sees it.
    pub fn new(client: usize, server: usize) -> Self {
        Self {
            name: NodeName(format!("server-{server}")),
            client,
            server,
            slot: Mutex::default(),
            may_hold_a_key: AtomicBool::new(false),
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().expect("nobody panics with it")
    }

    async fn call(
        &self,
        command: Command,
        entry: &Arc<Entry>,
        creates: Creates,
        limit: Duration,
    ) -> Answer<Reply> {
        // A stopped process sends nothing.
        self.thaw().await;
        let exchange = async {
            let connection = self.connection().await?;
            if creates == Creates::Keys {
                self.may_hold_a_key.store(true, Ordering::Relaxed);
                self.slot().unanswered = true;
            }
            let answer = with(|world| world.send(connection, command, Arc::clone(entry))).await;
            let mut slot = self.slot();
            if answer.is_err() {
                slot.open = None;
                slot.unanswered = false;
            } else if creates == Creates::Keys {
                slot.unanswered = false;
            }
            answer.map_err(|_| NodeError::Unreachable("connection reset".to_owned()))
        };
        let mut exchange = pin!(exchange);
        if let Ok(answer) = tokio::time::timeout(limit, exchange.as_mut()).await {
            self.thaw().await;
            return answer;
        }
        // A stopped process sees its answers and its time limits when it is continued, in this
        // order.
        self.thaw().await;
        tokio::select! {
            biased;
            answer = exchange => answer,
            () = std::future::ready(()) => Err(NodeError::TimedOut(limit)),
        }
    }

    /// Waits until the client's process is running.
    fn thaw(&self) -> impl Future<Output = ()> + use<> {
        let client = self.client;
        async move { sleep_until(with(|world| world.hosts[client].stopped_until_us)).await }
    }

    async fn connection(&self) -> Answer<usize> {
        if let Some(open) = self.slot().open {
            return Ok(open);
        }
        let round_trip_us = with(|world| world.latency_us() + world.latency_us());
        sleep_until(with(|world| world.now_us()) + round_trip_us).await;
        let blocked =
            with(|world| world.blocked_until_us[self.client][self.server] > world.now_us());
        if blocked {
            return std::future::pending().await;
        }
        let opened = with(|world| world.connect(self.client, self.server));
        let refused = || NodeError::Unreachable("connection refused".to_owned());
        let opened = opened.ok_or_else(refused)?;
        self.slot().open = Some(opened);
        Ok(opened)
    }

    /// A bare `DEL`: known to be bad.
    pub async fn delete(&self, entry: Arc<Entry>, limit: Duration) -> Answer<Release> {
        match self
            .call(Command::Delete, &entry, Creates::Nothing, limit)
            .await?
        {
            Reply::Release(release) => Ok(release),
            other => unreachable!("{other:?}"),
        }
    }
}

impl Node for SimNode {
    fn name(&self) -> &NodeName {
        &self.name
    }

    async fn acquire(&self, entry: Arc<Entry>, ballot: Ballot, limit: Duration) -> Answer<Vote> {
        self.may_hold_a_key.store(false, Ordering::Relaxed);
        let command = Command::Acquire(ballot);
        match self.call(command, &entry, Creates::Keys, limit).await? {
            Reply::Vote(vote) => Ok(vote),
            other => unreachable!("{other:?}"),
        }
    }

    async fn raise(&self, entry: Arc<Entry>, fence: u64, limit: Duration) -> Answer<Raised> {
        let command = Command::Raise(fence);
        match self.call(command, &entry, Creates::Nothing, limit).await? {
            Reply::Raised(raised) => Ok(raised),
            other => unreachable!("{other:?}"),
        }
    }

    async fn extend(&self, entry: Arc<Entry>, fence: u64, limit: Duration) -> Answer<Extension> {
        let command = Command::Extend(fence);
        match self.call(command, &entry, Creates::Nothing, limit).await? {
            Reply::Extension(extension) => Ok(extension),
            other => unreachable!("{other:?}"),
        }
    }

    async fn heal(&self, entry: Arc<Entry>, fence: u64, limit: Duration) -> Answer<Extension> {
        let command = Command::Heal(fence);
        match self.call(command, &entry, Creates::Keys, limit).await? {
            Reply::Extension(extension) => Ok(extension),
            other => unreachable!("{other:?}"),
        }
    }

    /// No client leaves a marker: it would be one more holder that nobody extends.
    async fn release(
        &self,
        entry: Arc<Entry>,
        _: Arc<Parting>,
        limit: Duration,
    ) -> Answer<Release> {
        for old in std::mem::take(&mut self.slot().owed) {
            // Nobody waits for the answer.
            drop(with(|world| {
                world.send(old, Command::Release, Arc::clone(&entry))
            }));
        }
        let command = Command::Release;
        match self.call(command, &entry, Creates::Nothing, limit).await? {
            Reply::Release(release) => Ok(release),
            other => unreachable!("{other:?}"),
        }
    }

    fn may_hold_a_key(&self) -> bool {
        self.may_hold_a_key.load(Ordering::Relaxed)
    }

    fn is_in_touch(&self) -> bool {
        let slot = self.slot();
        slot.open.is_some() && !slot.unanswered
    }

    fn reconnect(&self) {
        let mut slot = self.slot();
        let old = slot.open.take();
        if std::mem::take(&mut slot.unanswered) && slot.owed.len() < 4 {
            slot.owed.extend(old);
        }
    }
}
