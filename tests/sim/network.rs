//! Messages between clients and servers: late, lost before or after they were applied, doubled, in
//! order within a connection and in no order otherwise.

use std::collections::VecDeque;
use std::sync::Arc;

use redlock::node::{Ballot, Entry, Extension, Raised, Release, Vote};
use tokio::sync::oneshot;

use crate::world::{World, sleep_until, with};

/// What is asked of a server.
#[derive(Clone, Debug)]
pub enum Command {
    Acquire(Ballot),
    Raise(u64),
    Extend(u64),
    Heal(u64),
    Release,
    Delete,
}

/// What a server answers.
#[derive(Debug)]
pub enum Reply {
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
    /// How long the next message takes, one way.
    pub fn latency_us(&mut self) -> u64 {
        let weather = self.plan.weather;
        let most = if self.chance(weather.tail) {
            weather.tail_us
        } else {
            weather.latency_us
        };
        self.rng.u64(0..=most)
    }

    /// Opens a connection, if the server is up.
    pub fn connect(&mut self, client: usize, server: usize) -> Option<usize> {
        let host = &self.servers[server].server;
        let run = host.is_up.then_some(host.run)?;
        self.connections.push(Connection {
            client,
            server,
            run,
            line: Line::Open,
            queue: VecDeque::new(),
            last_arrival_us: 0,
            silent: Vec::new(),
        });
        Some(self.connections.len() - 1)
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
    pub fn send(&mut self, connection: usize, command: Command, entry: Arc<Entry>) -> Answered {
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
            Command::Extend(fence) => Reply::Extension(server.extend(index, entry, fence, now)),
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

/// Where the reply arrives, or that there will be none.
pub type Answered = oneshot::Receiver<Reply>;

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
