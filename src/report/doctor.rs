//! What `doctor` has found, as a page for somebody who was woken up by it, or as JSON.
//!
//! The verdict first, then a line for each server, the findings from the worst down, each with what
//! it does and what to set, and the ACL rule. Called by `commands`.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::words::exact_ms;
use super::{escape, short};
use crate::clock::whole_ms;
use crate::lock::fitness::{Facts, Finding, Fitness, Severity};
use crate::node::{Examination, FileSystem, LocalExamination, NodeError, NodeName};

/// Lines of prose get no longer than this, however wide the terminal is.
const READABLE: usize = 100;

/// What the left column of a finding takes.
const INDENT: usize = 10;

/// What the page is written on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The columns of the terminal; `None` breaks no lines, for whoever searches them.
    pub width: Option<usize>,
    /// Whether it takes colours.
    pub colour: bool,
}

/// The smallest rule for a user of redlock, and what `doctor` needs beside it.
#[derive(Clone, Debug)]
pub struct Rule {
    /// A command for `redis-cli`.
    pub rule: String,
    /// Rights that only `doctor` needs, and what they are for.
    pub optional: Vec<(String, &'static str)>,
}

/// The whole page.
#[must_use]
pub fn text(
    nodes: &[(NodeName, Facts)],
    fitness: &Fitness,
    rule: Option<&Rule>,
    page: Page,
) -> String {
    let mut text = format!("{}\n\n", verdict(nodes, fitness, page));
    text.push_str(&table(nodes, fitness, page));
    for (finding, names) in grouped(&fitness.findings) {
        text.push('\n');
        text.push_str(&finding_text(finding, &names, page));
    }
    if let Some(rule) = rule {
        text.push_str(&rule_text(rule, page));
    }
    text
}

fn rule_text(rule: &Rule, page: Page) -> String {
    let line = |words: &str| wrap(words, page.width, 0).join("\n");
    let head = "The smallest rights for a user of redlock, to be set in redis-cli on every server:";
    // The rule itself is not broken: it is to be copied.
    let mut text = format!("\n{}\n\n{}\n\n", line(head), escape(&rule.rule));
    for (right, what) in &rule.optional {
        let also = format!("{right} as well for whoever runs doctor, to see {what}.");
        let _ = writeln!(text, "{}", line(&also));
    }
    text
}

fn verdict(nodes: &[(NodeName, Facts)], fitness: &Fitness, page: Page) -> String {
    if let [(name, Facts::Local(_))] = nodes {
        let name = escape(&name.0);
        return match (fitness.is_dangerous(), fitness.has_quorum()) {
            (true, _) => page.tint(Severity::Danger, &format!("NOT FIT: {name}")),
            (false, true) => format!("Fit: {name}, for the jobs of this host"),
            (false, false) => page.tint(Severity::NoVote, &format!("NOT USABLE: {name}")),
        };
    }
    let (all, voters, quorum) = (nodes.len(), fitness.voters(), fitness.quorum());
    let count = format!("{voters} of {all} servers have a vote, a lock needs {quorum}");
    match (fitness.is_dangerous(), fitness.has_quorum()) {
        (true, _) => {
            let head = page.tint(Severity::Danger, "NOT FIT: two holders are possible");
            format!("{head}; {count}")
        }
        (false, true) => format!("Fit: {count}"),
        (false, false) => format!("{}: {count}", page.tint(Severity::NoVote, "NO QUORUM")),
    }
}

/// One line for each node.
fn table(nodes: &[(NodeName, Facts)], fitness: &Fitness, page: Page) -> String {
    let mut rows: Vec<Vec<String>> = Vec::with_capacity(nodes.len() + 1);
    let head = [
        "SERVER", "VOTE", "VERSION", "ROLE", "UP", "TRIP", "CLOCK", "KEEPS",
    ];
    let is_local = matches!(nodes, [(_, Facts::Local(_))]);
    if is_local {
        rows.push(["DIRECTORY", "VOTE", "ON", "FREE"].map(Into::into).into());
    } else {
        rows.push(head.map(Into::into).into());
    }
    for ((name, facts), has_vote) in nodes.iter().zip(&fitness.votes) {
        let vote = if *has_vote { "yes" } else { "no" };
        let mut row = vec![escape(&name.0), vote.to_owned()];
        match facts {
            Facts::Redis(Ok(facts)) => row.extend(cells(facts)),
            Facts::Local(Ok(facts)) => row.extend(local_cells(facts)),
            Facts::Redis(Err(_)) | Facts::Local(Err(_)) => {
                row.resize(rows[0].len(), "-".to_owned());
            }
        }
        rows.push(row);
    }
    let columns = rows[0].len();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        let line = line.trim_end();
        // A long name shall not break the lines of the others.
        let line: String = line
            .chars()
            .take(page.width.unwrap_or(usize::MAX))
            .collect();
        text.push_str(&line);
        text.push('\n');
    }
    text
}

fn cells(facts: &Examination) -> Vec<String> {
    let unknown = || "?".to_owned();
    let info = facts.info.as_ref();
    let trip = facts.trips.get(facts.trips.len() / 2).copied();
    let role = info.map_or_else(unknown, |info| {
        let role = if info.is_replica() {
            "replica"
        } else {
            "primary"
        };
        if info.mode == "standalone" {
            role.to_owned()
        } else {
            escape(&info.mode)
        }
    });
    let keeps = match (info.map(|info| info.appends), &facts.config) {
        (None, _) => unknown(),
        (Some(true), Some(config)) => format!("log, {}", escape(&config.appendfsync)),
        (Some(true), None) => "log".to_owned(),
        (Some(false), Some(config)) if config.save.is_empty() => "nothing".to_owned(),
        (Some(false), Some(_)) => "snapshots".to_owned(),
        (Some(false), None) => "no log".to_owned(),
    };
    vec![
        info.map_or_else(unknown, |info| {
            escape(&format!("{} {}", info.software, info.version))
        }),
        role,
        info.map_or_else(unknown, |info| short(info.uptime)),
        trip.map_or_else(unknown, trip_text),
        facts.clock_offset_ms.map_or_else(unknown, offset),
        keeps,
    ]
}

fn local_cells(facts: &LocalExamination) -> Vec<String> {
    let system = match facts.file_system {
        FileSystem::Disk => "disk",
        FileSystem::Memory => "memory",
        FileSystem::Network(name) => name,
        FileSystem::Fuse => "FUSE",
    };
    let free = format!("{} MiB", facts.free_bytes / 1024 / 1024);
    vec![system.to_owned(), free]
}

/// Round trips are a few tenths of a millisecond where servers belong.
fn trip_text(trip: Duration) -> String {
    let micros = trip.as_micros();
    if micros < 1000 {
        format!("0.{:02}ms", micros / 10)
    } else if micros < 10_000 {
        format!("{}.{}ms", micros / 1000, micros % 1000 / 100)
    } else {
        short(trip)
    }
}

fn offset(ms: i64) -> String {
    let sign = if ms < 0 { '-' } else { '+' };
    format!("{sign}{}", short(Duration::from_millis(ms.unsigned_abs())))
}

/// The same about several servers is said once, with all their names.
fn grouped(findings: &[Finding]) -> Vec<(&Finding, Vec<String>)> {
    let mut groups: Vec<(&Finding, Vec<String>)> = Vec::new();
    for finding in findings {
        let name = finding.node.as_ref().map(|name| escape(&name.0));
        let same = |(other, names): &&mut (&Finding, Vec<String>)| {
            !names.is_empty()
                && name.is_some()
                && other.severity == finding.severity
                && other.problem == finding.problem
                && other.effect == finding.effect
                && other.remedy == finding.remedy
        };
        match groups.iter_mut().find(same) {
            Some((_, names)) => names.extend(name),
            None => groups.push((finding, name.into_iter().collect())),
        }
    }
    groups
}

fn finding_text(finding: &Finding, names: &[String], page: Page) -> String {
    let problem = match names {
        [] => escape(&finding.problem),
        names => format!("{}: {}", names.join(", "), escape(&finding.problem)),
    };
    let word = severity_word(finding.severity);
    let parts = [
        (
            page.tint(finding.severity, &format!("{word:<INDENT$}")),
            problem,
        ),
        (format!("{:<INDENT$}", "  effect"), escape(&finding.effect)),
        (format!("{:<INDENT$}", "  set"), escape(&finding.remedy)),
    ];
    let mut text = String::new();
    for (label, words) in parts {
        for (index, line) in wrap(&words, page.width, INDENT).iter().enumerate() {
            let left = if index == 0 {
                label.clone()
            } else {
                " ".repeat(INDENT)
            };
            let _ = writeln!(text, "{left}{line}");
        }
    }
    text
}

fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Danger => "DANGER",
        Severity::NoVote => "NO VOTE",
        Severity::Warning => "WARNING",
        Severity::Note => "note",
    }
}

/// Lines that fit beside a left column of `used`; one if nothing has to fit.
fn wrap(words: &str, width: Option<usize>, used: usize) -> Vec<String> {
    let room = width.map_or(usize::MAX, |width| {
        width.min(READABLE).saturating_sub(used).max(20)
    });
    let mut lines: Vec<String> = Vec::new();
    for word in words.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

impl Page {
    fn tint(self, severity: Severity, text: &str) -> String {
        let code = match severity {
            _ if !self.colour => return text.to_owned(),
            Severity::Danger => "1;31",
            Severity::NoVote => "31",
            Severity::Warning => "33",
            Severity::Note => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// The same for programs: one object.
#[must_use]
pub fn json(nodes: &[(NodeName, Facts)], fitness: &Fitness, rule: Option<&Rule>) -> String {
    let each = nodes.iter().zip(&fitness.votes);
    let each = each.map(|((name, facts), has_vote)| node_json(name, facts, *has_vote));
    let findings = fitness.findings.iter().map(|finding| {
        json!({
            "node": finding.node.as_ref().map(|name| escape(&name.0)),
            "severity": match finding.severity {
                Severity::Danger => "danger",
                Severity::NoVote => "no_vote",
                Severity::Warning => "warning",
                Severity::Note => "note",
            },
            "problem": escape(&finding.problem),
            "effect": escape(&finding.effect),
            "remedy": escape(&finding.remedy),
        })
    });
    let optional = |rule: &Rule| {
        let rights = rule.optional.iter().map(|(right, _)| right.clone());
        rights.collect::<Vec<_>>()
    };
    let object = json!({
        "fit": fitness.has_quorum() && !fitness.is_dangerous(),
        "votes": fitness.voters(),
        "quorum": fitness.quorum(),
        "nodes": each.collect::<Vec<_>>(),
        "findings": findings.collect::<Vec<_>>(),
        "acl_rule": rule.map(|rule| &rule.rule),
        "acl_rule_for_doctor": rule.map(optional),
    });
    format!("{object:#}\n")
}

fn node_json(name: &NodeName, facts: &Facts, has_vote: bool) -> Value {
    let mut object = json!({
        "node": escape(&name.0),
        "has_vote": has_vote,
        "reachable": !matches!(
            facts,
            Facts::Redis(Err(NodeError::Unreachable(_) | NodeError::TimedOut(_)))
        ),
        "error": match facts {
            Facts::Redis(Err(error)) => Some(escape(&error.to_string())),
            Facts::Local(Err(error)) => Some(escape(error)),
            Facts::Redis(Ok(_)) | Facts::Local(Ok(_)) => None,
        },
    });
    let more = match facts {
        Facts::Redis(Ok(facts)) => server_json(facts),
        Facts::Local(Ok(facts)) => json!({
            "file_system": local_cells(facts)[0],
            "free_bytes": facts.free_bytes,
            "free_files": facts.free_files,
        }),
        Facts::Redis(Err(_)) | Facts::Local(Err(_)) => return object,
    };
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
    object
}

fn server_json(facts: &Examination) -> Value {
    let info = facts.info.as_ref();
    let text = |text: &str| escape(text);
    let failed = |wanted: fn(&NodeError) -> bool| -> Vec<&str> {
        let rights = facts.rights.iter();
        let failed = rights.filter(|(_, answer)| answer.as_ref().is_err_and(wanted));
        failed.map(|(right, _)| right.command).collect()
    };
    json!({
        "software": info.map(|info| text(&info.software)),
        "version": info.map(|info| text(&info.version)),
        "mode": info.map(|info| text(&info.mode)),
        "role": info.map(|info| if info.is_replica() { "replica" } else { "primary" }),
        "replicas": info.map(|info| info.replicas),
        "uptime_ms": info.map(|info| whole_ms(info.uptime)),
        "first_answer_ms": exact_ms(facts.first),
        "latency_ms": facts.trips.get(facts.trips.len() / 2).map(|trip| exact_ms(*trip)),
        "latency_min_ms": facts.trips.first().map(|trip| exact_ms(*trip)),
        "clock_offset_ms": facts.clock_offset_ms,
        "maxmemory": info.map(|info| info.maxmemory),
        "used_memory": info.map(|info| info.used_memory),
        "maxmemory_policy": info.map(|info| text(&info.maxmemory_policy)),
        "appendonly": info.map(|info| info.appends),
        "appendfsync": facts.config.as_ref().map(|config| text(&config.appendfsync)),
        "save": facts.config.as_ref().map(|config| text(&config.save)),
        "forbidden": failed(|error| matches!(error, NodeError::Refused(_))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_fits_the_terminal_and_is_one_line_elsewhere() {
        let words = "one two three four five six seven eight nine ten";
        assert_eq!(wrap(words, None, INDENT), [words]);
        let lines = wrap(words, Some(35), INDENT);
        assert!(
            lines.len() > 1 && lines.iter().all(|line| line.len() <= 25),
            "{lines:?}"
        );
        assert_eq!(lines.join(" "), words);
    }

    #[test]
    fn the_same_about_several_servers_is_said_once() {
        let finding = |node: &str, problem: &str| Finding {
            severity: Severity::Warning,
            node: Some(NodeName(node.to_owned())),
            problem: problem.to_owned(),
            effect: String::new(),
            remedy: String::new(),
        };
        let findings = [finding("a", "x"), finding("b", "y"), finding("c", "x")];
        let groups = grouped(&findings);
        let names: Vec<_> = groups.iter().map(|(_, names)| names.join(" ")).collect();
        assert_eq!(names, ["a c", "b"]);
    }

    #[test]
    fn small_times_are_told_apart() {
        assert_eq!(trip_text(Duration::from_micros(235)), "0.23ms");
        assert_eq!(trip_text(Duration::from_micros(1_250)), "1.2ms");
        assert_eq!(trip_text(Duration::from_millis(45)), "45ms");
        assert_eq!(offset(-1200), "-1.2s");
        assert_eq!(offset(0), "+0ms");
    }
}
