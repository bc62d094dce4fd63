//! The fencing rounds, checked exhaustively: every order of requests, replies, expiries, and one
//! loss of a server's data, for three servers and two clients that others may meddle with.
//!
//! What replies mean is asked of the real `quorum`; what the scripts do is a few lines here. A lock
//! may expire at any time, also under a client that does not know it yet: that the holder's
//! validity has ended by then is another matter (I1), and Invariant I2 must not depend on it. A
//! reply that is lost or late is one that the client decides without; a request that is late is
//! applied when nobody waits for it any more. Two clients are enough, since whatever is wrong is
//! wrong between two: a third can only take locks and raise counters, which is what "meddling" is.
//!
//! The servers of a counter-example are numbered afresh after each event, since states that differ
//! in the order of the servers only are visited once.

mod checks;
mod rules;

use self::rules::{Rule, decide};

/// How many servers.
const SERVERS: usize = 3;

/// How many clients.
const CLIENTS: usize = 2;

/// A counter: small, since millions of states are kept.
type Number = u8;

/// The owner of a lock whose client asks nothing of that server any more, or is none of the two
/// that are looked at.
const GONE: u8 = u8::MAX;

/// One server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Server {
    owner: Option<u8>,
    fence: Number,
}

/// How far a client has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Phase {
    Idle,
    Voting,
    Raising {
        target: Number,
        granting: [bool; SERVERS],
        round: u8,
    },
    Holds(Number),
}

/// One client, which makes one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Client {
    phase: Phase,
    /// What the servers answered in this phase; the client may know some of it.
    replies: [Option<Reply>; SERVERS],
    /// Where its request for a vote has arrived.
    asked: [bool; SERVERS],
    /// The largest token that anybody held when it began: its own must be larger.
    above: Number,
}

/// An answer, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Reply {
    Number(Number),
    No,
}

/// Everything there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct State {
    servers: [Server; SERVERS],
    clients: [Client; CLIENTS],
    losses_left: u8,
    doubles_left: u8,
    meddles_left: u8,
}

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Begins(usize),
    /// A request of this client arrives at this server.
    Arrives(usize, usize),
    /// The client decides by the replies of these servers, the only ones it has heard.
    Decides(usize, [bool; SERVERS]),
    Expires(usize),
    /// The server loses its data. It does not vote until its clock is beyond every number that was
    /// given out before, so that is what its counter begins with.
    LosesData(usize),
    /// A request for a vote that arrived arrives once more.
    Doubles(usize, usize),
    /// Any other client takes the lock on this server, or raises the counter of what it took there.
    Meddles(usize),
}

/// How many accidents of each kind may happen.
#[derive(Clone, Copy, Debug, Default)]
struct Accidents {
    losses: u8,
    doubles: u8,
    meddles: u8,
}

/// All subsets of the servers.
fn subsets() -> impl Iterator<Item = [bool; SERVERS]> {
    (0..1 << SERVERS).map(|bits: u32| std::array::from_fn(|server| bits >> server & 1 == 1))
}

impl State {
    fn begin(accidents: Accidents, fences: [Number; SERVERS]) -> Self {
        let server = |fence| Server { owner: None, fence };
        let client = Client {
            phase: Phase::Idle,
            replies: [None; SERVERS],
            asked: [false; SERVERS],
            above: 0,
        };
        Self {
            servers: fences.map(server),
            clients: [client; CLIENTS],
            losses_left: accidents.losses,
            doubles_left: accidents.doubles,
            meddles_left: accidents.meddles,
        }
    }

    /// The tokens that were ever held.
    fn tokens(&self) -> impl Iterator<Item = Number> {
        self.clients.iter().filter_map(|client| match client.phase {
            Phase::Holds(token) => Some(token),
            _ => None,
        })
    }

    /// The largest number that was given out and is still known to anybody.
    fn largest(&self) -> Number {
        let servers = self.servers.iter().map(|server| server.fence);
        let numbers = |client: &Client| {
            let replies = client.replies.into_iter().map(|reply| match reply {
                Some(Reply::Number(fence)) => fence,
                _ => 0,
            });
            let target = match client.phase {
                Phase::Raising { target, .. } => target,
                _ => 0,
            };
            replies.max().unwrap_or(0).max(target)
        };
        let clients = self.clients.iter().map(numbers);
        servers
            .chain(clients)
            .chain(self.tokens())
            .max()
            .unwrap_or(0)
    }

    /// The same state in the one form that all states have that differ in names only, or in what
    /// nobody will ever look at: servers in order, and no owners that do not come back.
    fn canonical(mut self) -> Self {
        for (index, client) in self.clients.iter_mut().enumerate() {
            if matches!(client.phase, Phase::Holds(_)) {
                client.replies = [None; SERVERS];
            }
            if matches!(client.phase, Phase::Holds(_)) && self.doubles_left == 0 {
                for server in &mut self.servers {
                    if server.owner == Some(id(index)) {
                        server.owner = Some(GONE);
                    }
                }
            }
        }
        let mut order: [usize; SERVERS] = std::array::from_fn(|index| index);
        order.sort_by_key(|&index| {
            let of_client = |client: &Client| {
                let granting = match client.phase {
                    Phase::Raising { granting, .. } => granting[index],
                    _ => false,
                };
                (client.replies[index], client.asked[index], granting)
            };
            let clients: Vec<_> = self.clients.iter().map(of_client).collect();
            (self.servers[index], clients)
        });
        self.servers = order.map(|index| self.servers[index]);
        for client in &mut self.clients {
            client.replies = order.map(|index| client.replies[index]);
            client.asked = order.map(|index| client.asked[index]);
            if let Phase::Raising { granting, .. } = &mut client.phase {
                *granting = order.map(|index| granting[index]);
            }
        }
        self
    }

    /// What is wrong with it, if anything is. Invariant I2.
    fn violation(&self) -> Option<&'static str> {
        let tokens: Vec<Number> = self.tokens().collect();
        if (1..tokens.len()).any(|index| tokens[..index].contains(&tokens[index])) {
            return Some("two holders have the same token");
        }
        let grows = |client: &Client| match client.phase {
            Phase::Holds(token) => token > client.above,
            _ => true,
        };
        (!self.clients.iter().all(grows)).then_some("a later holder has a smaller token")
    }

    fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for (index, client) in self.clients.iter().enumerate() {
            if client.phase == Phase::Idle {
                // Clients are alike: they begin in their order.
                if index == 0 || self.clients[index - 1].phase != Phase::Idle {
                    events.push(Event::Begins(index));
                }
                continue;
            }
            for server in 0..SERVERS {
                if client.may_raise(server) || !client.asked[server] {
                    events.push(Event::Arrives(index, server));
                }
                if client.asked[server] && self.doubles_left > 0 {
                    events.push(Event::Doubles(index, server));
                }
            }
            if matches!(client.phase, Phase::Voting | Phase::Raising { .. }) {
                let numbers = |heard: &[bool; SERVERS]| {
                    (0..SERVERS).all(|server| !heard[server] || client.replies[server].is_some())
                };
                events.extend(
                    subsets()
                        .filter(numbers)
                        .map(|heard| Event::Decides(index, heard)),
                );
            }
        }
        for (server, state) in self.servers.iter().enumerate() {
            if state.owner.is_some() {
                events.push(Event::Expires(server));
            }
            if self.meddles_left > 0 && state.owner.is_none_or(|owner| owner == GONE) {
                events.push(Event::Meddles(server));
            }
            if self.losses_left > 0 {
                events.push(Event::LosesData(server));
            }
        }
        events
    }

    /// The state after `event`, or `None` if it changes nothing.
    fn after(&self, event: Event, rule: Rule) -> Option<Self> {
        let mut next = *self;
        match event {
            Event::Begins(client) => {
                next.clients[client].phase = Phase::Voting;
                next.clients[client].above = self.tokens().max().unwrap_or(0);
            }
            Event::Arrives(client, server) => next.arrive(client, server, rule),
            Event::Decides(client, heard) => {
                let me = &mut next.clients[client];
                me.phase = decide(me, heard, rule)?;
                me.replies = [None; SERVERS];
            }
            Event::Expires(server) => next.servers[server].owner = None,
            Event::LosesData(server) => {
                next.losses_left -= 1;
                next.servers[server] = Server {
                    owner: None,
                    fence: self.largest(),
                };
            }
            Event::Meddles(server) => {
                next.meddles_left -= 1;
                let largest = self.largest();
                let server = &mut next.servers[server];
                if server.owner.is_none() {
                    server.owner = Some(GONE);
                    server.fence += 1;
                } else {
                    server.fence = largest;
                }
            }
            Event::Doubles(client, server) => {
                next.doubles_left -= 1;
                next.vote(client, server);
            }
        }
        Some(next.canonical())
    }

    /// A request arrives: `acquire.lua`, or `raise.lua` if the client has got that far with this
    /// server.
    fn arrive(&mut self, index: usize, server_index: usize, rule: Rule) {
        let client = self.clients[index];
        let reply = match client.phase {
            Phase::Raising { target, .. } if client.may_raise(server_index) => {
                let server = &mut self.servers[server_index];
                if server.owner == Some(id(index)) || rule == Rule::NoOwnership {
                    server.fence = server.fence.max(target);
                    Reply::Number(server.fence)
                } else {
                    Reply::No
                }
            }
            phase => {
                self.clients[index].asked[server_index] = true;
                let vote = self.vote(index, server_index);
                // Nobody waits for it any more, or it says nothing.
                match vote {
                    Some(fence) if phase == Phase::Voting => Reply::Number(fence),
                    _ => return,
                }
            }
        };
        self.clients[index].replies[server_index] = Some(reply);
    }

    /// `acquire.lua`: the number that is granted, if it is.
    fn vote(&mut self, index: usize, server: usize) -> Option<Number> {
        let server = &mut self.servers[server];
        if server.owner.is_some_and(|owner| owner != id(index)) {
            return None;
        }
        server.owner = Some(id(index));
        server.fence += 1;
        Some(server.fence)
    }
}

impl Client {
    /// Whether it may ask this server to raise its counter.
    fn may_raise(&self, server: usize) -> bool {
        let granting = matches!(self.phase, Phase::Raising { granting, .. } if granting[server]);
        granting && self.replies[server].is_none()
    }
}

/// How a client is called on the servers.
fn id(client: usize) -> u8 {
    u8::try_from(client).expect("a few clients")
}
