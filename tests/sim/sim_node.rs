//! A server as one client sees it. Keeps connections as `src/node/redis` does, and answers errors
//! where it would.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use redlock::node::links::{Creates, End, Link, Links};
use redlock::node::{
    Answer, Ballot, Entry, Extension, Node, NodeError, NodeName, Parting, Raised, Release, Vote,
};

use crate::network::{Command, Reply};
use crate::world::{sleep_until, with};

/// A server as one client sees it.
pub struct SimNode {
    name: NodeName,
    client: usize,
    server: usize,
    links: Links<usize>,
}

impl SimNode {
    /// `server`, as `client` sees it.
    pub fn new(client: usize, server: usize) -> Self {
        Self {
            name: NodeName(format!("server-{server}")),
            client,
            server,
            links: Links::default(),
        }
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
            let link = self.link().await?;
            self.links.sends(creates);
            let sent = with(|world| world.send(link.connection, command, Arc::clone(entry)));
            let answer = sent.await;
            let end = match answer {
                Ok(_) => End::Answered,
                Err(_) => End::Broken,
            };
            self.links.ended(&link, creates, end);
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

    async fn link(&self) -> Answer<Link<usize>> {
        if let Some(link) = self.links.open() {
            return Ok(link);
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
        Ok(self.links.opened(opened.ok_or_else(refused)?))
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
        self.links.begin();
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
        for old in self.links.take_owed() {
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
        self.links.may_hold_a_key()
    }

    fn is_in_touch(&self) -> bool {
        self.links.are_in_touch()
    }

    fn reconnect(&self) {
        self.links.give_up();
    }
}
