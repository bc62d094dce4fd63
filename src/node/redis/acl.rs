//! The one table of rights that redlock needs on a server, and the ACL rule made of it.
//!
//! Whoever sends a new command, in a script or without one, adds it here: a test reads the scripts
//! and the sources beside this file, and fails if one is missing. `doctor` tries each right and
//! prints the rule. Called by `examine` and by `commands`.

use crate::node::glob;

/// A command that a user of redlock must be allowed to send.
#[derive(Debug, PartialEq, Eq)]
pub struct Right {
    /// As an ACL rule names it, without the plus: `get`, `config|get`.
    pub command: &'static str,
    /// What it is for.
    pub need: Need,
    /// How it is tried without doing harm.
    pub trial: Trial,
}

/// What a right is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Without it the server has no vote.
    Locks,
    /// Without it locks work, but this does not: a clause about what happens.
    Comfort(&'static str),
    /// Only `doctor` uses it, and this is what it cannot tell without.
    Doctor(&'static str),
}

/// How a right is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// By these words in the script `probe.lua`; see [`words`] for what stands for the key.
    Script(&'static [&'static str]),
    /// On a connection of its own, since scripts may not do it.
    Subscribe,
    /// By the trials themselves, which need it.
    Itself,
}

/// In a trial, stands for a lock that nobody else uses.
const LOCK: &str = "{lock}";

/// In a trial, stands for the fencing counter of that lock.
const FENCE: &str = "{fence}";

/// In a trial, stands for the channel on which its release is told.
const CHANNEL: &str = "{channel}";

/// In a trial, stands for the list of that lock's last runs.
const HISTORY: &str = "{history}";

const NO_HISTORY: Need = Need::Comfort("the last runs of a job are not recorded, or not shown");

const NO_HASHES: Need = Need::Comfort("a lock of Redisson cannot be looked at, nor be broken");

/// Every right, in the order in which they are tried: a later trial removes what an earlier makes.
pub static RIGHTS: [Right; 21] = [
    locks("eval", Trial::Itself),
    locks("set", Trial::Script(&["SET", LOCK, "probe", "PX", "1000"])),
    locks("pexpire", Trial::Script(&["PEXPIRE", LOCK, "1000"])),
    locks("type", Trial::Script(&["TYPE", LOCK])),
    locks("get", Trial::Script(&["GET", FENCE])),
    locks("pttl", Trial::Script(&["PTTL", LOCK])),
    locks("del", Trial::Script(&["DEL", LOCK])),
    locks("time", Trial::Script(&["TIME"])),
    comfort(
        "info",
        Need::Comfort(
            "it grants locks right after a restart that made it forget them, and the same server \
             under two names is not noticed",
        ),
        Trial::Script(&["INFO", "server"]),
    ),
    comfort(
        "publish",
        Need::Comfort("whoever waits for a lock is not told of its release, and polls"),
        Trial::Script(&["PUBLISH", CHANNEL, ""]),
    ),
    comfort(
        "subscribe",
        Need::Comfort(
            "whoever waits for a lock does not hear of its release, and polls; a run whose lock \
             is broken by force notices late",
        ),
        Trial::Subscribe,
    ),
    comfort(
        "pubsub|numsub",
        Need::Comfort("many who wait for one lock all try at once when it is released"),
        Trial::Script(&["PUBSUB", "NUMSUB", CHANNEL]),
    ),
    comfort(
        "scan",
        Need::Comfort("locks cannot be listed, and their names not be completed"),
        Trial::Script(&["SCAN", "0", "COUNT", "1"]),
    ),
    comfort(
        "getrange",
        Need::Comfort("locks cannot be listed"),
        Trial::Script(&["GETRANGE", FENCE, "0", "0"]),
    ),
    comfort("lpush", NO_HISTORY, Trial::Script(&["LPUSH", HISTORY, ""])),
    comfort(
        "lindex",
        NO_HISTORY,
        Trial::Script(&["LINDEX", HISTORY, "0"]),
    ),
    comfort(
        "lrange",
        NO_HISTORY,
        Trial::Script(&["LRANGE", HISTORY, "0", "0"]),
    ),
    comfort(
        "ltrim",
        NO_HISTORY,
        Trial::Script(&["LTRIM", HISTORY, "1", "0"]),
    ),
    comfort("hlen", NO_HASHES, Trial::Script(&["HLEN", LOCK])),
    comfort("hgetall", NO_HASHES, Trial::Script(&["HGETALL", LOCK])),
    comfort(
        "config|get",
        Need::Doctor("what the server keeps on disk, and how soon"),
        Trial::Itself,
    ),
];

const fn comfort(command: &'static str, need: Need, trial: Trial) -> Right {
    Right {
        command,
        need,
        trial,
    }
}

const fn locks(command: &'static str, trial: Trial) -> Right {
    Right {
        command,
        need: Need::Locks,
        trial,
    }
}

/// The words of a trial for the lock `key`.
#[must_use]
pub fn words(trial: &[&str], key: &str) -> Vec<String> {
    let word = |word: &&str| match *word {
        LOCK => key.to_owned(),
        FENCE => String::from_utf8_lossy(&super::fence_key(key.as_bytes())).into_owned(),
        HISTORY => super::history_key(key),
        CHANNEL => super::channel(key),
        other => other.to_owned(),
    };
    trial.iter().map(word).collect()
}

/// The smallest rule for a user of redlock, where keys are `before`, a resource's name and `after`.
/// It is meant to be pasted into `redis-cli`.
#[must_use]
pub fn rule(before: &str, after: &str) -> String {
    let keys = format!("{}*{}", pattern(before), pattern(after));
    let commands: Vec<String> = RIGHTS
        .iter()
        .filter(|right| !matches!(right.need, Need::Doctor(_)))
        .map(|right| format!("+{}", right.command))
        .collect();
    // Fencing counters and whatever else belongs to a lock: a suffix to its key in braces. A
    // pattern beside one that matches everything is an error.
    let companions = match keys.as_str() {
        "*" => String::new(),
        keys => format!(" ~{{{keys}}}:*"),
    };
    format!(
        "ACL SETUSER redlock on >PASSWORD resetkeys ~{keys}{companions} \
         resetchannels &released:{keys} -@all {}",
        commands.join(" ")
    )
}

/// What `doctor` needs beside the [`rule`], and what it cannot tell without.
pub fn optional() -> impl Iterator<Item = (String, &'static str)> {
    RIGHTS.iter().filter_map(|right| match right.need {
        Need::Doctor(what) => Some((format!("+{}", right.command), what)),
        _ => None,
    })
}

/// A glob that matches `text`. What a rule cannot hold, blanks and quotes, is matched by `?`.
fn pattern(text: &str) -> String {
    let blank = |c: char| c.is_whitespace() || c.is_control() || c == '"' || c == '\'';
    glob::escape(text).replace(blank, "?")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// The first word of every command that the sources send, in lower case.
    fn sent() -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let starts = ["redis.call('", "redis.pcall('", "redis::cmd(\"", ".cmd(\""];
        for directory in ["src/node", "src/node/redis"] {
            for entry in fs::read_dir(Path::new(directory)).expect("run from the package's root") {
                let path = entry.expect("it can be listed").path();
                let Ok(text) = fs::read_to_string(&path) else {
                    continue;
                };
                let text = text.split("#[cfg(test)]").next().unwrap_or_default();
                for start in starts {
                    let commands = text.split(start).skip(1);
                    found.extend(commands.filter_map(|rest| {
                        let end = rest.find(['\'', '"'])?;
                        Some(rest[..end].to_lowercase())
                    }));
                }
            }
        }
        found
    }

    #[test]
    fn every_command_that_is_sent_is_in_the_table() {
        let table: BTreeSet<&str> = RIGHTS
            .iter()
            .map(|right| right.command.split('|').next().unwrap_or_default())
            .collect();
        let sent = sent();
        // From a script, from its sender, and from a plain command.
        for known in ["pexpire", "eval", "lrange"] {
            assert!(sent.contains(known), "{known} is not seen: {sent:?}");
        }
        for command in &sent {
            assert!(
                table.contains(command.as_str()),
                "{command} is sent to servers, but missing in the table of rights (acl.rs)"
            );
        }
    }

    #[test]
    fn no_trial_leaves_a_key_or_touches_one_of_others() {
        let trials: Vec<Vec<String>> = RIGHTS
            .iter()
            .filter_map(|right| match right.trial {
                Trial::Script(trial) => Some(words(trial, "lock:probe")),
                _ => None,
            })
            .collect();
        let place = |name: &str| trials.iter().position(|words| words[0] == name);
        assert!(place("SET") < place("DEL"), "what is set is deleted");
        assert!(place("LPUSH") < place("LTRIM"), "a list is emptied");
        let keyless = ["TIME", "INFO", "PUBLISH", "PUBSUB", "SCAN"];
        for words in &trials {
            assert!(
                keyless.contains(&words[0].as_str()) || words[1].contains("lock:probe"),
                "{words:?}"
            );
        }
    }

    #[test]
    fn the_rule_follows_the_format_of_keys() {
        let rule_of = |before, after| rule(before, after);
        assert_eq!(
            rule_of("lock:", ""),
            "ACL SETUSER redlock on >PASSWORD resetkeys ~lock:* ~{lock:*}:* resetchannels \
             &released:lock:* -@all +eval +set +pexpire +type +get +pttl +del +time +info +publish \
             +subscribe +pubsub|numsub +scan +getrange +lpush +lindex +lrange +ltrim +hlen +hgetall"
        );
        assert!(rule_of("", "").contains(" resetkeys ~* resetchannels &released:* "));
        assert!(rule_of("a b[", "'z").contains(" ~a?b\\[*?z "));
    }
}
