//! What people ask of a server: the scripts `inspect`, `remove` and `page`, and `SCAN`.

use std::sync::Arc;
use std::time::Duration;

use redis::{FromRedisValue, RedisResult, Value};

use super::script::script;
use super::{
    Creates, RedisNode, end_of, eval, fence_key, foreign, history_key, number, run_id_of,
    unknown_reply,
};
use crate::node::by_hand::{
    ByHand, Fences, Found, Listed, Page, Proof, Removal, Sight, Values, Wanted,
};
use crate::node::parting::HISTORY_RUNS;
use crate::node::{Answer, FOREIGN_VALUE_LIMIT, Foreign};

pub(super) const INSPECT: &str = script!("server", "check", "by_hand", "inspect");
pub(super) const REMOVE: &str = script!("check", "by_hand", "listeners", "notify", "remove");
pub(super) const PAGE: &str = script!("check", "page");

/// How many keys a server goes through at a time: one or two milliseconds, also where its memory
/// is slow. Twice as many save a twentieth of the whole, and 10,000 block a server for more than
/// 10 ms.
const SCAN_COUNT: usize = 1000;

/// How many values are asked for at a time: of half a kilobyte each at most.
const LOOK_COUNT: usize = 1000;

impl ByHand for RedisNode {
    async fn inspect(&self, key: Arc<str>, limit: Duration) -> Answer<Sight> {
        let command = eval(INSPECT, &[&*key]);
        let reply: Vec<Vec<u8>> = self.call(command, Creates::Nothing, limit).await?;
        if let [word, run_id, uptime, fence] = &reply[..]
            && word == b"free"
        {
            return Ok(sight(None, run_id, uptime, fence));
        }
        let [.., run_id, uptime, fence, print] = &reply[..] else {
            return Err(unknown_reply());
        };
        let found = Found {
            value: foreign(&reply)?,
            print: String::from_utf8_lossy(print).into_owned(),
        };
        Ok(sight(Some(found), run_id, uptime, fence))
    }

    async fn remove(&self, key: Arc<str>, proof: Arc<Proof>, limit: Duration) -> Answer<Removal> {
        let mut command = eval(REMOVE, &[&*key]);
        match &*proof {
            Proof::Token(token) => command.arg("token").arg(&token[..]),
            Proof::Print(print) => command.arg("print").arg(print),
        };
        let reply: Vec<Vec<u8>> = self.call(command, Creates::Nothing, limit).await?;
        match &reply[..] {
            [word] if word == b"removed" => Ok(Removal::Removed),
            [word] if word == b"missing" => Ok(Removal::Missing),
            _ => Ok(Removal::Other(foreign(&reply)?)),
        }
    }

    async fn page(&self, wanted: Arc<Wanted>, cursor: u64, limit: Duration) -> Answer<Page> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(&wanted.glob);
        scan.arg("COUNT").arg(SCAN_COUNT);
        if matches!(wanted.values, Values::Strings(_)) {
            scan.arg("TYPE").arg("string");
        }
        let (next, keys): (u64, Vec<Vec<u8>>) = self.call(scan, Creates::Nothing, limit).await?;
        let mut locks = Vec::new();
        for some in keys.chunks(LOOK_COUNT) {
            locks.extend(self.look_at(some, &wanted, limit).await?);
        }
        Ok(Page {
            locks,
            next: (next != 0).then_some(next),
        })
    }

    async fn history(&self, key: Arc<str>, limit: Duration) -> Answer<Vec<String>> {
        let mut command = redis::cmd("LRANGE");
        command.arg(history_key(&key)).arg(0).arg(HISTORY_RUNS - 1);
        let reply: Vec<Vec<u8>> = self.call(command, Creates::Nothing, limit).await?;
        let runs = reply
            .iter()
            .map(|run| String::from_utf8_lossy(run).into_owned());
        Ok(runs.collect())
    }
}

impl RedisNode {
    /// The locks that `keys` are. Most are short strings, for which plain commands cost a server a
    /// tenth of what a script does; the script is for the others.
    async fn look_at(
        &self,
        keys: &[Vec<u8>],
        wanted: &Wanted,
        limit: Duration,
    ) -> Answer<Vec<Listed>> {
        let mut look = redis::pipe();
        for key in keys {
            let last = FOREIGN_VALUE_LIMIT - 1;
            look.cmd("GETRANGE").arg(key).arg(0).arg(last);
        }
        let values: Vec<RedisResult<Vec<u8>>> = self.pipe(look, limit).await?;
        let mut short: Vec<(&[u8], Vec<u8>)> = Vec::new();
        let mut others: Vec<&[u8]> = Vec::new();
        for (key, value) in keys.iter().zip(values) {
            match value {
                Ok(value) if !wanted.values.include(&value) => {}
                Ok(value) if !value.is_empty() && value.len() < FOREIGN_VALUE_LIMIT => {
                    short.push((key, value));
                }
                // Longer than this, of another type, empty, or gone.
                _ => others.push(key),
            }
        }
        let mut locks = self.short_strings(short, wanted.fences, limit).await?;
        if !others.is_empty() {
            let command = eval(PAGE, &others);
            let reply: Vec<Vec<u8>> = self.call(command, Creates::Nothing, limit).await?;
            let others = others.into_iter().zip(reply.chunks(5));
            locks.extend(others.filter_map(|(key, about)| other(key, about)));
        }
        Ok(locks)
    }

    /// The locks with these keys and values, which are whole.
    async fn short_strings(
        &self,
        short: Vec<(&[u8], Vec<u8>)>,
        fences: Fences,
        limit: Duration,
    ) -> Answer<Vec<Listed>> {
        let mut about = redis::pipe();
        for (key, _) in &short {
            about.cmd("PTTL").arg(key);
            if fences == Fences::Read {
                about.cmd("GET").arg(fence_key(key));
            }
        }
        let about: Vec<RedisResult<Value>> = self.pipe(about, limit).await?;
        let answers = match fences {
            Fences::Read => 2,
            Fences::NotNeeded => 1,
        };
        let locks = short.into_iter().zip(about.chunks(answers));
        let locks = locks.filter_map(|((key, value), about)| short_string(key, value, about));
        Ok(locks.collect())
    }

    /// Sends commands that change nothing, together; one that fails does not fail the others.
    async fn pipe<T: FromRedisValue>(
        &self,
        mut commands: redis::Pipeline,
        limit: Duration,
    ) -> Answer<Vec<RedisResult<T>>> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        commands.ignore_errors();
        let exchange = async {
            let mut link = self.link(limit).await?;
            let replies = commands.query_async(link.connection.line()).await;
            self.links.ended(&link, Creates::Nothing, end_of(&replies));
            self.connector.judged(replies).await
        };
        self.within(limit, exchange).await
    }
}

fn sight(found: Option<Found>, run_id: &[u8], uptime: &[u8], fence: &[u8]) -> Sight {
    Sight {
        found,
        fence: number(fence).ok(),
        run_id: run_id_of(run_id),
        uptime: number(uptime).ok().map(Duration::from_secs),
    }
}

/// The lock with a short `value`, by the answers to `PTTL` and `GET` of its counter; `None` if it
/// expired meanwhile.
fn short_string(key: &[u8], value: Vec<u8>, about: &[RedisResult<Value>]) -> Option<Listed> {
    let ttl = match about.first()? {
        Ok(Value::Int(-2)) | Err(_) => return None,
        // -1: the key never expires.
        Ok(Value::Int(rest)) => u64::try_from(*rest).ok().map(Duration::from_millis),
        Ok(_) => return None,
    };
    let fence = match about.get(1) {
        Some(Ok(Value::BulkString(text))) => number(text).ok(),
        _ => None,
    };
    Some(Listed {
        value: Foreign {
            key: name(key),
            digest: sha1_smol::Sha1::from(&value).digest().to_string(),
            value,
            kind: "string".to_owned(),
            ttl,
        },
        fence,
    })
}

/// The lock with another value, by what `page.lua` answers; `None` if it expired meanwhile.
fn other(key: &[u8], about: &[Vec<u8>]) -> Option<Listed> {
    let [kind, value, digest, pttl, fence] = about else {
        return None;
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (kind != b"none").then(|| Listed {
        value: Foreign {
            key: name(key),
            value: value.clone(),
            digest: text(digest),
            kind: text(kind),
            ttl: number(pttl).ok().map(Duration::from_millis),
        },
        fence: number(fence).ok(),
    })
}

/// A key as text. Two that differ in bytes that are no text shall not become one.
fn name(key: &[u8]) -> String {
    key.utf8_chunks().fold(String::new(), |name, chunk| {
        let invalid = chunk.invalid().iter();
        let invalid = invalid.map(|byte| format!("\\x{byte:02x}"));
        name + chunk.valid() + &invalid.collect::<String>()
    })
}
