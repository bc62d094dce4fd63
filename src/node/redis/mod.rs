//! A Redis or Valkey server: the scripts beside this folder, sent over one connection.
//!
//! Nobody else uses the redis crate. Nothing here retries, and no answer is ever made up: what is
//! not clearly a vote is a [`NodeError`]. Called by `lock` through [`Node`].

pub mod acl;
mod blocking;
mod by_hand;
mod connection;
pub mod examine;
mod failure;
mod lookup;
mod password;
mod script;
mod stream;
mod tls;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use redis::{PushInfo, PushKind, Value};

use self::connection::{Connection, Connector};
use self::script::script;
use super::links::{Creates, End, Link, Links};
use super::parting::{HISTORY_DAYS, HISTORY_RUNS};
use super::{
    Answer, Ballot, Endpoint, Entry, Extension, Foreign, Node, NodeError, NodeName, Notice,
    Notices, Parting, Print, Raised, Release, TOKEN_LEN, Vote,
};
use crate::clock::whole_ms;

pub use self::connection::SetupError;

const ACQUIRE: &str = script!("server", "check", "counters", "listeners", "acquire");
const RAISE: &str = script!("check", "counters", "raise");
const EXTEND: &str = script!("server", "check", "counters", "extend");
const HEAL: &str = script!("check", "counters", "heal");
const RELEASE: &str = script!("listeners", "notify", "release");

/// One server, and the connection to it, which is opened by the first call that needs it.
pub struct RedisNode {
    name: NodeName,
    connector: Connector,
    links: Links<Connection>,
}

impl RedisNode {
    /// The node at `endpoint`. Opens no connection.
    ///
    /// # Errors
    ///
    /// If a TLS file cannot be read, or this build has no TLS and the endpoint wants it.
    pub fn new(endpoint: &Endpoint) -> Result<Self, SetupError> {
        Ok(Self {
            name: NodeName(endpoint.to_string()),
            connector: Connector::new(endpoint)?,
            links: Links::default(),
        })
    }

    /// Resolves the host's name, for the first connection and for comparing servers. Nothing at all
    /// is done for an IP address or a Unix socket.
    ///
    /// # Errors
    ///
    /// If the name has no address, or none was found within `limit`; the first call to this node
    /// then fails with the same, without asking again.
    pub async fn resolve(&self, limit: Duration) -> Answer<Vec<SocketAddr>> {
        self.connector.resolve(limit).await
    }

    /// Sends `command` over the open connection, or over a new one.
    async fn call<T: redis::FromRedisValue>(
        &self,
        command: redis::Cmd,
        creates: Creates,
        limit: Duration,
    ) -> Answer<T> {
        let exchange = async {
            let mut link = self.link(limit).await?;
            self.links.sends(creates);
            let reply = command.query_async::<T>(link.connection.line()).await;
            self.links.ended(&link, creates, end_of(&reply));
            self.connector.judged(reply).await
        };
        self.within(limit, exchange).await
    }

    /// What `exchange` comes to within `limit`: the one bound over connect and command, for no
    /// default of the library is in force.
    async fn within<T>(
        &self,
        limit: Duration,
        exchange: impl Future<Output = Answer<T>>,
    ) -> Answer<T> {
        tokio::time::timeout(limit, exchange)
            .await
            .unwrap_or_else(|_| Err(self.too_late(limit)))
    }

    /// Why there is no answer within `limit`. A port without TLS waits for more of a handshake.
    fn too_late(&self, limit: Duration) -> NodeError {
        if self.connector.waits_for_a_handshake() && self.links.open().is_none() {
            NodeError::NoHandshake(limit)
        } else {
            NodeError::TimedOut(limit)
        }
    }

    /// The present connection, or a new one.
    async fn link(&self, limit: Duration) -> Answer<Link<Connection>> {
        if let Some(link) = self.links.open() {
            return Ok(link);
        }
        Ok(self.links.opened(self.connector.connect(limit).await?))
    }

    /// Sends the release on the connections that were given up as well. Nobody waits for the
    /// answers: the one on the present connection counts.
    fn settle_debts(&self, command: &redis::Cmd, limit: Duration) {
        for mut old in self.links.take_owed() {
            let command = command.clone();
            tokio::spawn(async move {
                let release = command.query_async::<Vec<Vec<u8>>>(old.line());
                let _ = tokio::time::timeout(limit, release).await;
            });
        }
    }
}

impl Node for RedisNode {
    fn name(&self) -> &NodeName {
        &self.name
    }

    async fn acquire(&self, entry: Arc<Entry>, ballot: Ballot, limit: Duration) -> Answer<Vote> {
        self.links.begin();
        let mut command = eval(ACQUIRE, &entry.keys);
        command
            .arg(&entry.value)
            .arg(whole_ms(entry.ttl))
            .arg(ballot.unix_ms)
            .arg(mark(&entry))
            .arg(ballot.min_uptime.as_secs())
            .arg(whole_ms(entry.stay));
        let reply: Vec<Vec<u8>> = self.call(command, Creates::Keys, limit).await?;
        match &reply[..] {
            [word, fence, run_id] if word == b"granted" => Ok(Vote::Granted {
                fence: number(fence)?,
                run_id: run_id_of(run_id),
            }),
            [word, run_id] if word == b"twin" => Ok(Vote::Twin {
                run_id: run_id_of(run_id),
            }),
            [word, uptime_s, run_id] if word == b"young" => {
                let uptime = Duration::from_secs(number(uptime_s)?);
                Ok(Vote::Young {
                    uptime,
                    rest: ballot.min_uptime.saturating_sub(uptime),
                    run_id: run_id_of(run_id),
                })
            }
            _ => taken(&reply),
        }
    }

    async fn raise(&self, entry: Arc<Entry>, fence: u64, limit: Duration) -> Answer<Raised> {
        let mut command = eval(RAISE, &entry.keys);
        command
            .arg(mark(&entry))
            .arg(fence)
            .arg(whole_ms(entry.stay));
        let reply: Vec<Vec<u8>> = self.call(command, Creates::Nothing, limit).await?;
        match &reply[..] {
            [word, fence] if word == b"raised" => Ok(Raised::To(number(fence)?)),
            [word] if word == b"not ours" => Ok(Raised::NotOurs),
            _ => Err(unknown_reply()),
        }
    }

    async fn extend(&self, entry: Arc<Entry>, fence: u64, limit: Duration) -> Answer<Extension> {
        let mut command = eval(EXTEND, &entry.keys);
        command
            .arg(mark(&entry))
            .arg(fence)
            .arg(whole_ms(entry.ttl))
            .arg(whole_ms(entry.stay));
        let reply: Vec<Vec<u8>> = self.call(command, Creates::Nothing, limit).await?;
        extension(&reply)
    }

    async fn heal(&self, entry: Arc<Entry>, fence: u64, limit: Duration) -> Answer<Extension> {
        let mut command = eval(HEAL, &entry.keys);
        command
            .arg(mark(&entry))
            .arg(fence)
            .arg(whole_ms(entry.ttl))
            .arg(&entry.value)
            .arg(whole_ms(entry.stay));
        let reply: Vec<Vec<u8>> = self.call(command, Creates::Keys, limit).await?;
        extension(&reply)
    }

    async fn release(
        &self,
        entry: Arc<Entry>,
        parting: Arc<Parting>,
        limit: Duration,
    ) -> Answer<Release> {
        let command = release_command(&entry, &parting);
        self.settle_debts(&command, limit);
        let reply: Vec<Vec<u8>> = self.call(command, Creates::Nothing, limit).await?;
        match &reply[..] {
            [word, run_id] if word == b"released" => Ok(Release::Released {
                run_id: run_id_of(run_id),
            }),
            [word, _] if word == b"not ours" => Ok(Release::NotOurs),
            _ => Err(unknown_reply()),
        }
    }

    async fn listen(&self, keys: Arc<[String]>, limit: Duration) -> Answer<Notices> {
        let channels: Vec<String> = keys.iter().map(|key| channel(key)).collect();
        let listening = self.connector.listen(&channels, limit);
        let (connection, mut pushed) = tokio::time::timeout(limit, listening)
            .await
            .unwrap_or(Err(NodeError::TimedOut(limit)))?;
        Ok(Notices::from_task(|tell| async move {
            while let Some(push) = pushed.recv().await {
                match push.kind {
                    PushKind::Disconnection => break,
                    PushKind::Message if tell.send(notice(&push)).is_err() => break,
                    _ => {}
                }
            }
            // Held until here: without it the library closes the connection.
            drop(connection);
        }))
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

fn end_of<T>(reply: &redis::RedisResult<T>) -> End {
    match reply {
        Err(error) if error.is_unrecoverable_error() => End::Broken,
        _ => End::Answered,
    }
}

/// `EVAL` with `keys` and their fencing counters. Not `EVALSHA`: a server that has not seen the
/// script would cost three round trips instead of one.
fn eval(script: &str, keys: &[impl AsRef<[u8]>]) -> redis::Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(script).arg(2 * keys.len());
    for key in keys {
        command.arg(key.as_ref());
    }
    for key in keys {
        command.arg(fence_key(key.as_ref()));
    }
    command
}

/// Where the fencing counter of `key` stands, which may be any bytes. The braces keep both on one
/// node of a sharding proxy.
fn fence_key(key: &[u8]) -> Vec<u8> {
    [b"{", key, b"}:fence"].concat()
}

/// What our values begin with while they are held: the token and a blank.
fn mark(entry: &Entry) -> &[u8] {
    &entry.value[..=TOKEN_LEN]
}

/// Where the runs of `key` are listed; `release.lua` makes the same name, as a test makes sure.
fn history_key(key: &str) -> String {
    format!("{{{key}}}:history")
}

/// Where the release of `key` is told; the scripts make the same name, as a test makes sure.
fn channel(key: &str) -> String {
    format!("released:{key}")
}

fn release_command(entry: &Entry, parting: &Parting) -> redis::Cmd {
    let mut command = eval(RELEASE, &entry.keys);
    command.arg(mark(entry));
    match parting.marker_now() {
        Some((state, rest_ms)) => command.arg(&[state][..]).arg(rest_ms),
        None => command.arg("").arg(0),
    };
    command
        .arg(parting.run.as_deref().unwrap_or_default())
        .arg(HISTORY_RUNS)
        .arg(HISTORY_DAYS * 24 * 60 * 60 * 1000)
        .arg(if parting.quiet { "quiet" } else { "" });
    command
}

fn extension(reply: &[Vec<u8>]) -> Answer<Extension> {
    match reply {
        [word, run_id] if word == b"extended" => Ok(Extension::Extended {
            run_id: run_id_of(run_id),
        }),
        [word] if word == b"missing" => Ok(Extension::Missing),
        _ => Ok(Extension::Foreign(foreign(reply)?)),
    }
}

/// The vote of a node where the lock is somebody else's: the six words of every such answer, and
/// two more of `acquire.lua`.
fn taken(reply: &[Vec<u8>]) -> Answer<Vote> {
    let by = foreign(reply)?;
    let [_, _, _, _, _, _, run_id, listeners] = reply else {
        return Err(unknown_reply());
    };
    let listeners = number(listeners).unwrap_or_default();
    Ok(Vote::Taken {
        by,
        run_id: run_id_of(run_id),
        listeners: u32::try_from(listeners).unwrap_or(u32::MAX),
    })
}

fn foreign(reply: &[Vec<u8>]) -> Answer<Foreign> {
    let [word, key, kind, value, digest, pttl, ..] = reply else {
        return Err(unknown_reply());
    };
    if word != b"foreign" {
        return Err(unknown_reply());
    }
    Ok(Foreign {
        key: String::from_utf8_lossy(key).into_owned(),
        value: value.clone(),
        digest: String::from_utf8_lossy(digest).into_owned(),
        kind: String::from_utf8_lossy(kind).into_owned(),
        // -1: the key never expires.
        ttl: number(pttl).ok().map(Duration::from_millis),
    })
}

/// What a message says: a channel; how many listen to it, or nothing if the server did not tell; a
/// blank; and what a person has taken away.
fn notice(push: &PushInfo) -> Notice {
    let payload = push.data.last().and_then(|payload| match payload {
        Value::BulkString(text) => std::str::from_utf8(text).ok()?.split_once(' '),
        _ => None,
    });
    let (listeners, taken) = payload.unwrap_or_default();
    Notice {
        listeners: listeners.parse().unwrap_or(1).max(1),
        taken: Print::of_digest(taken),
    }
}

fn run_id_of(text: &[u8]) -> Option<String> {
    (!text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned())
}

fn number(text: &[u8]) -> Answer<u64> {
    let number = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok());
    number.ok_or_else(unknown_reply)
}

fn unknown_reply() -> NodeError {
    NodeError::Failed("answered something that no Redis would".to_owned())
}

#[cfg(test)]
mod tests;
