//! What `settings` decides, from the command line to the values that others see. Nothing here
//! touches the environment of the process or a file outside a temporary directory.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::sources::AnySetting;
use super::*;
use crate::lock::restart::{RestartGuard, USUAL_WINDOW};
use crate::node::endpoint::{Address, Secret, TlsFile};

const THREE: &str = "--server redis://a --server redis://b --server redis://c";

/// A host of its own: a directory for files, and the variables of the process.
struct Host {
    directory: TempDir,
    variables: Vec<(OsString, OsString)>,
}

impl Host {
    fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let variables = Vec::new();
        Self {
            directory,
            variables,
        }
    }

    fn with_variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// The system's configuration; its lines count from 1.
    fn with_file(self, text: &str) -> Self {
        self.write("config.toml", text, 0o644);
        self
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> String {
        let path = self.path(name);
        fs::write(&path, text).expect("a file in our directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("our own file");
        path
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn world(&self) -> World {
        World::new(self.variables.iter().cloned(), User::Other)
            .with_system_file(self.path("config.toml"))
    }

    /// The settings of `redlock run LINE`.
    fn run(&self, line: &str) -> Result<RunSettings, Error> {
        run_arguments(&parse(line), &self.world())
    }

    fn good(&self, line: &str) -> RunSettings {
        self.run(line)
            .unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    fn error(&self, line: &str) -> (Exit, String) {
        let error = self.run(line).expect_err(line);
        let directory = self.directory.path().display().to_string();
        (error.exit, error.message.replace(&directory, "DIR"))
    }
}

fn parse(line: &str) -> Cli {
    let words = ["redlock", "run"]
        .into_iter()
        .chain(line.split_whitespace());
    Cli::parse(words.map(Into::into)).expect("a line of good form")
}

fn run_arguments(cli: &Cli, world: &World) -> Result<RunSettings, Error> {
    let cli::Command::Run(arguments) = &cli.command else {
        panic!("{cli:?}");
    };
    run(arguments, world)
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

#[track_caller]
fn assert_refused(host: &Host, line: &str, exit: Exit, expected: &str) {
    let (code, message) = host.error(line);
    assert!(message.starts_with(expected), "{line}: {message}");
    assert_eq!(code, exit, "{line}: {message}");
}

#[test]
fn every_option_of_the_table_can_be_typed_and_every_other_one_is_structure() {
    let definition = cli::definition();
    let run = definition.find_subcommand("run").expect("there is a run");
    let mut typed: Vec<&str> = definition
        .get_arguments()
        .chain(run.get_arguments())
        .filter_map(|argument| argument.get_long())
        .filter(|name| *name != "resource")
        .collect();
    let mut table: Vec<&str> = options::all().map(|setting| setting.row().name).collect();
    typed.sort_unstable();
    table.sort_unstable();
    assert_eq!(typed, table);
}

#[test]
fn every_default_of_the_table_makes_sense() {
    let options = cli::Options::default();
    let world = World::new(Vec::<(String, String)>::new(), User::Other);
    let sources = Sources::new(&options, &world);
    for setting in options::all() {
        if let Some(found) = sources.find(setting.row()) {
            assert_eq!(setting.check(&found), Ok(()));
        }
    }
}

#[test]
fn help_tells_every_default_as_it_is() {
    let mut definition = cli::definition();
    definition.build();
    let mut arguments: Vec<_> = definition.get_arguments().collect();
    for command in definition.get_subcommands() {
        arguments.extend(command.get_arguments());
    }
    for row in options::all().map(AnySetting::row) {
        let Some(default) = row.default.filter(|_| row.form != sources::Form::Switch) else {
            continue;
        };
        let same = arguments.iter().filter(|a| a.get_long() == Some(row.name));
        let helps = same.filter_map(|a| a.get_long_help().or(a.get_help()));
        let helps: Vec<String> = helps.map(ToString::to_string).collect();
        // "[default: 5s, at most a quarter of the TTL]"
        let told = helps
            .iter()
            .filter_map(|help| help.split_once("[default: "));
        let mut told: Vec<_> = told
            .map(|(_, told)| told.split([']', ',']).next())
            .collect();
        told.dedup();
        assert_eq!(told, [Some(default)], "--{}", row.name);
    }
}

#[test]
fn what_completions_offer_as_a_value_is_one() {
    for (option, values) in cli::completions::VALUES {
        for value in values {
            Host::new().good(&format!(
                "--server redis://h --any-quorum --{option} {value} -r a c"
            ));
        }
    }
}

#[test]
fn without_options_a_run_is_what_a_cron_line_wants() {
    let run = Host::new().good(&format!("{THREE} -r a c"));
    assert_eq!(run.ttl, seconds(30));
    assert_eq!(run.wait, Wait::No);
    assert_eq!(run.conflict_exit, 75);
    assert_eq!(run.min_hold, Duration::ZERO);
    assert_eq!((run.once_per, run.max_runtime), (None, None));
    assert_eq!(run.history, History::Kept);
    assert_eq!(run.files, Files::default());
    assert_eq!(run.kill_after, seconds(5));
    assert_eq!(run.margin, Duration::from_millis(500));
    assert_eq!(run.stop_signal, Signal::SIGTERM);
    assert_eq!(run.on_lost, OnLost::Stop);
    assert_eq!(run.note, None);
    assert_eq!(run.store_command, StoreCommand::FileName);
    assert_eq!(run.restarts.guard, RestartGuard::Auto);
    assert_eq!(run.restarts.window, USUAL_WINDOW);
    assert_eq!(run.common.node_timeout, Duration::from_millis(80));
    assert_eq!(
        run.common.key_format,
        KeyFormat::new("lock:{}").expect("a format")
    );
    assert_eq!(run.command, ["c"]);
    assert!(run.hidden_environment.is_empty());
}

#[test]
fn every_option_does_what_it_says() {
    let line = "--local=/d -r a -r b -t 10m -w 5 -E 0 -k 2 -s sigint --on-lost warn --note hi \
                --no-command --min-hold 1m --once-per 1h --max-runtime 2h --no-history \
                --status-file s --metrics-file /m --restart-guard off \
                --restart-window 2h --key-format {} \
                --node-timeout 0.2 -- c -x";
    let run = Host::new().good(line);
    assert_eq!(run.common.servers, Servers::Local("/d".into()));
    assert_eq!(run.common.node_timeout, Duration::from_millis(200));
    assert_eq!(
        run.common.key_format,
        KeyFormat::new("{}").expect("a format")
    );
    assert_eq!(run.resources.len(), 2);
    assert_eq!(run.ttl, seconds(600));
    assert_eq!(run.wait, Wait::For(seconds(5)));
    assert_eq!(run.conflict_exit, 0);
    assert_eq!(run.min_hold, seconds(60));
    assert_eq!(run.once_per, Some(seconds(3_600)));
    assert_eq!(run.max_runtime, Some(seconds(7_200)));
    assert_eq!(run.history, History::Off);
    assert_eq!(run.files.status, Some("s".into()));
    let metrics = run.files.metrics.expect("it was typed");
    assert_eq!(metrics.path, Path::new("/m"));
    assert_eq!(metrics.labels.len(), run.resources.len());
    assert_eq!(run.kill_after, seconds(2));
    assert_eq!(run.stop_signal, Signal::SIGINT);
    assert_eq!(run.on_lost, OnLost::Warn);
    assert_eq!(run.note.as_deref(), Some("hi"));
    assert_eq!(run.store_command, StoreCommand::Nothing);
    assert_eq!(run.restarts.guard, RestartGuard::Off);
    assert_eq!(run.restarts.window, seconds(7_200));
    assert_eq!(run.command, ["c", "-x"]);
}

#[test]
fn the_nearer_place_counts() {
    let text = "local = '/top'\n[defaults]\nttl = '2s'\nnote = 'd'\n[resource.a]\nttl = '3s'\n";
    let host = Host::new().with_file(text);
    assert_eq!(host.good("-r a c").ttl, seconds(3));
    assert_eq!(host.good("-r b c").ttl, seconds(2));
    assert_eq!(host.good("-r a -r b c").ttl, seconds(2));
    assert_eq!(host.good("-r a c").note.as_deref(), Some("d"));
    let host = host.with_variable("REDLOCK_TTL", "4s");
    assert_eq!(host.good("-r a c").ttl, seconds(4));
    assert_eq!(host.good("-r a -t 5s c").ttl, seconds(5));
}

#[test]
fn an_empty_variable_is_not_set_and_a_zero_takes_back_what_the_file_says() {
    let text = "local = '/d'\n[defaults]\nno-command = true\nwait = true\n";
    let host = Host::new().with_file(text).with_variable("REDLOCK_TTL", "");
    let run = host.good("-r a c");
    assert_eq!((run.ttl, run.wait), (seconds(30), Wait::Forever));
    assert_eq!(run.store_command, StoreCommand::Nothing);
    let host = host
        .with_variable("REDLOCK_NO_COMMAND", "0")
        .with_variable("REDLOCK_WAIT", "0");
    let run = host.good("-r a c");
    assert_eq!(run.wait, Wait::No);
    assert_eq!(run.store_command, StoreCommand::FileName);
}

#[test]
fn the_wait_is_as_long_as_it_was_said() {
    let host = Host::new();
    for (line, wait) in [
        ("--local=/d -r a -w -- c", Wait::Forever),
        ("--local=/d -r a -w forever c", Wait::Forever),
        ("--local=/d -r a -w5s c", Wait::For(seconds(5))),
        ("--local=/d -r a -vw -- c", Wait::Forever),
        ("--local=/d -r a -w 0 c", Wait::No),
    ] {
        assert_eq!(host.good(line).wait, wait, "{line}");
    }
}

/// Command lines, and how the answer to each begins.
const BAD_FLAGS: &[(&str, &str)] = &[
    (
        "-r a -w sleep 5",
        "--wait: 'sleep' is no duration; write -w -- sleep",
    ),
    (
        "-r a -w sleep",
        "--wait: 'sleep' is no duration; write -w -- sleep",
    ),
    ("-r a -wq -- c", "--wait: 'q' is no duration; write -w -q"),
    (
        "-r a -w 5x c",
        "--wait: '5x' is no duration; write it as in",
    ),
    (
        "-r a -t 0 c",
        "--ttl: '0' (seconds) is too short: a TTL is at least 500ms and at most 24h",
    ),
    ("-r a -t 499ms c", "--ttl: '499ms' is too short"),
    (
        "-r a -t 1y c",
        "--ttl: '1y' is too long: a TTL is at least 500ms and at most 24h",
    ),
    (
        "-r a -t soon c",
        "--ttl: 'soon' is no duration; write it as in 500ms, 30s",
    ),
    (
        "-r a -E 300 c",
        "--conflict-exit-code: '300' is no exit code; choose a number from",
    ),
    ("-r a -E x c", "--conflict-exit-code: 'x' is no exit code"),
    (
        "-r a -s FOO c",
        "--signal: 'FOO' is no signal; choose one by name or number",
    ),
    ("-r a -s 0 c", "--signal: '0' is no signal"),
    (
        "-r a --on-lost run c",
        "--on-lost: 'run' is unknown; choose one of stop, warn",
    ),
    (
        "-r a --restart-guard on c",
        "--restart-guard: 'on' is unknown; choose one of auto, str",
    ),
    (
        "-r a --restart-window x c",
        "--restart-window: 'x' is no duration",
    ),
    (
        "-r a --log-format xml c",
        "--log-format: 'xml' is unknown; choose one of text, json",
    ),
    (
        "-r a --key-format lock c",
        "--key-format: 'lock' must contain {} once",
    ),
    (
        "-r a --key-format {}{} c",
        "--key-format: '{}{}' must contain {} once",
    ),
    (
        "-r a --node-timeout 80 c",
        "--node-timeout: '80' (seconds) is too long",
    ),
    ("-r a --local= c", "--local: the path is empty"),
    (
        "c",
        "no resource given; name it with -r, as in redlock run -r NAME -- COMMAND",
    ),
    (
        "--local d -r a -- c",
        "no resource given: -r stands behind 'd', which was taken for the command",
    ),
    (
        "--local d --resource=a -- c",
        "no resource given: --resource=a stands behind 'd', which was taken for the command",
    ),
    (
        "-- rm -r d",
        "no resource given; name it with -r, as in redlock run -r NAME -- COMMAND",
    ),
    (
        "-r a",
        "no command given; write it after --, as in redlock run -r NAME -- COMMAND",
    ),
    ("-r a -w --", "no command given; write it after --"),
    (
        "-r a --local --server redis://h c",
        "--local: excludes --server; locks are either on servers or on this host",
    ),
];

#[test]
fn a_bad_value_is_a_usage_error_that_names_flag_or_variable_and_says_what_to_do() {
    for (line, expected) in BAD_FLAGS.iter().copied() {
        assert_refused(&Host::new(), line, Exit::Usage, expected);
    }
}

#[test]
fn a_bad_variable_is_a_usage_error_that_names_it() {
    use std::os::unix::ffi::OsStringExt as _;
    let odd = OsString::from_vec(vec![0xff]);
    for (name, value, expected) in [
        ("REDLOCK_TTL", "1y".into(), "REDLOCK_TTL: '1y' is too long"),
        (
            "REDLOCK_WAIT",
            "x".into(),
            "REDLOCK_WAIT: 'x' is no duration; write it as in",
        ),
        (
            "REDLOCK_NO_COMMAND",
            "yes".into(),
            "REDLOCK_NO_COMMAND: 'yes' is neither 1 nor 0",
        ),
        (
            "REDLOCK_QUIET",
            "true".into(),
            "REDLOCK_QUIET: 'true' is neither 1 nor 0",
        ),
        (
            "REDLOCK_LOG_FORMAT",
            "xml".into(),
            "REDLOCK_LOG_FORMAT: 'xml' is unknown",
        ),
        ("REDLOCK_NOTE", odd, "REDLOCK_NOTE: the value is not UTF-8"),
    ] {
        let host = Host::new().with_variable(name, value);
        assert_refused(&host, "--local=/d -r a c", Exit::Usage, expected);
    }
    let host = Host::new().with_variable("REDLOCK_LOCAL", "here");
    let expected = "REDLOCK_LOCAL: 'here' is neither 1 nor 0 nor a path";
    assert_refused(&host, "-r a c", Exit::Usage, expected);
}

#[test]
fn a_home_that_the_shell_has_not_filled_in_is_no_directory() {
    let expected = "--local: '~/locks' would be a directory of that very name";
    assert_refused(
        &Host::new(),
        "--local=~/locks -r a c",
        Exit::Usage,
        expected,
    );
    let host = Host::new().with_file("local = '~/locks'\n");
    let expected = "DIR/config.toml:1: local: '~/locks' would be a directory";
    assert_refused(&host, "-r a c", Exit::Configuration, expected);
    Host::new().good("--local=./~/locks -r a c");
}

#[test]
fn a_resource_without_a_sensible_name_is_a_usage_error() {
    let host = Host::new();
    let refused = |name: String| {
        let words = ["redlock", "run", "--local=/d", "-r", &name, "c"].map(OsString::from);
        let cli = Cli::parse(words).expect("a line of good form");
        let error = run_arguments(&cli, &host.world()).expect_err("a bad name");
        assert_eq!(error.exit, Exit::Usage);
        error.message
    };
    assert!(refused(String::new()).starts_with("--resource: the name of a resource is empty"));
    assert!(refused("x".repeat(513)).contains("513 bytes; at most 512"));
    assert!(refused("a\nb".to_owned()).contains("the control character \\n"));
}

#[test]
fn servers_that_make_no_quorum_are_refused_with_the_reason() {
    let with = |servers: &str| {
        let flags = servers.replace(' ', " --server ");
        format!("--server {flags} -r a c")
    };
    for (servers, expected) in [
        (
            "redis://h",
            "--server: 1 server: when it is down, no job runs; use 3 or 5, or --any",
        ),
        (
            "redis://a redis://b",
            "--server: 2 servers: a majority of 2 is 2, so one failure stops",
        ),
        (
            "redis://a redis://b redis://c redis://d",
            "--server: 4 servers: a majority of 4 is 3, so they survive no more failures than 3 do",
        ),
        (
            "redis://a redis://b redis://A:6379/1",
            "--server: a:6379 is there twice, and would have two votes; give each server once",
        ),
        (
            "redis+unix:///s redis://b valkey+unix:///s?db=1",
            "--server: /s is there twice",
        ),
        (
            "foo://me:hunter2@h",
            "--server: foo://h: 'foo' is an unknown scheme",
        ),
        (
            "redis://me:hunter2@h:x",
            "--server: redis://h: the port must be a number",
        ),
        (
            "redis://a redis+unix://:hunter2@ redis://c",
            "--server: 2 of 3: ",
        ),
        ("redis://", "--server: redis://: the host is missing"),
    ] {
        assert_refused(&Host::new(), &with(servers), Exit::Configuration, expected);
    }
    let host = Host::new();
    for servers in [
        "redis://a",
        "redis://a redis://b",
        "redis://a redis://b redis://c redis://d",
    ] {
        host.good(&format!("--any-quorum {}", with(servers)));
    }
    // Twins are no quorum of any kind.
    let twins = format!("--any-quorum {}", with("redis://a redis://a"));
    assert_refused(
        &host,
        &twins,
        Exit::Configuration,
        "--server: a:6379 is there twice",
    );
}

#[test]
fn without_servers_all_three_ways_to_name_some_are_told() {
    let (exit, message) = Host::new().error("-r a c");
    assert_eq!(exit, Exit::Configuration);
    for way in ["--server", "config.toml", "--local"] {
        assert!(message.contains(way), "{message}");
    }
}

#[test]
fn servers_typed_replace_all_others_and_the_nearer_of_servers_and_local_counts() {
    let count = |run: RunSettings| match run.common.servers {
        Servers::Redis(servers) => servers.len(),
        Servers::Local(_) => 0,
    };
    let five = "servers = ['redis://1', 'redis://2', 'redis://3', 'redis://4', 'redis://5']\n";
    let host = Host::new().with_file(five);
    assert_eq!(count(host.good("-r a c")), 5);
    assert_eq!(count(host.good("--local=/d -r a c")), 0);
    let host = host.with_variable("REDLOCK_SERVERS", "redis://x, redis://y redis://z");
    assert_eq!(count(host.good("-r a c")), 3);
    assert_eq!(
        count(host.good(&format!("{THREE} --any-quorum --server redis://d -r a c"))),
        4
    );
    let host = Host::new()
        .with_file(five)
        .with_variable("REDLOCK_LOCAL", "1")
        .with_variable("HOME", "/home/me");
    let home = Servers::Local("/home/me/.local/state/redlock".into());
    assert_eq!(host.good("-r a c").common.servers, home);
    assert_eq!(count(host.good(&format!("{THREE} -r a c"))), 3);
    let host = Host::new()
        .with_file("local = true\n")
        .with_variable("REDLOCK_LOCAL", "0");
    assert_refused(&host, "-r a c", Exit::Configuration, "no servers");
}

/// Files, and how the answer to each begins.
const BAD_FILES: &[(&str, &str)] = &[
    (
        "\nttll = '1s'\n",
        "DIR/config.toml:2: ttll: unknown key; see",
    ),
    (
        "[defaults]\nttll = '1s'\n",
        "DIR/config.toml:2: ttll: unknown key; did you mean 'ttl'?",
    ),
    (
        "password_file = '/p'\n",
        "DIR/config.toml:1: password_file: unknown key; did you mean 'password-file'?",
    ),
    (
        "server = []\n",
        "DIR/config.toml:1: server: unknown key; did you mean 'servers'?",
    ),
    ("config = 'x'\n", "DIR/config.toml:1: config: unknown key"),
    (
        "[default]\nttl = '1s'\n",
        "DIR/config.toml:1: default: unknown key; did you mean 'defaults'?",
    ),
    (
        "[resources.a]\nttl = '1s'\n",
        "DIR/config.toml:1: resources: unknown key; did you mean 'resource'?",
    ),
    (
        "[resource.sys.log]\nttl = '1s'\n",
        "DIR/config.toml:1: log: no section can be inside of a resource's",
    ),
    (
        "ttl = '1s'\n",
        "DIR/config.toml:1: ttl: move it into [defaults] or [resource",
    ),
    (
        "[resource.a]\nlocal = true\n",
        "DIR/config.toml:2: local: move it to the top of the",
    ),
    (
        "# a\n[defaults]\n\nttl = 30\n",
        "DIR/config.toml:4: ttl: a text in quotes is wanted here, not a number",
    ),
    (
        "servers = 'redis://h'\n",
        "DIR/config.toml:1: servers: a list of texts, as in [\"one\", \"two\"] is wanted here",
    ),
    (
        "servers = [1]\n",
        "DIR/config.toml:1: servers: every value of this list must be a text in quotes, as in",
    ),
    (
        "servers = []\n",
        "DIR/config.toml:1: servers: the list is empty",
    ),
    (
        "any-quorum = 1\n",
        "DIR/config.toml:1: any-quorum: true or false is wanted here, not a n",
    ),
    (
        "defaults = 1\n",
        "DIR/config.toml:1: defaults: a section, [defaults], is wanted here",
    ),
    (
        "resource.a = 1\n",
        "DIR/config.toml:1: a: a section for each resource, as in [resource.\"NAME\"], is wanted",
    ),
    (
        "[defaults]\nttl = '5x'\n",
        "DIR/config.toml:2: ttl: '5x' is no duration",
    ),
    (
        "[defaults]\nwait = 'x'\n",
        "DIR/config.toml:2: wait: 'x' is no duration; write it as in",
    ),
    ("[defaults]\nttl = 10m\n", "DIR/config.toml:2: ttl: "),
    ("[defaults]\nttl = '1s\n", "DIR/config.toml:2: ttl: "),
    ("[defaults\n", "DIR/config.toml:1: "),
    // A section of another resource is judged as well.
    (
        "[resource.z]\nttl = '1y'\n",
        "DIR/config.toml:2: ttl: '1y' is too long",
    ),
    (
        "[defaults]\nconflict-exit-code = 300\n",
        "DIR/config.toml:2: conflict-exit-code: '300'",
    ),
    (
        "servers = ['redis://a']\n",
        "DIR/config.toml:1: servers: 1 server: when it is down",
    ),
];

#[test]
fn a_mistake_in_the_file_is_told_with_line_and_key() {
    for (text, expected) in BAD_FILES.iter().copied() {
        let host = Host::new().with_file(text);
        let line = if text.starts_with("servers = ['r") {
            "-r a c"
        } else {
            "--local=/d -r a c"
        };
        assert_refused(&host, line, Exit::Configuration, expected);
        let (_, message) = host.error(line);
        assert!(!message.contains('\n'), "{message}");
    }
}

#[test]
fn a_broken_file_does_not_show_the_password_in_it() {
    for text in [
        "servers = ['redis://:hunter2@h",
        "servers = redis://:hunter2@h",
        "servers = [\n  'redis://:hunter2@h?x=1\n]",
        "servers = [\n  redis://:hunter2@h?x=1\n]",
        "servers = [\"redis://:hunter2\\q@h\"]",
        "servers = 'redis://:hunter2@h'",
        "[defaults]\nservers = { a = 'redis://:hunter2@h' }",
    ] {
        let (_, message) = Host::new().with_file(text).error("-r a c");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn a_file_that_can_be_read_once_is_read_once() {
    let host = Host::new();
    let pipe = host.path("pipe");
    nix::unistd::mkfifo(
        pipe.as_str(),
        nix::sys::stat::Mode::S_IRUSR.union(nix::sys::stat::Mode::S_IWUSR),
    )
    .expect("our own directory");
    let cli = parse(&format!("--config {pipe} -r a c"));
    // Would wait for a writer if it looked into the pipe.
    assert_eq!(output_of(&cli, &host.world()), Output::default());
    let writer = std::thread::spawn(move || fs::write(pipe, "local = '/d'\n"));
    let run = run_arguments(&cli, &host.world()).expect("good settings");
    assert_eq!(run.common.servers, Servers::Local("/d".into()));
    writer.join().expect("no panic").expect("a reader");
}

#[test]
fn a_file_is_found_where_the_user_said_or_where_files_belong() {
    let host = Host::new().with_file("local = '/system'\n");
    let servers = |host: &Host, line: &str| host.good(line).common.servers;
    assert_eq!(servers(&host, "-r a c"), Servers::Local("/system".into()));
    fs::create_dir(host.path("redlock")).expect("our own directory");
    host.write("redlock/config.toml", "local = 'state'\n", 0o644);
    let xdg = host.path("");
    let host = host.with_variable("XDG_CONFIG_HOME", xdg);
    // A path in a file is relative to the file.
    let state = Path::new(&host.path("redlock")).join("state");
    assert_eq!(servers(&host, "-r a c"), Servers::Local(state));
    let named = host.write("named.toml", "local = '/named'\n", 0o644);
    let typed = host.write("typed.toml", "local = '/typed'\n", 0o644);
    let host = host.with_variable("REDLOCK_CONFIG", named);
    assert_eq!(servers(&host, "-r a c"), Servers::Local("/named".into()));
    let line = format!("--config {typed} -r a c");
    assert_eq!(servers(&host, &line), Servers::Local("/typed".into()));
}

#[test]
fn a_named_file_that_is_missing_is_an_error() {
    let host = Host::new();
    let line = format!("--local=/d --config {} -r a c", host.path("none.toml"));
    let expected = "--config: cannot read DIR/none.toml: there is no such file";
    assert_refused(&host, &line, Exit::Configuration, expected);
    let host = Host::new().with_variable("REDLOCK_CONFIG", "/none.toml");
    let expected = "REDLOCK_CONFIG: cannot read /none.toml: there is no such file";
    assert_refused(&host, "--local=/d -r a c", Exit::Configuration, expected);
}

#[test]
fn servers_and_a_directory_for_all_names_exclude_each_other_wherever_they_stand() {
    let text = "servers = ['redis://a', 'redis://b', 'redis://c']\n[defaults]\nlocal = '/d'\n";
    let host = Host::new().with_file(text);
    let expected = "DIR/config.toml:3: local: excludes DIR/config.toml:1: servers";
    assert_refused(&host, "-r a c", Exit::Configuration, expected);
}

#[test]
fn a_file_without_an_end_is_an_error() {
    let line = "--local=/d --config /dev/zero -r a c";
    let expected = "--config: cannot read /dev/zero: it is larger than 1 MiB";
    assert_refused(&Host::new(), line, Exit::Configuration, expected);
}

#[test]
fn a_password_in_the_file_must_be_closed_to_others() {
    let text = "\nservers = ['redis://:hunter2@a', 'redis://b', 'redis://c']\n";
    for (mode, fine) in [(0o600, true), (0o640, true), (0o604, false), (0o601, false)] {
        let host = Host::new();
        host.write("config.toml", text, mode);
        if fine {
            host.good("-r a c");
            continue;
        }
        let expected = "DIR/config.toml:2: servers: the file holds a password and is accessible to";
        assert_refused(&host, "-r a c", Exit::Configuration, expected);
        let (_, message) = host.error("-r a c");
        for advice in ["chmod o-rwx DIR/config.toml", "defaultMode: 0400"] {
            assert!(message.contains(advice), "{message}");
        }
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn a_password_file_is_read_without_its_newline_or_refused() {
    let host = Host::new();
    let password = |host: &Host, path: &str| {
        let run = host.good(&format!("{THREE} --user me --password-file {path} -r a c"));
        let Servers::Redis(servers) = run.common.servers else {
            panic!("servers are wanted");
        };
        assert_eq!(servers[0].credentials.user.as_deref(), Some("me"));
        servers[0].credentials.password.clone().expect("a password")
    };
    let path = host.write("good", "hunter2\n", 0o600);
    assert_eq!(password(&host, &path), Secret::new("hunter2".to_owned()));
    let path = host.write("from-windows", "hunter2\r\n", 0o640);
    assert_eq!(password(&host, &path), Secret::new("hunter2".to_owned()));
    host.write("two", "hunter2\n\n", 0o600);
    host.write("open", "hunter2\n", 0o644);
    host.write("empty", "\n", 0o600);
    for (name, expected) in [
        (
            "none",
            "--password-file: cannot read DIR/none: there is no such file",
        ),
        (
            "open",
            "--password-file: DIR/open is accessible to others (mode 0644); chmod o-rwx",
        ),
        ("empty", "--password-file: DIR/empty is empty"),
        ("two", "--password-file: DIR/two has several lines"),
    ] {
        let line = format!("{THREE} --password-file {} -r a c", host.path(name));
        assert_refused(&host, &line, Exit::Configuration, expected);
    }
}

#[test]
fn credentials_of_a_url_count_for_its_own_server() {
    let host = Host::new();
    let path = host.write("password", "general", 0o600);
    let line = format!(
        "--server redis://own:pw@a --server redis://:pw@b --server redis://own@c \
         --server redis://d --server redis://e --user me --password-file {path} -r a c"
    );
    let Servers::Redis(servers) = host.good(&line).common.servers else {
        panic!("servers are wanted");
    };
    let who = servers.iter().map(|server| {
        let credentials = &server.credentials;
        let password = credentials.password.as_ref().map_or("", Secret::reveal);
        (credentials.user.as_deref(), password)
    });
    let expected = [
        (Some("own"), "pw"),
        (None, "pw"),
        (Some("own"), "general"),
        (Some("me"), "general"),
        (Some("me"), "general"),
    ];
    assert_eq!(who.collect::<Vec<_>>(), expected);
}

#[test]
fn tls_files_go_to_servers_with_tls_and_come_in_pairs() {
    let tls = "--server rediss://a --server rediss://b --server rediss://c";
    let host = Host::new();
    let line = format!("{tls} --tls-ca /ca --tls-cert /cert --tls-key /key -r a c");
    let Servers::Redis(servers) = host.good(&line).common.servers else {
        panic!("servers are wanted");
    };
    for server in servers {
        let Address::Tls { files, .. } = server.address else {
            panic!("TLS is wanted");
        };
        let file = |path: &str, setting: &str| TlsFile {
            path: path.into(),
            setting: setting.to_owned(),
        };
        assert_eq!(files.ca, Some(file("/ca", "--tls-ca")));
        let (cert, key) = (file("/cert", "--tls-cert"), file("/key", "--tls-key"));
        assert_eq!(files.client, Some((cert, key)));
    }
    for (line, expected) in [
        (
            format!("{tls} --tls-cert /c -r a c"),
            "--tls-cert: needs its private key, --tls-key",
        ),
        (
            format!("{tls} --tls-key /k -r a c"),
            "--tls-key: needs its certificate, --tls-cert",
        ),
        (
            format!("{THREE} --tls-ca /ca -r a c"),
            "--tls-ca: no server is rediss://",
        ),
    ] {
        assert_refused(&host, &line, Exit::Usage, expected);
    }
    // Files from further away than the servers are meant for other servers.
    let far = Host::new().with_file("tls-ca = '/ca'\n");
    far.good(&format!("{THREE} -r a c"));
    let Servers::Redis(servers) = far.good(&format!("{tls} -r a c")).common.servers else {
        panic!("servers are wanted");
    };
    let Address::Tls { files, .. } = &servers[0].address else {
        panic!("TLS is wanted");
    };
    let ca = files.ca.as_ref().expect("the file names it");
    assert!(ca.setting.ends_with("/config.toml:1: tls-ca"), "{ca:?}");
}

#[test]
fn the_grace_before_the_kill_fits_the_ttl() {
    let host = Host::new();
    let run = host.good("--local=/d -r a -t 2s c");
    assert_eq!(run.kill_after, Duration::from_millis(500));
    assert_eq!(run.margin, Duration::from_millis(100));
    assert!(run.ttl > 2 * (run.kill_after + run.margin));
    assert_eq!(
        host.good("--local=/d -r a -t 12s -k 5s c").kill_after,
        seconds(5)
    );
    assert_eq!(
        host.good("--local=/d -r a -k 0 c").kill_after,
        Duration::ZERO
    );
    let expected = "--kill-after: 5s is too long for a TTL of 11s, which must be more than \
                    2 * (5s + 500ms) = 11s; choose";
    assert_refused(
        &host,
        "--local=/d -r a -t 11s -k 5s c",
        Exit::Usage,
        expected,
    );
    let host = host.with_file("[defaults]\nkill-after = '99999999999999s'\n");
    let expected = "DIR/config.toml:2: kill-after: ";
    assert_refused(&host, "--local=/d -r a c", Exit::Configuration, expected);
}

#[test]
fn signals_are_known_by_name_and_number() {
    let host = Host::new();
    for name in ["INT", "SIGINT", "int", "sigInt", "2"] {
        let run = host.good(&format!("--local=/d -r a -s {name} c"));
        assert_eq!(run.stop_signal, Signal::SIGINT, "{name}");
    }
    let host = host.with_file("[defaults]\nsignal = 2\n");
    assert_eq!(host.good("--local=/d -r a c").stop_signal, Signal::SIGINT);
}

#[test]
fn variables_of_this_run_are_hidden_from_the_command_and_those_of_servers_are_not() {
    let host = Host::new()
        .with_variable("REDLOCK_TTL", "20s")
        .with_variable("REDLOCK_CONFLICT_EXIT_CODE", "1")
        .with_variable("REDLOCK_SERVERS", "redis://a redis://b redis://c")
        .with_variable("REDLOCK_NODE_TIMEOUT", "100ms")
        .with_variable("REDLOCK_TOKEN", "x");
    let hidden = host.good("-r a c").hidden_environment;
    assert_eq!(hidden, ["REDLOCK_TTL", "REDLOCK_CONFLICT_EXIT_CODE"]);
}

#[test]
fn the_manner_of_telling_is_known_whatever_else_is_wrong() {
    let output = |host: &Host, line: &str| output_of(&parse(line), &host.world());
    let host = Host::new();
    assert_eq!(output(&host, "-r a c"), Output::default());
    assert_eq!(output(&host, "-q -r a c").verbosity, Verbosity::Quiet);
    assert_eq!(output(&host, "-q -v -r a c").verbosity, Verbosity::Verbose);
    assert_eq!(output(&host, "-v -q -r a c").verbosity, Verbosity::Quiet);
    let host = host.with_file("[defaults]\nquiet = true\nlog-format = 'json'\n");
    assert_eq!(output(&host, "-r a c").verbosity, Verbosity::Quiet);
    assert_eq!(output(&host, "-v -r a c").verbosity, Verbosity::Verbose);
    assert_eq!(output(&host, "-r a c").format, Format::Json);
    let host = host
        .with_file("quiet = 5\n")
        .with_variable("REDLOCK_VERBOSE", "1")
        .with_variable("REDLOCK_LOG_FORMAT", "xml");
    let expected = Output {
        verbosity: Verbosity::Verbose,
        format: Format::Text,
        terminal: TerminalKind::Usual,
    };
    assert_eq!(output(&host, "-r a c"), expected);
    let nothing = cli::Options::default();
    assert_eq!(output_by(&nothing, None, &host.world()), expected);
}

#[test]
fn no_settings_show_a_password() {
    let host = Host::new();
    let path = host.write("password", "hunter2", 0o600);
    let line = format!(
        "--server redis://me:hunter2@a --server redis://b --server redis://c \
         --password-file {path} -r a c"
    );
    assert!(!format!("{:?}", host.good(&line)).contains("hunter2"));
}

#[test]
fn commands_without_options_of_their_own_share_the_common_ones() {
    let host = Host::new().with_file("node-timeout = '100ms'\n[defaults]\nttl = '1m'\n");
    let common = common(
        parse(&format!("{THREE} -r a c")).command.options(),
        &host.world(),
    );
    let common = common.expect("good settings");
    assert_eq!(common.node_timeout, Duration::from_millis(100));
}

#[test]
fn an_option_is_found_under_the_name_that_messages_give_its_variable() {
    for row in options::all().map(AnySetting::row) {
        let variable = OsString::from(row.variable());
        let rows = options::all().map(AnySetting::row);
        let found = rows.filter(|row| row.is_variable(&variable));
        assert_eq!(found.map(|row| row.name).collect::<Vec<_>>(), [row.name]);
    }
    assert_eq!(options::SERVER.row.variable(), "REDLOCK_SERVERS");
    assert_eq!(options::NO_HISTORY.row.variable(), "REDLOCK_NO_HISTORY");
}

#[test]
fn a_zero_takes_back_a_period_and_a_limit() {
    let text = "local = '/d'\n[defaults]\nonce-per = '1h'\nmax-runtime = '1h'\n";
    let host = Host::new().with_file(text);
    let run = host.good("--once-per 0 --max-runtime 0 -r a c");
    assert_eq!((run.once_per, run.max_runtime), (None, None));
}

#[test]
fn the_bounds_of_a_ttl_are_themselves_good() {
    let host = Host::new().with_file("local = '/d'\n");
    assert_eq!(host.good("-t 24h -r a c").ttl, Duration::from_hours(24));
    assert_eq!(host.good("-t 500ms -r a c").ttl, Duration::from_millis(500));
}

#[test]
fn every_server_is_looked_at_for_a_password_before_anything_else_is_told() {
    let text =
        "servers = ['redis://b', 'redis://:hunter2@a', 'redis://c']\n[defaults]\nttl = '1'\n";
    let text = text.replace("'1'", "'x'");
    let host = Host::new();
    host.write("config.toml", &text, 0o604);
    let expected = "DIR/config.toml:1: servers: the file holds a password and is accessible to";
    assert_refused(&host, "-r a c", Exit::Configuration, expected);
}

#[test]
fn a_path_below_a_file_is_no_configuration_and_no_reason_to_fail() {
    let host = Host::new().with_file("local = '/system'\n");
    let file = host.write("file", "", 0o644);
    let host = host.with_variable("XDG_CONFIG_HOME", file);
    let servers = host.good("-r a c").common.servers;
    assert_eq!(servers, Servers::Local("/system".into()));
}

#[test]
fn a_user_without_a_name_and_a_file_that_is_a_directory_are_told() {
    let host = Host::new().with_file("local = '/d'\n");
    for (line, expected) in [
        ("--user= -r a c", "--user: the name of the user is empty"),
        (
            "--status-file /d/ -r a c",
            "--status-file: '/d/' names no file",
        ),
    ] {
        assert_refused(&host, line, Exit::Usage, expected);
    }
}
