//! What one server does to a lock.

use std::time::Duration;

use super::together::direction;
use super::{Expected, Finding, Severity, found, show};
use crate::lock::restart::RestartGuard;
use crate::node::acl::{Need, Right};
use crate::node::{Answer, Examination, Info, NodeError, Role};

/// The oldest version that redlock is made for and tested with.
const OLDEST: (u32, u32) = (6, 2);

/// Clocks that differ by more are not being kept together by anything.
pub(super) const CLOCKS_DIFFER_MS: i64 = 1000;

/// How full memory may be, in percent, before it is mentioned.
const NEARLY_FULL: u64 = 90;

/// What a vote less means.
const WITHOUT_IT: &str = "it grants no lock; the others must be a quorum without it";

/// Judges one server. What is no server for locks at all needs no rights.
pub(super) fn judge(answer: &Answer<Box<Examination>>, expected: &Expected) -> Vec<Finding> {
    let facts = match answer {
        Ok(facts) => facts,
        Err(error) => return vec![away(error)],
    };
    let mut findings = Vec::new();
    findings.extend(facts.info.as_ref().and_then(stand_in));
    if findings.is_empty() {
        findings.extend(rights(facts));
    }
    findings.extend(speed(facts, expected));
    findings.extend(clock(facts, expected));
    if let Some(info) = &facts.info {
        findings.extend(kind(info));
        findings.extend(memory(info));
        if !info.is_loading {
            // Until then it says that nothing is logged.
            findings.extend(disk(facts, info, expected));
        }
        findings.extend(age(info, expected));
        findings.extend(copies(info));
    }
    findings
}

fn away(error: &NodeError) -> Finding {
    match error {
        NodeError::Refused(_) => found(
            Severity::NoVote,
            format!("turned us away: {error}"),
            WITHOUT_IT,
            "check user, password, ACL and certificates; the smallest rule is below",
        ),
        _ => found(
            Severity::NoVote,
            format!("cannot be asked: {error}"),
            WITHOUT_IT,
            if error.is_full() {
                "raise maxclients, or see who has all the connections: redis-cli CLIENT LIST"
            } else {
                "see whether the server runs, and whether this host may reach its port"
            },
        ),
    }
}

/// Servers that are something else than one that keeps locks.
fn stand_in(info: &Info) -> Option<Finding> {
    if info.mode == "sentinel" {
        return Some(found(
            Severity::NoVote,
            "a Sentinel, which keeps no keys",
            WITHOUT_IT,
            "name the server itself: its port is usually 6379",
        ));
    }
    if info.is_loading {
        return Some(found(
            Severity::NoVote,
            "still reading its data from disk",
            WITHOUT_IT,
            "nothing but to wait",
        ));
    }
    match &info.role {
        Role::Primary => None,
        Role::WritableReplica(primary) => Some(found(
            Severity::Danger,
            format!("a replica of {primary} that takes writes (replica-read-only no)"),
            "it grants locks that vanish when its primary sends its data again, and a second \
             host gets them",
            "REPLICAOF NO ONE, or name a server of its own",
        )),
        Role::Replica(primary) => Some(found(
            Severity::NoVote,
            format!("a read-only replica of {primary}"),
            "it grants no lock now; after a failover it would, without the locks that had not \
             reached it",
            "name a server of its own instead, or REPLICAOF NO ONE",
        )),
    }
}

/// The rights without which there is no vote, if the server forbids them.
pub(super) fn forbidden(facts: &Examination) -> Vec<&'static Right> {
    let refused = facts.rights.iter().filter(|(right, answer)| {
        right.need == Need::Locks && matches!(answer, Err(NodeError::Refused(_)))
    });
    refused.map(|(right, _)| *right).collect()
}

/// Whether the server does everything without which it could not grant a lock.
pub(super) fn is_able(facts: &Examination) -> bool {
    let mut rights = facts.rights.iter();
    rights.all(|(right, answer)| right.need != Need::Locks || answer.is_ok())
}

fn rights(facts: &Examination) -> Vec<Finding> {
    let denied = forbidden(facts);
    if !denied.is_empty() {
        let names: Vec<&str> = denied.iter().map(|right| right.command).collect();
        return vec![found(
            Severity::NoVote,
            format!("ACL forbids {}, or the keys for it", names.join(", ")),
            WITHOUT_IT,
            "give the user the rule below",
        )];
    }
    let mut findings = Vec::new();
    for (right, answer) in &facts.rights {
        match (right.need, answer) {
            (Need::Locks, Err(error)) => return vec![no_writes(right, error)],
            (Need::Comfort(effect), Err(NodeError::Refused(_))) => findings.push(found(
                Severity::Warning,
                match right.command {
                    "publish" | "subscribe" => {
                        format!("ACL forbids {}, or its channel", right.command)
                    }
                    command => format!("ACL forbids {command}"),
                },
                effect,
                "give the user the rule below",
            )),
            (Need::Comfort(effect), Err(error)) if is_unknown(error) => {
                findings.push(unknown(right, Severity::Warning, effect));
            }
            _ => {}
        }
    }
    findings
}

/// Whether a server says that there is no such command.
fn is_unknown(error: &NodeError) -> bool {
    let said = error.to_string().to_lowercase();
    said.starts_with("unknown") && said.contains("command")
}

fn unknown(right: &Right, severity: Severity, effect: &str) -> Finding {
    // Of `config|get` it is `config` that can be renamed.
    let command = right.command.split('|').next().unwrap_or_default();
    found(
        severity,
        format!("does not know {command}, which somebody may have renamed"),
        effect,
        format!("let {command} keep its name (rename-command), and forbid it to others by ACL"),
    )
}

fn no_writes(right: &Right, error: &NodeError) -> Finding {
    if is_unknown(error) {
        return unknown(right, Severity::NoVote, WITHOUT_IT);
    }
    let said = error.to_string();
    let remedy = match said.split(' ').next().unwrap_or_default() {
        "OOM" => "raise maxmemory, or remove what fills it",
        "MISCONF" => "make room on its disk; its log says what it could not write",
        "NOREPLICAS" => "min-replicas-to-write 0: copies do not make locks safer",
        "BUSY" => "somebody's script does not end: redis-cli SCRIPT KILL",
        "MASTERDOWN" | "READONLY" => "name a server of its own",
        _ => "its log may say more",
    };
    found(
        Severity::NoVote,
        format!("does not do what a lock needs: {said}"),
        WITHOUT_IT,
        remedy,
    )
}

fn kind(info: &Info) -> Vec<Finding> {
    let mut findings = Vec::new();
    if info.mode == "cluster" {
        findings.push(found(
            Severity::Danger,
            "in cluster mode",
            "it answers for some names only, and a failover of the cluster puts another server \
             in its place, which may lack a lock",
            "cluster-enabled no, on servers for locks alone",
        ));
    }
    let mut numbers = info.version.split('.').map(|part| part.parse().ok());
    let version = numbers.next().flatten().zip(numbers.next().flatten());
    if info.software == "redis" && version.is_some_and(|version| version < OLDEST) {
        findings.push(found(
            Severity::Warning,
            format!("Redis {}", info.version),
            "redlock is made for 6.2 and later: channels have no rights of their own before, and \
             nothing was tested",
            "upgrade to Redis 6.2 or later, or to Valkey",
        ));
    }
    findings
}

fn memory(info: &Info) -> Option<Finding> {
    if info.maxmemory == 0 {
        return None;
    }
    let full = info.used_memory.saturating_mul(100) / info.maxmemory;
    let policy = info.maxmemory_policy.as_str();
    let effect = match policy {
        "noeviction" => {
            return (full >= NEARLY_FULL).then(|| {
                found(
                    Severity::Warning,
                    format!("memory is {full}% full (noeviction)"),
                    "when it is full, it grants no lock; those that are held can be kept",
                    "raise maxmemory, or remove what fills it",
                )
            });
        }
        "volatile-ttl" => {
            "locks that are held go first, since they expire soonest: a second host gets them"
        }
        _ if policy.starts_with("volatile-") => {
            "locks that are held and fencing counters go first, since they have a TTL: a second \
             host gets the lock, with a smaller fencing token"
        }
        _ => {
            "locks that are held and fencing counters can go: a second host gets the lock, with a \
             smaller fencing token"
        }
    };
    Some(found(
        Severity::Danger,
        format!("keys are evicted when memory is full ({policy}; {full}% is used)"),
        effect,
        "maxmemory-policy noeviction, and servers for locks alone",
    ))
}

fn disk(facts: &Examination, info: &Info, expected: &Expected) -> Option<Finding> {
    let settings = &expected.settings;
    let window = show(settings.restarts.window.max(settings.longest_ttl));
    let guard = match settings.restarts.guard {
        RestartGuard::Off => {
            "and it votes at once (--restart-guard off): a second host gets them".to_owned()
        }
        _ => format!(
            "but it grants none for {window} after a restart, when those with such a TTL are over"
        ),
    };
    let sync = facts
        .config
        .as_ref()
        .map(|config| config.appendfsync.as_str());
    let (severity, problem, forgets) = match (info.appends, sync) {
        (true, Some("always")) => return None,
        (true, Some("no")) => (
            Severity::Warning,
            "when its log reaches the disk is left to the system (appendfsync no)",
            "a crash of its host forgets the locks of the last half minute",
        ),
        (true, Some(_)) => (
            Severity::Note,
            "its log reaches the disk once a second (appendfsync everysec)",
            "a crash of its host forgets the locks of the last second",
        ),
        (true, None) => (
            Severity::Note,
            "when its log reaches the disk is not to be seen (CONFIG GET is forbidden)",
            "unless it is always, a crash of its host forgets the latest locks",
        ),
        (false, None) => (
            Severity::Warning,
            "writes are not logged on disk (appendonly no)",
            "a restart forgets locks",
        ),
        (false, Some(_)) if facts.config.as_ref().is_some_and(|c| c.save.is_empty()) => (
            Severity::Warning,
            "nothing is kept on disk (appendonly no, no save)",
            "a restart forgets all locks",
        ),
        (false, Some(_)) => (
            Severity::Warning,
            "only snapshots are kept on disk (appendonly no)",
            "a restart forgets the locks since the last one",
        ),
    };
    Some(found(
        severity,
        problem,
        format!("{forgets}; {guard}"),
        "appendonly yes, appendfsync always; or leave it, and see that restart-window is at least \
         the longest TTL in use",
    ))
}

fn age(info: &Info, expected: &Expected) -> Option<Finding> {
    let usual = expected.settings.young_until();
    let min_uptime = expected.cold_start.unwrap_or(usual);
    let rest = min_uptime.saturating_sub(info.uptime);
    if rest.is_zero() {
        return None;
    }
    let problem = format!("restarted {} ago", show(info.uptime));
    Some(match expected.settings.restarts.guard {
        RestartGuard::Off => found(
            Severity::Warning,
            problem,
            "if it has forgotten locks, it grants them to a second host (--restart-guard off)",
            "restart-guard = \"auto\"",
        ),
        RestartGuard::Auto | RestartGuard::Strict => found(
            Severity::NoVote,
            problem,
            format!(
                "it may have forgotten locks, and grants none for another {}",
                show(rest)
            ),
            "nothing but to wait; restart servers one at a time, further apart than that",
        ),
    })
}

fn copies(info: &Info) -> Option<Finding> {
    if info.replicas == 0 || info.is_replica() {
        return None;
    }
    let replicas = match info.replicas {
        1 => "1 replica is attached".to_owned(),
        count => format!("{count} replicas are attached"),
    };
    Some(found(
        Severity::Warning,
        replicas,
        "if a failover puts one in its place, locks that had not reached it are forgotten, and no \
         restart is seen: a second host gets them",
        "no Sentinel or other automatic failover for this server; after one by hand, wait for the \
         longest TTL before the address points to the replica",
    ))
}

fn speed(facts: &Examination, expected: &Expected) -> Option<Finding> {
    let limit = expected.settings.node_timeout;
    let problem = |verdict: &str| {
        format!(
            "takes {} to connect and answer, {verdict} --node-timeout {}",
            show(facts.first),
            show(limit)
        )
    };
    let longer = (facts.first * 3).max(Duration::from_millis(10));
    let remedy = format!(
        "node-timeout = \"{}\", or a server that is nearer",
        show(longer)
    );
    if facts.first > limit {
        let effect = "a first attempt takes it for an outage; a lock is found only when retried";
        return Some(found(
            Severity::Warning,
            problem("more than"),
            effect,
            remedy,
        ));
    }
    (facts.first > limit / 2).then(|| {
        let effect = "when it is busy, an attempt takes it for an outage";
        found(Severity::Warning, problem("close to"), effect, remedy)
    })
}

fn clock(facts: &Examination, expected: &Expected) -> Option<Finding> {
    let offset_ms = facts.clock_offset_ms? - expected.common_offset_ms.unwrap_or(0);
    if offset_ms.abs() <= CLOCKS_DIFFER_MS {
        return None;
    }
    let (direction, amount) = direction(offset_ms);
    let whose = match expected.common_offset_ms {
        Some(_) => "those of the others",
        None => "ours",
    };
    Some(found(
        Severity::Warning,
        format!("its clock is {amount} {direction} {whose}"),
        "fencing tokens can become smaller when another server loses its data, if that is more \
         than the restart window; a lock does not depend on it, unless somebody puts it right in \
         one step: forward, and its locks expire early",
        "synchronise it with chrony or ntpd, which change a clock gradually",
    ))
}
