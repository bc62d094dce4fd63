//! What servers do to a lock together: their number, and whether they are independent.

use std::time::Duration;

use super::server::CLOCKS_DIFFER_MS;
use super::{Expected, Facts, Finding, Severity, found, show};
use crate::lock::quorum::majority;
use crate::lock::restart::{RestartGuard, Restarts};
use crate::node::{Examination, Info, NodeName};

/// Judges all servers as one quorum.
pub(super) fn judge(nodes: &[(NodeName, Facts)], expected: &Expected) -> Vec<Finding> {
    if nodes
        .iter()
        .any(|(_, facts)| matches!(facts, Facts::Local(_)))
    {
        return Vec::new();
    }
    let pairs = pairs(nodes);
    let each = [
        number(nodes.len()),
        window(expected),
        cold_start(expected),
        expected.common_offset_ms.map(our_clock),
    ];
    each.into_iter().flatten().chain(pairs).collect()
}

fn number(count: usize) -> Option<Finding> {
    let (problem, effect) = match count {
        1 => (
            "1 server alone".to_owned(),
            "when it is down, no job runs; when it forgets, a lock is lost".to_owned(),
        ),
        count if count.is_multiple_of(2) => (
            format!("{count} servers, an even number"),
            format!(
                "a majority of {count} is {}, so they survive no more failures than {} would",
                majority(count),
                count - 1
            ),
        ),
        _ => return None,
    };
    Some(found(
        Severity::Warning,
        problem,
        effect,
        "3 or 5 servers that fail independently of one another",
    ))
}

/// A TTL longer than the window is mentioned: a lock may outlive the time for which a server that
/// restarted does not vote.
fn window(expected: &Expected) -> Option<Finding> {
    let settings = &expected.settings;
    let Restarts { guard, window } = settings.restarts;
    (guard != RestartGuard::Off && settings.longest_ttl > window).then(|| {
        found(
            Severity::Warning,
            format!(
                "the longest TTL in the settings is {}, the restart window {}",
                show(settings.longest_ttl),
                show(window)
            ),
            "a run with a shorter TTL lets a restarted server vote before the lock that it may \
             have forgotten has expired",
            format!("restart-window = \"{}\"", show(settings.longest_ttl)),
        )
    })
}

fn cold_start(expected: &Expected) -> Option<Finding> {
    let min_uptime = expected.cold_start?;
    let (within, effect) = if min_uptime.is_zero() {
        ("the restart window".to_owned(), "they grant locks at once")
    } else {
        (
            format!("the longest TTL ({})", show(expected.settings.longest_ttl)),
            "those that have been up for the restart window grant locks",
        )
    };
    Some(found(
        Severity::Note,
        format!("all servers restarted within {within}"),
        format!("this is taken for a cold start: {effect} (--restart-guard auto)"),
        "nothing, unless locks from before must be honoured: --restart-guard strict",
    ))
}

/// If all servers agree that we are wrong, we are.
fn our_clock(offset_ms: i64) -> Finding {
    let (direction, amount) = direction(-offset_ms);
    found(
        Severity::Warning,
        format!("the clock of this host is {amount} {direction} those of all servers"),
        "locks do not depend on it; but jobs of a crontab start at another moment here, and \
         --min-hold must be longer than that difference",
        "synchronise the clock of this host, with chrony or systemd-timesyncd",
    )
}

/// By how much all servers are ahead of us, if there are several, and they agree among themselves.
pub(super) fn common_offset_ms(nodes: &[(NodeName, Facts)]) -> Option<i64> {
    let offsets: Option<Vec<i64>> = examined(nodes)
        .map(|(_, facts)| facts.clock_offset_ms)
        .collect();
    let offsets = offsets?;
    let (least, most) = (*offsets.iter().min()?, *offsets.iter().max()?);
    let beyond = least > CLOCKS_DIFFER_MS || most < -CLOCKS_DIFFER_MS;
    let agree = most - least <= CLOCKS_DIFFER_MS;
    (offsets.len() > 1 && beyond && agree).then_some(i64::midpoint(least, most))
}

/// An offset in words: how much, and in which direction.
pub(super) fn direction(offset_ms: i64) -> (&'static str, String) {
    let amount = show(Duration::from_millis(offset_ms.unsigned_abs()));
    (if offset_ms < 0 { "behind" } else { "ahead of" }, amount)
}

/// Two entries of the list that are not two independent servers.
fn pairs(nodes: &[(NodeName, Facts)]) -> Vec<Finding> {
    let infos: Vec<(&NodeName, &Info)> = examined(nodes)
        .filter_map(|(name, facts)| Some((name, facts.info.as_ref()?)))
        .collect();
    let mut findings = Vec::new();
    for (index, (one, first)) in infos.iter().enumerate() {
        for (other, second) in &infos[index + 1..] {
            if !first.run_id.is_empty() && first.run_id == second.run_id {
                findings.push(found(
                    Severity::Danger,
                    format!("{one} and {other} are the same server"),
                    "it has two votes: two hosts can each have a majority",
                    "give each server once",
                ));
            } else if (first.is_replica() || second.is_replica())
                && !first.replication_id.is_empty()
                && first.replication_id == second.replication_id
            {
                findings.push(found(
                    Severity::Danger,
                    format!("{one} and {other} are a primary and its replica"),
                    "they are one vote and fail as one; after a failover the copy votes without \
                     the locks that had not reached it, and a second host gets them",
                    "name one of them, and a server of its own instead of the other",
                ));
            }
        }
    }
    findings
}

fn examined(nodes: &[(NodeName, Facts)]) -> impl Iterator<Item = (&NodeName, &Examination)> {
    nodes.iter().filter_map(|(name, facts)| match facts {
        Facts::Redis(Ok(facts)) => Some((name, &**facts)),
        _ => None,
    })
}
