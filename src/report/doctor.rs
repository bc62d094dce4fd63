//! What `doctor` has found, as a page for somebody who was woken up by it, or as JSON.
//!
//! The verdict first, then a line for each server, the findings from the worst down, each with what
//! it does and what to set, and the ACL rule. Called by `commands`.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::table::{self, Cell, Column, Fit, Paper, Side, Tint};
use super::words::{exact_ms, json_page};
use super::{escape, short};
use crate::clock::whole_ms;
use crate::lock::fitness::{Facts, Finding, Fitness, Severity};
use crate::node::{Examination, LocalExamination, NodeError, NodeName};

/// Lines of prose get no longer than this, however wide the terminal is.
const READABLE: usize = 100;

/// What the left column of a finding takes.
const INDENT: usize = 10;

const SERVERS: [Column; 8] = [
    Column::new("SERVER", Fit::Shorten(12), Side::Left),
    Column::new("VOTE", Fit::Whole, Side::Left),
    Column::new("VERSION", Fit::Shorten(8), Side::Left),
    Column::new("ROLE", Fit::Whole, Side::Left),
    Column::new("UP", Fit::Whole, Side::Left),
    Column::new("TRIP", Fit::Whole, Side::Left),
    Column::new("CLOCK", Fit::Whole, Side::Left),
    Column::new("KEEPS", Fit::Shorten(5), Side::Left),
];

const DIRECTORY: [Column; 4] = [
    Column::new("DIRECTORY", Fit::Shorten(12), Side::Left),
    Column::new("VOTE", Fit::Whole, Side::Left),
    Column::new("ON", Fit::Whole, Side::Left),
    Column::new("FREE", Fit::Whole, Side::Left),
];

/// The smallest rule for a user of redlock, and what `doctor` needs beside it.
#[derive(Clone, Debug)]
pub struct Rule {
    /// A command for `redis-cli`.
    pub rule: String,
    /// Rights that only `doctor` needs, and what they are for.
    pub optional: Vec<(String, &'static str)>,
}

/// Writes the whole page.
///
/// # Errors
///
/// If `out` cannot be written to.
pub fn write(
    out: &mut impl Write,
    paper: Paper,
    nodes: &[(NodeName, Facts)],
    fitness: &Fitness,
    rule: Option<&Rule>,
) -> io::Result<()> {
    writeln!(out, "{}\n", verdict(nodes, fitness, paper))?;
    write_table(out, paper, nodes, fitness)?;
    for (finding, names) in grouped(&fitness.findings) {
        writeln!(out)?;
        write_finding(out, paper, finding, &names)?;
    }
    match rule {
        Some(rule) => write_rule(out, paper, rule),
        None => Ok(()),
    }
}

fn write_rule(out: &mut impl Write, paper: Paper, rule: &Rule) -> io::Result<()> {
    let prose = |words: &str| wrap(words, paper.width, 0).join("\n");
    let head = "The smallest rights for a user of redlock, to be set in redis-cli on every server:";
    // The rule itself is not broken: it is to be copied.
    writeln!(out, "\n{}\n\n{}\n", prose(head), escape(&rule.rule))?;
    let kept = "ACL SAVE, where there is an aclfile, or CONFIG REWRITE keeps it over a restart.";
    writeln!(out, "{}", prose(kept))?;
    for (right, what) in &rule.optional {
        let also = format!("{right} as well for whoever runs doctor, to see {what}.");
        writeln!(out, "{}", prose(&also))?;
    }
    Ok(())
}

fn verdict(nodes: &[(NodeName, Facts)], fitness: &Fitness, paper: Paper) -> String {
    if let [(name, Facts::Local(_))] = nodes {
        let name = escape(&name.0);
        return match (fitness.is_dangerous(), fitness.has_quorum()) {
            (true, _) => paper.tinted(&format!("NOT FIT: {name}"), tint(Severity::Danger)),
            (false, true) => format!("Fit: {name}, for the jobs of this host"),
            (false, false) => paper.tinted(&format!("NOT USABLE: {name}"), tint(Severity::NoVote)),
        };
    }
    let (all, voters, quorum) = (nodes.len(), fitness.voters(), fitness.quorum());
    let count = format!("{voters} of {all} servers have a vote, a lock needs {quorum}");
    match (fitness.is_dangerous(), fitness.has_quorum()) {
        (true, _) => {
            let head = paper.tinted("NOT FIT: two holders are possible", tint(Severity::Danger));
            format!("{head}; {count}")
        }
        (false, true) => format!("Fit: {count}"),
        (false, false) => format!(
            "{}: {count}",
            paper.tinted("NO QUORUM", tint(Severity::NoVote))
        ),
    }
}

/// One line for each node.
fn write_table(
    out: &mut impl Write,
    paper: Paper,
    nodes: &[(NodeName, Facts)],
    fitness: &Fitness,
) -> io::Result<()> {
    let columns: &[Column] = match nodes {
        [(_, Facts::Local(_))] => &DIRECTORY,
        _ => &SERVERS,
    };
    let row = |((name, facts), has_vote): (&(NodeName, Facts), &bool)| {
        let vote = if *has_vote { "yes" } else { "no" };
        let mut row = vec![name.0.clone(), vote.to_owned()];
        match facts {
            Facts::Redis(Ok(facts)) => row.extend(cells(facts)),
            Facts::Local(Ok(facts)) => row.extend(local_cells(facts)),
            Facts::Redis(Err(_)) | Facts::Local(Err(_)) => {
                row.resize(columns.len(), "-".to_owned());
            }
        }
        row.iter().map(|text| Cell::plain(text)).collect()
    };
    table::write(out, paper, 0, columns, || {
        nodes.iter().zip(&fitness.votes).map(row)
    })
}

fn cells(facts: &Examination) -> Vec<String> {
    let unknown = || "?".to_owned();
    let info = facts.info.as_ref();
    let trip = facts.median_trip();
    let role = info.map_or_else(unknown, |info| {
        let role = if info.is_replica() {
            "replica"
        } else {
            "primary"
        };
        match &*info.mode {
            "" | "standalone" => role.to_owned(),
            mode => mode.to_owned(),
        }
    });
    let keeps = match (info.map(|info| info.appends), &facts.config) {
        (None, _) => unknown(),
        (Some(true), Some(config)) => format!("log, {}", config.appendfsync),
        (Some(true), None) => "log".to_owned(),
        (Some(false), Some(config)) if config.save.is_empty() => "nothing".to_owned(),
        (Some(false), Some(_)) => "snapshots".to_owned(),
        (Some(false), None) => "no log".to_owned(),
    };
    vec![
        info.map_or_else(unknown, |info| {
            format!("{} {}", info.software, info.version)
        }),
        role,
        info.map_or_else(unknown, |info| short(info.uptime)),
        trip.map_or_else(unknown, trip_text),
        facts.clock_offset_ms.map_or_else(unknown, offset),
        keeps,
    ]
}

fn local_cells(facts: &LocalExamination) -> Vec<String> {
    let free = format!("{} MiB", facts.free_bytes / 1024 / 1024);
    vec![facts.file_system.name().to_owned(), free]
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

fn write_finding(
    out: &mut impl Write,
    paper: Paper,
    finding: &Finding,
    names: &[String],
) -> io::Result<()> {
    let problem = match names {
        [] => escape(&finding.problem),
        names => format!("{}: {}", names.join(", "), escape(&finding.problem)),
    };
    let word = format!("{:<INDENT$}", severity_word(finding.severity));
    let parts = [
        (paper.tinted(&word, tint(finding.severity)), problem),
        (format!("{:<INDENT$}", "  effect"), escape(&finding.effect)),
        (format!("{:<INDENT$}", "  set"), escape(&finding.remedy)),
    ];
    for (mut label, words) in parts {
        for line in wrap(&words, paper.width, INDENT) {
            writeln!(out, "{label}{line}")?;
            label = " ".repeat(INDENT);
        }
    }
    Ok(())
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

fn tint(severity: Severity) -> Tint {
    match severity {
        Severity::Danger | Severity::NoVote => Tint::Bad,
        Severity::Warning => Tint::Doubtful,
        Severity::Note => Tint::Faint,
    }
}

/// The same for programs: one object.
#[must_use]
pub fn json(nodes: &[(NodeName, Facts)], fitness: &Fitness, rule: Option<&Rule>) -> String {
    let each = nodes.iter().zip(&fitness.votes);
    let each = each.map(|((name, facts), has_vote)| node_json(name, facts, *has_vote));
    let findings = fitness.findings.iter().map(|finding| {
        json!({
            "node": finding.node.as_ref().map(|name| &name.0),
            "severity": match finding.severity {
                Severity::Danger => "danger",
                Severity::NoVote => "no_vote",
                Severity::Warning => "warning",
                Severity::Note => "note",
            },
            "problem": finding.problem,
            "effect": finding.effect,
            "remedy": finding.remedy,
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
    format!("{}\n", json_page(&object))
}

fn node_json(name: &NodeName, facts: &Facts, has_vote: bool) -> Value {
    use NodeError::{NoHandshake, TimedOut, Unreachable};
    let is_away = matches!(
        facts,
        Facts::Redis(Err(Unreachable(_) | TimedOut(_) | NoHandshake(_)))
    );
    let error = match facts {
        Facts::Redis(Err(error)) => Some(error.to_string()),
        Facts::Local(Err(error)) => Some(error.clone()),
        Facts::Redis(Ok(_)) | Facts::Local(Ok(_)) => None,
    };
    let mut object = json!({
        "node": name.0,
        "has_vote": has_vote,
        "reachable": !is_away,
        "error": error,
    });
    let more = match facts {
        Facts::Redis(Ok(facts)) => server_json(facts),
        Facts::Local(Ok(facts)) => json!({
            "file_system": facts.file_system.name(),
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
    let failed = |wanted: fn(&NodeError) -> bool| -> Vec<&str> {
        let rights = facts.rights.iter();
        let failed = rights.filter(|(_, answer)| answer.as_ref().is_err_and(wanted));
        failed.map(|(right, _)| right.command).collect()
    };
    json!({
        "software": info.map(|info| &info.software),
        "version": info.map(|info| &info.version),
        "mode": info.map(|info| &info.mode),
        "role": info.map(|info| if info.is_replica() { "replica" } else { "primary" }),
        "replicas": info.map(|info| info.replicas),
        "uptime_ms": info.map(|info| whole_ms(info.uptime)),
        "first_answer_ms": exact_ms(facts.first),
        "latency_ms": facts.median_trip().map(exact_ms),
        "latency_min_ms": facts.trips.first().map(|trip| exact_ms(*trip)),
        "clock_offset_ms": facts.clock_offset_ms,
        "maxmemory": info.map(|info| info.maxmemory),
        "used_memory": info.map(|info| info.used_memory),
        "maxmemory_policy": info.map(|info| &info.maxmemory_policy),
        "appendonly": info.map(|info| info.appends),
        "appendfsync": facts.config.as_ref().map(|config| &config.appendfsync),
        "save": facts.config.as_ref().map(|config| &config.save),
        "forbidden": failed(|error| matches!(error, NodeError::Refused(_))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::FileSystem;

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
    fn a_long_name_does_not_break_the_lines_of_the_terminal() {
        let facts = LocalExamination {
            file_system: FileSystem::Disk,
            free_bytes: 1 << 30,
            free_files: None,
            has_other_users: false,
        };
        let name = NodeName(format!("/var/lib/{}", "long/".repeat(20)));
        let nodes = [(name, Facts::Local(Ok(facts)))];
        let fitness = Fitness {
            votes: vec![true],
            findings: Vec::new(),
            refusals: 0,
        };
        let paper = Paper {
            width: Some(50),
            ..Paper::plain()
        };
        let mut out = Vec::new();
        write_table(&mut out, paper, &nodes, &fitness).expect("a vector takes everything");
        let text = String::from_utf8(out).expect("text");
        assert!(
            text.lines().all(|line| line.chars().count() <= 50),
            "{text}"
        );
        assert!(text.ends_with("…  yes   disk  1024 MiB\n"), "{text}");
    }

    #[test]
    fn what_stands_beside_a_finding_stands_at_its_first_line_only() {
        let words = "one two three four five six seven eight nine ten";
        let finding = Finding {
            severity: Severity::Note,
            node: None,
            problem: words.to_owned(),
            effect: words.to_owned(),
            remedy: words.to_owned(),
        };
        let paper = Paper {
            width: Some(40),
            ..Paper::plain()
        };
        let mut out = Vec::new();
        write_finding(&mut out, paper, &finding, &[]).expect("a vector takes everything");
        let text = String::from_utf8(out).expect("text");
        assert!(text.lines().count() > 3, "{text}");
        let left: String = text.lines().map(|line| line[..INDENT].trim_end()).collect();
        assert_eq!(left, "note  effect  set", "{text}");
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

    fn server(answer: Result<Examination, NodeError>) -> (NodeName, Facts) {
        let name = NodeName("a".to_owned());
        (name, Facts::Redis(answer.map(Box::new)))
    }

    fn examination() -> Examination {
        use crate::node::acl::RIGHTS;
        use crate::node::{Config, Info};
        let refused = Err(NodeError::Refused("NOPERM".to_owned()));
        let failed = Err(NodeError::Failed("OOM".to_owned()));
        Examination {
            first: Duration::from_millis(9),
            trips: [200, 300, 400].map(Duration::from_micros).into(),
            clock_offset_ms: Some(-3),
            info: Some(Info {
                software: "redis".to_owned(),
                version: "7.2.4".to_owned(),
                mode: "cluster".to_owned(),
                ..Info::default()
            }),
            config: Some(Config {
                appendfsync: "everysec".to_owned(),
                save: String::new(),
            }),
            rights: vec![(&RIGHTS[1], refused), (&RIGHTS[2], failed)],
        }
    }

    fn told(nodes: &[(NodeName, Facts)], votes: &[bool], worst: Option<Severity>) -> Value {
        let findings = worst.map(|severity| Finding {
            severity,
            node: None,
            problem: String::new(),
            effect: String::new(),
            remedy: String::new(),
        });
        let fitness = Fitness {
            findings: findings.into_iter().collect(),
            votes: votes.to_vec(),
            refusals: 0,
        };
        serde_json::from_str(&json(nodes, &fitness, None)).expect("it is JSON")
    }

    #[test]
    fn fit_is_a_quorum_without_a_danger() {
        for (votes, worst, is_fit) in [
            ([true, true, false], None, true),
            ([true, true, false], Some(Severity::NoVote), true),
            ([true, false, false], Some(Severity::NoVote), false),
            ([true, true, true], Some(Severity::Danger), false),
        ] {
            assert_eq!(
                told(&[], &votes, worst)["fit"],
                is_fit,
                "{votes:?} {worst:?}"
            );
        }
    }

    #[test]
    fn a_server_that_answers_is_reachable_even_if_it_says_no() {
        let moment = Duration::from_secs(1);
        for (error, is_reachable) in [
            (NodeError::Refused("x".to_owned()), true),
            (NodeError::Failed("x".to_owned()), true),
            (NodeError::Unreachable("x".to_owned()), false),
            (NodeError::TimedOut(moment), false),
            (NodeError::NoHandshake(moment), false),
        ] {
            let said = error.to_string();
            let node = &told(&[server(Err(error))], &[false], None)["nodes"][0];
            assert_eq!(node["reachable"], is_reachable, "{node}");
            assert_eq!(node["error"], said);
        }
        let unusable = Facts::Local(Err("permission denied".to_owned()));
        let nodes = [(NodeName("/d".to_owned()), unusable)];
        assert_eq!(
            told(&nodes, &[false], None)["nodes"][0]["error"],
            "permission denied"
        );
    }

    #[test]
    fn programs_are_told_what_was_measured_and_what_is_forbidden_rather_than_failing() {
        let node = &told(&[server(Ok(examination()))], &[true], None)["nodes"][0];
        assert_eq!(node["first_answer_ms"], 9.0);
        assert_eq!(
            (&node["latency_min_ms"], &node["latency_ms"]),
            (&0.2.into(), &0.3.into())
        );
        assert_eq!(node["clock_offset_ms"], -3);
        assert_eq!(node["forbidden"], json!(["set"]));
    }

    #[test]
    fn people_are_told_that_nothing_is_kept_and_that_it_is_no_server_of_its_own() {
        let shown = cells(&examination());
        assert_eq!(shown[1], "cluster");
        assert_eq!(shown.last().map(String::as_str), Some("nothing"));
    }

    #[test]
    fn a_directory_that_cannot_be_used_is_not_called_fit() {
        let nodes = [(NodeName("/d".to_owned()), Facts::Local(Err(String::new())))];
        let fitness = Fitness {
            votes: vec![false],
            findings: Vec::new(),
            refusals: 0,
        };
        assert_eq!(verdict(&nodes, &fitness, Paper::plain()), "NOT USABLE: /d");
    }

    #[test]
    fn one_problem_with_two_remedies_is_said_twice() {
        let finding = |node: &str, remedy: &str| Finding {
            severity: Severity::Warning,
            node: Some(NodeName(node.to_owned())),
            problem: "x".to_owned(),
            effect: String::new(),
            remedy: remedy.to_owned(),
        };
        assert_eq!(grouped(&[finding("a", "1"), finding("b", "2")]).len(), 2);
    }
}
