//! What people ask of a server: the scripts `inspect`, `remove` and `page`, and `SCAN`.

use std::sync::Arc;
use std::time::Duration;

use super::{Creates, RedisNode, fence_key, foreign, number, run_id_of, unknown_reply};
use crate::node::by_hand::{ByHand, Found, Kinds, Listed, Page, Proof, Removal, Sight, Wanted};
use crate::node::{Answer, Foreign};

/// Puts the functions that these scripts share before the script of one file.
macro_rules! script {
    ($file:literal) => {
        concat!(
            include_str!("../prelude.lua"),
            include_str!("../by_hand.lua"),
            include_str!($file)
        )
    };
}

const INSPECT: &str = script!("../inspect.lua");
const REMOVE: &str = script!("../remove.lua");
const PAGE: &str = concat!(include_str!("../prelude.lua"), include_str!("../page.lua"));

/// How many keys a server goes through at a time: some 2 ms of its time. Twice as many are not
/// faster, and 10,000 block a server for more than 10 ms.
const SCAN_COUNT: usize = 4000;

/// How many values are asked for at a time: some 2 ms of a server's time.
const LOOK_COUNT: usize = 500;

impl ByHand for RedisNode {
    async fn inspect(&self, key: Arc<str>, limit: Duration) -> Answer<Sight> {
        let command = eval(INSPECT, &[key.as_bytes()]);
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
        let mut command = eval(REMOVE, &[key.as_bytes()]);
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
        if wanted.kinds == Kinds::Strings {
            scan.arg("TYPE").arg("string");
        }
        let (next, keys): (u64, Vec<Vec<u8>>) = self.call(scan, Creates::Nothing, limit).await?;
        let mut locks = Vec::with_capacity(keys.len());
        for some in keys.chunks(LOOK_COUNT) {
            let some: Vec<&[u8]> = some.iter().map(Vec::as_slice).collect();
            let reply: Vec<Vec<u8>> = self
                .call(eval(PAGE, &some), Creates::Nothing, limit)
                .await?;
            locks.extend(some.iter().zip(reply.chunks(5)).filter_map(listed));
        }
        Ok(Page {
            locks,
            next: (next != 0).then_some(next),
        })
    }
}

/// `EVAL` with `keys`, which may be any bytes, and their fencing counters.
fn eval(script: &str, keys: &[&[u8]]) -> redis::Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(script).arg(2 * keys.len()).arg(keys);
    for key in keys {
        match std::str::from_utf8(key) {
            Ok(key) => command.arg(fence_key(key)),
            // No resource of ours has such a name, and so no counter.
            Err(_) => command.arg(*key),
        };
    }
    command
}

fn sight(found: Option<Found>, run_id: &[u8], uptime: &[u8], fence: &[u8]) -> Sight {
    Sight {
        found,
        fence: number(fence).ok(),
        run_id: run_id_of(run_id),
        uptime: number(uptime).ok().map(Duration::from_secs),
    }
}

/// One lock of a page; `None` if it expired meanwhile.
fn listed((key, about): (&&[u8], &[Vec<u8>])) -> Option<Listed> {
    let [kind, value, digest, pttl, fence] = about else {
        return None;
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (kind != b"none").then(|| Listed {
        value: Foreign {
            // Two keys that differ in bytes that are no text shall not become one.
            key: key.utf8_chunks().fold(String::new(), |name, chunk| {
                let invalid = chunk.invalid().iter();
                let invalid = invalid.map(|byte| format!("\\x{byte:02x}"));
                name + chunk.valid() + &invalid.collect::<String>()
            }),
            value: value.clone(),
            digest: text(digest),
            kind: text(kind),
            ttl: number(pttl).ok().map(Duration::from_millis),
        },
        fence: number(fence).ok(),
    })
}
