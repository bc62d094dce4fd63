//! Everything that can be learned about a server without doing harm: raw facts, no opinion.
//!
//! What the facts mean for a lock is said in `lock::fitness`. Commands that a server refuses leave
//! their facts unknown; only a server that cannot be asked at all is a failure. Called by
//! `commands`.

use std::collections::HashMap;
use std::time::Duration;

use super::acl::{self, RIGHTS, Right, Trial};
use super::connection::Connection;
use super::{RedisNode, failure};
use crate::clock;
use crate::node::Answer;

const PROBE: &str = include_str!("../probe.lua");

/// How often the clock is asked, and the round trip measured.
const SAMPLES: usize = 7;

/// What a server says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examination {
    /// From nothing to the first answer: what a first attempt has to wait for.
    pub first: Duration,
    /// Later round trips, the shortest first; at least one.
    pub trips: Vec<Duration>,
    /// How far the server's clock is ahead of ours, in milliseconds, as far as the shortest round
    /// trip can tell; `None` where `TIME` is forbidden.
    pub clock_offset_ms: Option<i64>,
    /// `None` where `INFO` is forbidden.
    pub info: Option<Info>,
    /// `None` where `CONFIG GET` is forbidden.
    pub config: Option<Config>,
    /// Each right that was tried, and what came of it.
    pub rights: Vec<(&'static Right, Answer<()>)>,
}

impl Examination {
    /// How long a round trip takes as a rule.
    #[must_use]
    pub fn median_trip(&self) -> Option<Duration> {
        self.trips.get(self.trips.len() / 2).copied()
    }
}

/// What `INFO` says, as far as it matters to a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// `redis` or `valkey`.
    pub software: String,
    /// Its version, as in `7.2.4`.
    pub version: String,
    /// `standalone`, `cluster` or `sentinel`; empty if the server does not say.
    pub mode: String,
    /// Which run of which server this is.
    pub run_id: String,
    /// For how long it has been up, in whole seconds.
    pub uptime: Duration,
    /// Whether it reads its data from disk and does nothing else yet.
    pub is_loading: bool,
    /// Whether it is a copy of another server.
    pub role: Role,
    /// Names a history of data: a server and its copies have the same.
    pub replication_id: String,
    /// How many copies are connected.
    pub replicas: u64,
    /// The bound on memory in bytes; 0 is none.
    pub maxmemory: u64,
    /// The memory in use, in bytes.
    pub used_memory: u64,
    /// What happens at the bound, as in `noeviction`.
    pub maxmemory_policy: String,
    /// Whether every write is logged on disk.
    pub appends: bool,
}

/// Whose data a server keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Its own.
    #[default]
    Primary,
    /// A copy of those of the server that is named, and it takes no writes.
    Replica(String),
    /// The same, but it takes writes, which vanish with the next copy.
    WritableReplica(String),
}

/// What `CONFIG GET` says about the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// When the log reaches the disk: `always`, `everysec`, `no`.
    pub appendfsync: String,
    /// When snapshots are taken; empty if never.
    pub save: String,
}

impl RedisNode {
    /// Examines the server; what is tried is tried on `key`, which nobody else may use.
    ///
    /// # Errors
    ///
    /// If no connection can be opened, it is not let in, or not all answers are there within
    /// `limit`.
    pub async fn examine(&self, key: &str, limit: Duration) -> Answer<Examination> {
        self.within(limit, self.ask_all(key, limit)).await
    }

    async fn ask_all(&self, key: &str, limit: Duration) -> Answer<Examination> {
        let began = clock::now();
        let mut connection = self.link(limit).await?.connection;
        let mut sample = self.sample(&mut connection).await?;
        let first = clock::now().since(began);
        let (mut trips, mut offset) = (Vec::with_capacity(SAMPLES), None);
        for _ in 0..SAMPLES {
            sample = self.sample(&mut connection).await?;
            if trips.iter().all(|trip| sample.trip < *trip) {
                offset = sample.clock_offset_ms;
            }
            trips.push(sample.trip);
        }
        trips.sort_unstable();
        Ok(Examination {
            first,
            trips,
            clock_offset_ms: offset.or(sample.clock_offset_ms),
            info: self.info(&mut connection).await?,
            config: self.config(&mut connection).await?,
            rights: self.try_rights(&mut connection, key, limit).await?,
        })
    }

    /// Asks the time once. An answer that forbids it is still a round trip.
    async fn sample(&self, connection: &mut Connection) -> Answer<Sample> {
        let (began, before_ms) = (clock::now(), clock::unix_ms());
        let command = redis::cmd("TIME");
        let time = self.ask::<(u64, u64)>(connection, &command).await?;
        let trip = clock::now().since(began);
        let offset = time.map(|(seconds, micros)| {
            let theirs = i128::from(seconds) * 1000 + i128::from(micros) / 1000;
            let ours = i128::from(before_ms) + i128::try_from(trip.as_millis() / 2).unwrap_or(0);
            i64::try_from(theirs - ours).unwrap_or(i64::MAX)
        });
        Ok(Sample {
            trip,
            clock_offset_ms: offset,
        })
    }

    async fn info(&self, connection: &mut Connection) -> Answer<Option<Info>> {
        let text = self.ask::<String>(connection, &redis::cmd("INFO")).await?;
        Ok(text.map(|text| Info::read(&text)))
    }

    async fn config(&self, connection: &mut Connection) -> Answer<Option<Config>> {
        let mut found = Vec::with_capacity(2);
        for name in ["appendfsync", "save"] {
            let mut command = redis::cmd("CONFIG");
            command.arg("GET").arg(name);
            let pair = self.ask::<Vec<String>>(connection, &command).await?;
            found.push(pair.and_then(|pair| pair.into_iter().nth(1)));
        }
        let (save, appendfsync) = (found.pop().flatten(), found.pop().flatten());
        Ok(appendfsync
            .zip(save)
            .map(|(appendfsync, save)| Config { appendfsync, save }))
    }

    /// Tries every right that can be tried. If scripts are not run at all, that is the answer.
    async fn try_rights(
        &self,
        connection: &mut Connection,
        key: &str,
        limit: Duration,
    ) -> Answer<Vec<(&'static Right, Answer<()>)>> {
        let in_script = |right: &'static Right| match right.trial {
            Trial::Script(trial) => Some((right, acl::words(trial, key))),
            _ => None,
        };
        let (rights, trials): (Vec<_>, Vec<_>) = RIGHTS.iter().filter_map(in_script).unzip();
        let trials = serde_json::to_string(&trials).expect("words are text");
        let mut command = redis::cmd("EVAL");
        command.arg(PROBE).arg(0).arg(trials);
        let told = command.query_async::<Vec<String>>(connection.line()).await;
        let [eval, subscribe] = [Trial::Itself, Trial::Subscribe]
            .map(|trial| RIGHTS.iter().find(|right| right.trial == trial));
        let mut tried = Vec::with_capacity(RIGHTS.len());
        match told {
            Ok(told) => {
                let answers = told.iter().map(|said| judge(said));
                tried.extend(rights.into_iter().zip(answers));
            }
            Err(error) if error.is_io_error() => return Err(self.connector.failure(&error)),
            Err(error) => {
                let answer = Err(self.connector.failure(&error));
                tried.extend(eval.map(|right| (right, answer)));
            }
        }
        if let Some(right) = subscribe {
            let channels = [super::channel(key)];
            let listening = self.connector.listen(&channels, limit).await;
            tried.push((right, listening.map(drop)));
        }
        Ok(tried)
    }

    /// Sends a command that the server may forbid: then there is no answer, and no failure.
    async fn ask<T: redis::FromRedisValue>(
        &self,
        connection: &mut Connection,
        command: &redis::Cmd,
    ) -> Answer<Option<T>> {
        match command.query_async::<T>(connection.line()).await {
            Err(error) if may_be_missing(&error) => Ok(None),
            reply => self.connector.judged(reply).await.map(Some),
        }
    }
}

/// One question for the time.
struct Sample {
    trip: Duration,
    clock_offset_ms: Option<i64>,
}

/// Whether a server says by this that it does not do this one command, or not now.
fn may_be_missing(error: &redis::RedisError) -> bool {
    let code = error.code().unwrap_or_default();
    ["NOPERM", "LOADING", "BUSY", "ERR"].contains(&code) && !failure::is_full(error)
}

/// What a server said to a trial.
fn judge(said: &str) -> Answer<()> {
    if said.is_empty() {
        return Ok(());
    }
    Err(failure::of_text(said))
}

impl Info {
    /// Whether it is a copy of another server.
    #[must_use]
    pub fn is_replica(&self) -> bool {
        self.role != Role::Primary
    }

    /// Reads the text; what is missing in it stays empty.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let fields: HashMap<&str, &str> = text
            .lines()
            .filter_map(|line| line.trim_end().split_once(':'))
            .collect();
        let field = |name: &str| fields.get(name).copied().unwrap_or_default();
        let number = |name: &str| field(name).parse::<u64>().unwrap_or(0);
        let primary = format!("{}:{}", field("master_host"), field("master_port"));
        let role = match (field("role"), field("slave_read_only")) {
            ("slave", "0") => Role::WritableReplica(primary),
            ("slave", _) => Role::Replica(primary),
            _ => Role::Primary,
        };
        let (software, version) = match field("valkey_version") {
            "" => ("redis", field("redis_version")),
            version => ("valkey", version),
        };
        // Valkey has given up the first of these.
        let mode = match field("redis_mode") {
            "" => field("server_mode"),
            mode => mode,
        };
        Self {
            software: software.to_owned(),
            version: version.to_owned(),
            mode: mode.to_owned(),
            run_id: field("run_id").to_owned(),
            uptime: Duration::from_secs(number("uptime_in_seconds")),
            is_loading: number("loading") == 1,
            role,
            replication_id: field("master_replid").to_owned(),
            replicas: number("connected_slaves"),
            maxmemory: number("maxmemory"),
            used_memory: number("used_memory"),
            maxmemory_policy: field("maxmemory_policy").to_owned(),
            appends: number("aof_enabled") == 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::NodeError;

    #[test]
    fn valkey_is_told_from_the_redis_that_it_pretends_to_be() {
        let text = "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\n\
                    valkey_version:8.1.8\r\nserver_mode:cluster\r\nuptime_in_seconds:61\r\n\
                    # Replication\r\nrole:slave\r\n\
                    master_host:10.0.0.1\r\nmaster_port:6379\r\nslave_read_only:1\r\n";
        let info = Info::read(text);
        assert_eq!((&*info.software, &*info.version), ("valkey", "8.1.8"));
        assert_eq!(info.mode, "cluster");
        let of_redis = Info::read("redis_version:7.0.15\r\nredis_mode:sentinel\r\n");
        assert_eq!(of_redis.mode, "sentinel");
        assert_eq!(info.uptime, Duration::from_mins(1) + Duration::from_secs(1));
        assert_eq!(info.role, Role::Replica("10.0.0.1:6379".to_owned()));
    }

    #[test]
    fn an_empty_answer_says_nothing_rather_than_anything() {
        let info = Info::read("");
        assert_eq!(info.maxmemory, 0);
        assert_eq!(info.role, Role::Primary);
        assert!(!info.appends && info.version.is_empty());
    }

    #[test]
    fn what_a_server_forbids_is_told_from_what_it_cannot_do() {
        assert_eq!(judge(""), Ok(()));
        let denied = "ERR The user executing the script can't run this command or subcommand";
        assert!(matches!(judge(denied), Err(NodeError::Refused(_))));
        let full = "OOM command not allowed when used memory > 'maxmemory'.";
        assert!(matches!(judge(full), Err(NodeError::Failed(_))));
    }
}
