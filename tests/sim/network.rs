//! Messages between clients and servers: late, lost before or after they were applied, doubled, in
//! order within a connection and in no order otherwise.
//!
//! [`SimNode`] keeps connections as `src/node/redis` does, and answers errors where it would.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use redlock::node::{
    Answer, Ballot, Entry, Extension, Node, NodeError, NodeName, Parting, Raised, Release, Vote,
};
use tokio::sync::oneshot;

use crate::world::{World, sleep_until, with};

/// What is asked of a server.
#[derive(Clone, Debug)]
enum Command {
    Acquire(Ballot),
    Raise(u64),
    Extend(u64),
    Heal(u64),
    Release,
    Delete,
}

/// What a server answers.
#[derive(Debug)]
enum Reply {
    Vote(Vote),
    Raised(Raised),
    Extension(Extension),
    Release(Release),
}

/// A command on its way.
struct Message {
    command: Command,
    entry: Arc<Entry>,
    reply: oneshot::Sender<Reply>,
}

/// A connection, which keeps the order of what is sent over it.
pub struct Connection {
    client: usize,
    server: usize,
    /// Which run of the server it leads to.
    run: u64,
    line: Line,
    queue: VecDeque<Message>,
    last_arrival_us: u64,
    /// Where an answer is awaited that will never come.
    silent: Vec<oneshot::Sender<Reply>>,
}

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Open,
    /// Nothing gets through any more, and nobody is told.
    Silent,
    /// Closed by the other side.
    Reset,
}

impl World {
    fn latency_us(&mut self) -> u64 {
        let weather = self.plan.weather;
        let most = if self.chance(weather.tail) {
            weather.tail_us
        } else {
            weather.latency_us
        };
        self.rng.u64(0..=most)
    }

    /// Breaks a connection, in one of the two ways a connection breaks.
    fn break_line(&mut self, connection: usize) {
        let line = if self.rng.bool() {
            Line::Silent
        } else {
            Line::Reset
        };
        self.connections[connection].line = line;
    }

    /// Gives up an answer on a broken connection.
    fn give_up(&mut self, connection: usize, reply: oneshot::Sender<Reply>) {
        let connection = &mut self.connections[connection];
        if connection.line != Line::Reset {
            connection.silent.push(reply);
        }
    }

    /// Puts a command on its way.
    fn send(&mut self, connection: usize, command: Command, entry: Arc<Entry>) -> Answered {
        let (reply, answer) = oneshot::channel();
        let now = self.now_us();
        let mut arrival = now + self.latency_us();
        let Connection { client, server, .. } = self.connections[connection];
        let blocked_until = self.blocked_until_us[client][server];
        let lost = if blocked_until > now {
            // Either it is sent again until it gets through, or the connection is given up.
            arrival += blocked_until - now;
            self.rng.bool()
        } else {
            self.chance(self.plan.weather.lost)
        };
        if lost && self.connections[connection].line == Line::Open {
            self.break_line(connection);
        }
        if self.connections[connection].line != Line::Open {
            self.give_up(connection, reply);
            return answer;
        }
        let line = &mut self.connections[connection];
        line.last_arrival_us = line.last_arrival_us.max(arrival);
        let arrival = line.last_arrival_us;
        line.queue.push_back(Message {
            command,
            entry,
            reply,
        });
        tokio::spawn(arrive(connection, arrival));
        answer
    }

    /// Lets the server do what the first message asks. Answers when the reply arrives, if it does.
    fn deliver(&mut self, connection: usize) -> Option<(oneshot::Sender<Reply>, Reply, u64)> {
        let Connection {
            client,
            server,
            run,
            ..
        } = self.connections[connection];
        let message = self.connections[connection].queue.pop_front()?;
        let host = &self.servers[server].server;
        if !host.is_up || host.run != run {
            self.connections[connection].line = Line::Reset;
        }
        if self.connections[connection].line != Line::Open {
            self.give_up(connection, message.reply);
            return None;
        }
        let reply = self.apply(client, server, &message.command, &message.entry);
        if self.chance(self.plan.weather.doubled) {
            let again = self.now_us() + self.latency_us() + self.latency_us();
            let (command, entry) = (message.command, message.entry);
            tokio::spawn(async move {
                sleep_until(again).await;
                with(|world| {
                    let host = &world.servers[server].server;
                    if host.is_up && host.run == run {
                        world.apply(client, server, &command, &entry);
                    }
                });
            });
        }
        let now = self.now_us();
        let blocked = self.blocked_until_us[client][server] > now;
        if blocked || self.chance(self.plan.weather.lost) {
            self.break_line(connection);
            self.give_up(connection, message.reply);
            return None;
        }
        Some((message.reply, reply, now + self.latency_us()))
    }

    fn apply(
        &mut self,
        client: usize,
        index: usize,
        command: &Command,
        entry: &Arc<Entry>,
    ) -> Reply {
        let true_us = self.now_us();
        let host = &mut self.servers[index];
        let now = host.now_ms(true_us);
        let server = &mut host.server;
        let reply = match *command {
            Command::Acquire(ballot) => Reply::Vote(server.acquire(index, entry, ballot, now)),
            Command::Raise(fence) => Reply::Raised(server.raise(entry, fence, now)),
            Command::Extend(fence) => Reply::Extension(server.extend(entry, fence, now)),
            Command::Heal(fence) => Reply::Extension(server.heal(entry, fence, now)),
            Command::Release => Reply::Release(server.release(entry, now)),
            Command::Delete => Reply::Release(server.delete(entry, now)),
        };
        self.note(|| {
            format!(
                "client {client}, server {index}: {command:?} -> {}",
                short(&reply)
            )
        });
        reply
    }
}

/// A reply without the values in it.
fn short(reply: &Reply) -> String {
    match reply {
        Reply::Vote(Vote::Taken { by, .. }) | Reply::Extension(Extension::Foreign(by)) => {
            format!("taken for {:?}", by.ttl)
        }
        other => format!("{other:?}"),
    }
}

type Answered = oneshot::Receiver<Reply>;

/// The way of one message to its server and back.
async fn arrive(connection: usize, arrival_us: u64) {
    sleep_until(arrival_us).await;
    // A stopped server has its messages wait in its socket.
    loop {
        let stopped = with(|world| {
            let server = world.connections[connection].server;
            let until = world.servers[server].stopped_until_us;
            (until > world.now_us()).then_some(until)
        });
        match stopped {
            Some(until) => sleep_until(until).await,
            None => break,
        }
    }
    if let Some((sender, reply, back_us)) = with(|world| world.deliver(connection)) {
        sleep_until(back_us).await;
        // Nobody may wait for it any more.
        let _ = sender.send(reply);
    }
}

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
        // A stopped process sees its answers and its time limits when it is continued, in this order.
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
        let opened = with(|world| {
            let host = &world.servers[self.server].server;
            host.is_up.then_some(host.run).map(|run| {
                world.connections.push(Connection {
                    client: self.client,
                    server: self.server,
                    run,
                    line: Line::Open,
                    queue: VecDeque::new(),
                    last_arrival_us: 0,
                    silent: Vec::new(),
                });
                world.connections.len() - 1
            })
        });
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

    async fn release(
        &self,
        entry: Arc<Entry>,
        parting: Arc<Parting>,
        limit: Duration,
    ) -> Answer<Release> {
        // What a marker does to others is what a holder does, and is not simulated.
        assert_eq!(*parting, Parting::default());
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

    fn reconnect(&self) {
        let mut slot = self.slot();
        let old = slot.open.take();
        if std::mem::take(&mut slot.unanswered) && slot.owed.len() < 4 {
            slot.owed.extend(old);
        }
    }
}
