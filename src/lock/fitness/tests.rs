//! Facts in, findings out. What cannot be had from a real server in a test is made here.

use super::*;
use crate::node::acl::{Need, RIGHTS};
use crate::node::{Config, FileSystem, Info, Role};

/// A server about which there is nothing to say.
fn good() -> Examination {
    Examination {
        first: Duration::from_millis(1),
        trips: vec![Duration::from_micros(200)],
        clock_offset_ms: Some(3),
        info: Some(Info {
            software: "redis".to_owned(),
            version: "7.2.4".to_owned(),
            mode: "standalone".to_owned(),
            uptime: Duration::from_hours(1),
            maxmemory_policy: "noeviction".to_owned(),
            appends: true,
            ..Info::default()
        }),
        config: Some(Config {
            appendfsync: "always".to_owned(),
            save: String::new(),
        }),
        rights: RIGHTS.iter().map(|right| (right, Ok(()))).collect(),
    }
}

fn with(change: impl FnOnce(&mut Info)) -> Examination {
    let mut facts = good();
    change(facts.info.as_mut().expect("it has one"));
    facts
}

const USUAL: Expectations = Expectations {
    node_timeout: Duration::from_millis(80),
    restarts: Restarts {
        guard: RestartGuard::Auto,
        window: Duration::from_mins(1),
    },
    longest_ttl: Duration::from_secs(30),
};

fn guarded(guard: RestartGuard) -> Expectations {
    let restarts = Restarts {
        guard,
        ..USUAL.restarts
    };
    Expectations { restarts, ..USUAL }
}

fn judged(nodes: Vec<Answer<Examination>>, expectations: &Expectations) -> Fitness {
    let named = |(index, facts): (usize, Answer<Examination>)| {
        let name = NodeName(format!("node-{index}"));
        (name, Facts::Redis(facts.map(Box::new)))
    };
    let nodes: Vec<_> = nodes.into_iter().enumerate().map(named).collect();
    judge(&nodes, expectations)
}

/// What is found about the first of three servers, when the others are good.
fn of(facts: Examination) -> Vec<(Severity, String)> {
    let fitness = judged(vec![Ok(facts), Ok(good()), Ok(good())], &USUAL);
    let findings = fitness.findings.into_iter();
    findings
        .map(|found| (found.severity, found.problem))
        .collect()
}

#[track_caller]
fn assert_only(facts: Examination, severity: Severity, problem: &str) {
    let found = of(facts);
    assert!(
        matches!(&found[..], [(s, p)] if *s == severity && p.contains(problem)),
        "{severity:?} {problem}: {found:?}"
    );
}

#[test]
fn about_good_servers_there_is_nothing_to_say() {
    let fitness = judged(vec![Ok(good()), Ok(good()), Ok(good())], &USUAL);
    assert_eq!(fitness.findings, []);
    assert_eq!((fitness.voters(), fitness.quorum()), (3, 2));
    assert!(fitness.has_quorum() && !fitness.is_dangerous() && !fitness.is_refused());
}

#[test]
fn old_versions_are_mentioned_and_valkeys_numbers_are_its_own() {
    for (software, version, is_old) in [
        ("redis", "5.0.14", true),
        ("redis", "6.0.16", true),
        ("redis", "6.2.0", false),
        ("redis", "10.0.0", false),
        ("valkey", "7.2.5", false),
        ("redis", "unstable", false),
    ] {
        let found = of(with(|info| {
            info.software = software.to_owned();
            info.version = version.to_owned();
        }));
        assert_eq!(!found.is_empty(), is_old, "{software} {version}: {found:?}");
    }
}

#[test]
fn eviction_is_a_danger_only_within_a_bound_and_a_full_memory_a_warning() {
    let memory = |maxmemory, used_memory, policy: &str| {
        with(|info| {
            info.maxmemory = maxmemory;
            info.used_memory = used_memory;
            info.maxmemory_policy = policy.to_owned();
        })
    };
    assert_only(
        memory(100, 1, "volatile-ttl"),
        Severity::Danger,
        "volatile-ttl",
    );
    assert_only(
        memory(100, 1, "allkeys-lfu"),
        Severity::Danger,
        "allkeys-lfu",
    );
    assert_only(memory(100, 95, "noeviction"), Severity::Warning, "95% full");
    assert_only(memory(100, 90, "noeviction"), Severity::Warning, "90% full");
    assert_eq!(of(memory(100, 50, "noeviction")), []);
    assert_eq!(of(memory(0, 50, "allkeys-lru")), []);
}

#[test]
fn a_slow_server_is_called_slow() {
    let first = |ms| Examination {
        first: Duration::from_millis(ms),
        ..good()
    };
    assert_only(
        first(81),
        Severity::Warning,
        "more than --node-timeout 80ms",
    );
    assert_only(first(41), Severity::Warning, "close to --node-timeout 80ms");
    assert_eq!(of(first(39)), []);
}

#[test]
fn a_clock_that_is_off_is_the_servers_or_ours() {
    let off = |ms| Examination {
        clock_offset_ms: Some(ms),
        ..good()
    };
    assert_only(
        off(5200),
        Severity::Warning,
        "its clock is 5s200ms ahead of ours",
    );
    assert_only(
        off(-70_000),
        Severity::Warning,
        "its clock is 1m10s behind ours",
    );
    let all = |offsets: [i64; 3]| {
        let nodes = offsets.map(|ms| Ok(off(ms)));
        judged(nodes.into(), &USUAL).findings
    };
    let ours = all([60_000, 60_010, 59_990]);
    assert_eq!(ours.len(), 1, "{ours:?}");
    assert!(
        ours[0]
            .problem
            .contains("the clock of this host is 1m behind"),
        "{ours:?}"
    );
    let mixed = all([60_000, 60_010, -60_000]);
    assert!(
        mixed.len() == 3 && mixed.iter().all(|found| found.node.is_some()),
        "{mixed:?}"
    );
}

#[test]
fn a_young_server_has_no_vote_unless_all_are_young() {
    let young = || with(|info| info.uptime = Duration::from_mins(1));
    // A minute, and a second since uptime counts whole seconds.
    assert_only(young(), Severity::NoVote, "restarted 1m ago");
    assert_eq!(of(with(|info| info.uptime = Duration::from_secs(61))), []);
    let all = || vec![Ok(young()), Ok(young()), Ok(young())];
    let cold = judged(all(), &USUAL);
    assert_eq!(cold.voters(), 3);
    assert!(cold.findings[0].effect.contains("they grant locks at once"));
    assert_eq!(cold.findings[0].severity, Severity::Note);
    assert_eq!(judged(all(), &guarded(RestartGuard::Strict)).voters(), 0);
    let off = judged(all(), &guarded(RestartGuard::Off));
    assert_eq!(
        (off.voters(), off.findings[0].severity),
        (3, Severity::Warning)
    );
    // Young for a long TTL alone: the window counts.
    let rare = Expectations {
        longest_ttl: Duration::from_hours(1),
        ..USUAL
    };
    let up = |minutes| Ok(with(|info| info.uptime = Duration::from_mins(minutes)));
    let mixed = judged(vec![Ok(young()), up(2), up(3)], &rare);
    assert_eq!(mixed.votes, [false, true, true]);
    let note = mixed
        .findings
        .iter()
        .find(|found| found.severity == Severity::Note);
    let effect = "those that have been up for the restart window grant locks";
    assert!(note.is_some_and(|note| note.effect.contains(effect)));
    let findings = mixed.findings.iter().map(|found| &*found.problem);
    assert_eq!(
        findings.collect::<Vec<_>>()[..2],
        [
            "restarted 1m ago",
            "the longest TTL in the settings is 1h, the restart window 1m",
        ]
    );
    assert_eq!(judged(vec![Ok(young()), up(2), up(61)], &rare).voters(), 1);
    // One that does not answer may be old: no cold start.
    let away = Err(NodeError::Unreachable("connection refused".to_owned()));
    assert_eq!(
        judged(vec![Ok(young()), Ok(young()), away], &USUAL).voters(),
        0
    );
}

#[test]
fn persistence_says_how_the_restart_window_helps_or_not() {
    let forgetful = || {
        let mut facts = with(|info| info.appends = false);
        facts.config.as_mut().expect("it has one").save = String::new();
        facts
    };
    let effect = |guard| {
        let nodes = vec![Ok(forgetful()), Ok(good()), Ok(good())];
        let fitness = judged(nodes, &guarded(guard));
        let found = &fitness.findings[0];
        assert_eq!(found.severity, Severity::Warning);
        found.effect.clone()
    };
    assert!(effect(RestartGuard::Auto).contains("it grants none for 1m after a restart"));
    assert!(effect(RestartGuard::Off).contains("votes at once"));
    let unknown = Examination {
        config: None,
        ..forgetful()
    };
    assert_only(unknown, Severity::Warning, "not logged on disk");
}

#[test]
fn refusals_rule_out_a_quorum_only_if_they_are_so_many() {
    let refused = || Err(NodeError::Refused("NOAUTH".to_owned()));
    let away = || Err(NodeError::TimedOut(Duration::from_millis(80)));
    let one = judged(vec![refused(), away(), Ok(good())], &USUAL);
    assert!(!one.has_quorum() && !one.is_refused());
    let two = judged(vec![refused(), refused(), Ok(good())], &USUAL);
    assert!(!two.has_quorum() && two.is_refused());
}

#[test]
fn what_a_server_is_counts_more_than_what_it_could_not_do() {
    let mut replica = with(|info| info.role = Role::Replica("10.0.0.1:6379".to_owned()));
    for (right, answer) in &mut replica.rights {
        if right.need == Need::Locks {
            *answer = Err(NodeError::Failed("READONLY You can't write".to_owned()));
        }
    }
    assert_only(
        replica,
        Severity::NoVote,
        "read-only replica of 10.0.0.1:6379",
    );
    assert_only(
        // It does not know yet that it logs what it does.
        with(|info| (info.is_loading, info.appends) = (true, false)),
        Severity::NoVote,
        "still reading its data",
    );
    assert_only(
        with(|info| info.mode = "sentinel".to_owned()),
        Severity::NoVote,
        "Sentinel",
    );
}

#[test]
fn a_directory_of_other_hosts_is_a_danger_and_a_full_disk_no_vote() {
    const ROOM: u64 = 1 << 30;
    let of = |file_system, free_bytes, free_files| {
        let facts = LocalExamination {
            file_system,
            free_bytes,
            free_files,
            has_other_users: false,
        };
        let nodes = [(NodeName("/d".to_owned()), Facts::Local(Ok(facts)))];
        judge(&nodes, &USUAL)
    };
    assert_eq!(of(FileSystem::Disk, ROOM, None).findings, []);
    assert!(of(FileSystem::Network("NFS"), ROOM, None).is_dangerous());
    let full = of(FileSystem::Disk, 0, Some(10_000));
    assert!(!full.has_quorum() && !full.is_dangerous());
    assert!(!of(FileSystem::Disk, ROOM, Some(0)).has_quorum());
    let scarce = of(FileSystem::Disk, 1 << 20, None);
    assert!(scarce.has_quorum() && scarce.findings.len() == 1);
}

#[test]
fn a_directory_that_is_shared_or_made_by_a_program_or_short_of_files_is_told() {
    let of = |file_system, free_files, has_other_users| {
        let facts = LocalExamination {
            file_system,
            free_bytes: 1 << 30,
            free_files,
            has_other_users,
        };
        let nodes = [(NodeName("/d".to_owned()), Facts::Local(Ok(facts)))];
        judge(&nodes, &USUAL)
    };
    assert!(of(FileSystem::Disk, None, true).is_dangerous());
    assert_eq!(of(FileSystem::Disk, Some(1000), false).findings, []);
    for (fitness, problem) in [
        (of(FileSystem::Disk, Some(999), false), "room for 999 files"),
        (of(FileSystem::Fuse, None, false), "on FUSE"),
    ] {
        assert!(fitness.has_quorum(), "{fitness:?}");
        assert!(fitness.findings[0].problem.contains(problem), "{fitness:?}");
    }
}

/// A server that answers like this to the right that is named.
fn saying(command: &str, error: &NodeError) -> Examination {
    let mut facts = good();
    for (right, answer) in &mut facts.rights {
        if right.command == command {
            *answer = Err(error.clone());
        }
    }
    facts
}

#[test]
fn what_keeps_a_server_from_writing_has_a_remedy_of_its_own_and_is_no_refusal() {
    for (said, remedy) in [
        ("OOM command not allowed", "maxmemory"),
        ("MISCONF Redis is configured to save", "its disk"),
        (
            "NOREPLICAS Not enough good replicas",
            "min-replicas-to-write",
        ),
        ("BUSY Redis is busy running a script", "SCRIPT KILL"),
        ("READONLY You can't write", "a server of its own"),
    ] {
        let facts = || Ok(saying("set", &NodeError::Failed(said.to_owned())));
        let fitness = judged(vec![facts(), facts(), Ok(good())], &USUAL);
        let found = &fitness.findings[0];
        assert_eq!(found.severity, Severity::NoVote, "{found:?}");
        assert!(found.problem.contains(said), "{found:?}");
        assert!(found.remedy.contains(remedy), "{found:?}");
        assert!(!fitness.is_refused(), "{said} is an outage");
    }
    let forbidden = || Ok(saying("set", &NodeError::Refused("NOPERM".to_owned())));
    assert!(judged(vec![forbidden(), forbidden(), Ok(good())], &USUAL).is_refused());
}

#[test]
fn a_command_that_is_missing_for_comfort_alone_is_a_warning() {
    let error = NodeError::Failed("unknown command 'INFO'".to_owned());
    assert_only(
        saying("info", &error),
        Severity::Warning,
        "does not know info",
    );
}

#[test]
fn a_danger_takes_no_vote_away_and_a_replica_is_not_told_of_its_own_copies() {
    let writable = with(|info| info.role = Role::WritableReplica("h:1".to_owned()));
    let fitness = judged(vec![Ok(writable), Ok(good()), Ok(good())], &USUAL);
    assert!(fitness.is_dangerous());
    assert_eq!(fitness.votes, [true, true, true]);
    let chained = with(|info| {
        info.role = Role::Replica("h:1".to_owned());
        info.replicas = 1;
    });
    assert_only(chained, Severity::NoVote, "read-only replica");
}

#[test]
fn a_ttl_beyond_the_restart_window_is_told_where_that_window_counts() {
    let found = |guard, longest_ttl| {
        let expectations = Expectations {
            longest_ttl,
            ..guarded(guard)
        };
        judged(vec![Ok(good()), Ok(good()), Ok(good())], &expectations).findings
    };
    let window = USUAL.restarts.window;
    let longer = window + Duration::from_secs(1);
    assert_eq!(found(RestartGuard::Auto, longer).len(), 1);
    assert_eq!(found(RestartGuard::Auto, window), []);
    assert_eq!(found(RestartGuard::Off, longer), []);
    let forgetful = with(|info| info.appends = false);
    let expectations = Expectations {
        longest_ttl: window * 2,
        ..USUAL
    };
    let fitness = judged(vec![Ok(forgetful), Ok(good()), Ok(good())], &expectations);
    let says = |found: &Finding| {
        found
            .effect
            .contains("it grants none for 2m after a restart")
    };
    assert!(fitness.findings.iter().any(says), "{fitness:?}");
}

#[test]
fn our_clock_is_blamed_by_several_servers_that_agree_and_by_nobody_else() {
    let nodes = |offsets: &[i64]| {
        let off = |ms: &i64| Examination {
            clock_offset_ms: Some(*ms),
            ..good()
        };
        let nodes = offsets.iter().map(off).map(Ok).collect();
        let findings = judged(nodes, &USUAL).findings.into_iter();
        let clocks = findings.filter(|found| found.problem.contains("clock"));
        clocks.map(|found| found.node.is_some()).collect::<Vec<_>>()
    };
    assert_eq!(nodes(&[60_000]), [true]);
    assert_eq!(nodes(&[60_000, 120_000, 60_000]), [true, true, true]);
    assert_eq!(nodes(&[60_000, 60_500, 60_000]), [false]);
}
