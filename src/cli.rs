//! What can be typed: commands, options and their help texts, and nothing else.
//!
//! Values leave here as they were typed, under the long name of their option: `settings` merges
//! them with environment and file, and says what is wrong with them. So every value is judged in
//! one place, wherever it came from. Nobody but this file knows which library takes arguments
//! apart. Called by `commands`; read by `settings`.

pub mod completions;
mod hand;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

use clap::builder::OsStringValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command as Definition};

/// A command line that makes sense as far as its form goes.
#[derive(Debug)]
pub struct Cli {
    /// What to do.
    pub command: Command,
}

/// What to do, with what was typed about it.
#[derive(Debug)]
pub enum Command {
    /// `redlock run`
    Run(RunArguments),
    /// `redlock acquire`
    Acquire(HandArguments),
    /// `redlock extend`
    Extend(HandArguments),
    /// `redlock release`
    Release(HandArguments),
    /// `redlock inspect`
    Inspect(HandArguments),
    /// `redlock list`
    List(HandArguments),
    /// `redlock history`
    History(HistoryArguments),
    /// `redlock doctor`
    Doctor(Options),
    /// `redlock config`, with the options of every command.
    Config(Options),
    /// `redlock completions`: the name of the shell.
    Completions(Options, String),
    /// `redlock complete-names`, which the completions call: the words typed so far.
    CompleteNames(Options, Vec<OsString>),
}

/// What was typed after `redlock history`.
#[derive(Debug)]
pub struct HistoryArguments {
    /// The options of every command.
    pub options: Options,
    /// The name.
    pub resource: OsString,
    /// How to show it.
    pub show: Show,
}

/// How to show what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// To people.
    Table,
    /// To programs.
    Json,
}

/// What was typed after `redlock run`.
#[derive(Debug)]
pub struct RunArguments {
    /// Its options, and those of every command.
    pub options: Options,
    /// Each `-r`, in the order typed.
    pub resources: Vec<OsString>,
    /// The command and its arguments; empty if there is none.
    pub command: Vec<OsString>,
}

/// What was typed after a command of those who handle locks by hand.
#[derive(Debug)]
pub struct HandArguments {
    /// Its options, and those of every command.
    pub options: Options,
    /// Each `-r` or NAME, in the order typed; of `list` the PATTERN.
    pub names: Vec<OsString>,
}

/// The options that were typed, by their long names.
#[derive(Clone, Default)]
pub struct Options(BTreeMap<String, Vec<OsString>>);

/// Why there is nothing to do: it has been done by an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// What was asked for, a help text or the version: to stdout, exit 0.
    Text(String),
    /// One line on what is wrong with the command line: to stderr, exit 64.
    Usage(String),
}

impl Cli {
    /// Takes `arguments` apart; the first one is the name of the program.
    ///
    /// # Errors
    ///
    /// If help was asked for, or the command line makes no sense.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Answer> {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        let matches = needed(&arguments)
            .try_get_matches_from(&arguments)
            .map_err(|error| answer(&error, &arguments))?;
        let command = match matches.subcommand() {
            Some(("run", matches)) => Command::Run(RunArguments {
                options: Options::of(matches),
                resources: typed(matches, "resource"),
                command: typed(matches, "command"),
            }),
            Some(("config", matches)) => Command::Config(Options::of(matches)),
            Some(("history", matches)) => Command::History(HistoryArguments {
                options: Options::of(matches),
                resource: typed(matches, "name").pop().unwrap_or_default(),
                show: if matches.get_flag("json") {
                    Show::Json
                } else {
                    Show::Table
                },
            }),
            Some((name, matches)) if hand::is_one(name) => hand::command(name, matches),
            Some(("doctor", matches)) => Command::Doctor(Options::of(matches)),
            Some(("completions", matches)) => Command::Completions(
                Options::of(matches),
                matches
                    .get_one::<String>("shell")
                    .cloned()
                    .unwrap_or_default(),
            ),
            Some((completions::NAMES, matches)) => {
                Command::CompleteNames(Options::of(matches), completions::words(matches))
            }
            _ => unreachable!("every command of the definition is handled above"),
        };
        Ok(Self { command })
    }
}

impl Command {
    /// The options typed, whatever the command.
    #[must_use]
    pub fn options(&self) -> &Options {
        match self {
            Self::Run(arguments) => &arguments.options,
            Self::History(arguments) => &arguments.options,
            Self::Config(options)
            | Self::Doctor(options)
            | Self::Completions(options, _)
            | Self::CompleteNames(options, _) => options,
            Self::Acquire(arguments)
            | Self::Extend(arguments)
            | Self::Release(arguments)
            | Self::Inspect(arguments)
            | Self::List(arguments) => &arguments.options,
        }
    }
}

impl Options {
    /// What was typed after `--name`, all occurrences in order: `None` if the option was not typed,
    /// no values if it was typed without one.
    #[must_use]
    pub fn values(&self, name: &str) -> Option<&[OsString]> {
        self.0.get(name).map(Vec::as_slice)
    }

    fn of(matches: &ArgMatches) -> Self {
        let typed_ids = matches
            .ids()
            .filter(|id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine));
        let values = typed_ids.map(|id| (id.to_string(), typed(matches, id.as_str())));
        Self(values.collect())
    }
}

impl fmt::Debug for Options {
    /// Names only: the URL of a server may contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn typed(matches: &ArgMatches, id: &str) -> Vec<OsString> {
    let values = matches.get_raw(id).into_iter().flatten();
    values.map(OsStr::to_owned).collect()
}

/// As much of the definition as it takes for these arguments: the library copies the options of
/// every command into each command, which was a third of the instructions of a short run. Nothing
/// stands before `run` here, so they can be its own.
fn needed(arguments: &[OsString]) -> Definition {
    match arguments.get(1) {
        Some(word) if word == "run" => outline().subcommand(run().args(options_of_every_command())),
        _ => definition().subcommand(completions::names()),
    }
}

/// All that is promised of the command line, as the library knows it; man pages and completions are
/// generated from it.
#[must_use]
pub fn definition() -> Definition {
    outline()
        .args(options_of_every_command().map(|option| option.global(true)))
        .subcommand(run())
        .subcommands(hand::definitions())
        .subcommand(history())
        .subcommand(doctor())
        .subcommand(config())
        .subcommand(completions::completions())
}

/// What all commands have in common.
fn outline() -> Definition {
    Definition::new("redlock")
        .version(env!("CARGO_PKG_VERSION"))
        .about(
            "Run shell and cron jobs under a lock held on a majority of independent Redis servers",
        )
        .override_usage("redlock [OPTIONS] <COMMAND>")
        .after_long_help(CONFIGURATION)
        .subcommand_required(true)
        // As with flock and timeout, the last of several values counts: an alias can be overridden.
        .args_override_self(true)
}

/// They are shown after the options of the command itself, in the order of the table.
fn options_of_every_command() -> impl Iterator<Item = Arg> {
    (100..).zip(common_options()).map(|(order, option)| {
        option
            .help_heading("Options of every command")
            .display_order(order)
    })
}

const CONFIGURATION: &str = "\
Configuration:
  Every long option but --resource can be set by a variable, REDLOCK_ and its name in capitals
  (REDLOCK_NODE_TIMEOUT=200ms; options without a value are 1 or 0; the servers are REDLOCK_SERVERS,
  separated by commas or blanks), and in a TOML file. An empty variable counts as not set. The order
  is: flag, environment, the resource's section of the file, [defaults], the default.

    servers = [\"redis://10.0.0.1\", \"redis://10.0.1.1\", \"redis://10.0.2.1\"]
    password-file = \"/etc/redlock/password\"

    [defaults]
    ttl = \"30s\"

    [resource.\"daily-report\"]
    ttl = \"10m\"

  The file is --config, else $REDLOCK_CONFIG, else $XDG_CONFIG_HOME/redlock/config.toml or
  ~/.config/redlock/config.toml (not as root), else /etc/redlock/config.toml.
  A duration is 500ms, 30s, 10m, 1h30m, 2d; a bare number counts seconds.";

fn common_options() -> [Arg; 14] {
    [
        option("server", "URL").action(ArgAction::Append).help(
            "A server of the quorum; repeat it for each, three or five in all. \
             redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, \
             redis+unix:///PATH[?db=DB], or valkey://, valkeys://, valkey+unix://. Replaces the \
             servers of REDLOCK_SERVERS and of the file",
        ),
        option("local", "DIR")
            .num_args(0..=1)
            .require_equals(true)
            .help(
                "No server at all: lock among the processes of this host, in DIR. The default is \
             $XDG_STATE_HOME/redlock or ~/.local/state/redlock, for root /var/lib/redlock; users \
             who shall exclude one another name one DIR",
            ),
        option("config", "FILE").help("Read this file of settings and no other"),
        switch("any-quorum").help(
            "Accept one server, or an even number of them, although then one failure more stops \
             everything",
        ),
        option("key-format", "FMT").help(
            "The Redis key of a resource, {} being its name [default: lock:{}]. {} alone, or \
             redlock:{}, share locks with other Redlock libraries",
        ),
        option("node-timeout", "DUR").help(
            "How long a server may take to connect and answer [default: 80ms]. Doubles with each \
             retry of unreachable servers, up to 320ms",
        ),
        option("password-file", "FILE").help(
            "Read the servers' password from FILE, which must not be accessible to others. A \
             password in a server's URL goes before",
        ),
        option("user", "NAME").help("The user for the servers' access control lists"),
        option("tls-ca", "FILE").help(
            "Certificate authorities, in PEM, for servers with rediss:// [default: the system's]",
        ),
        option("tls-cert", "FILE").help("Our certificate, in PEM; needs --tls-key"),
        option("tls-key", "FILE").help("The private key of --tls-cert, in PEM"),
        switch("quiet")
            .short('q')
            .overrides_with("verbose")
            .help("Print errors only"),
        switch("verbose")
            .short('v')
            .overrides_with("quiet")
            .help("Tell what is going on, also when nobody is at the terminal"),
        option("log-format", "FORMAT")
            .help("How to print messages on stderr: text or json [default: text]"),
    ]
}

fn run() -> Definition {
    Definition::new("run")
        .about("Run COMMAND while holding a lock")
        .long_about(
            "Run COMMAND while holding a lock: one try, and skip at once if somebody else holds \
             it. The lock is extended while COMMAND runs and released the moment it has ended.",
        )
        .override_usage("redlock run -r NAME [OPTIONS] -- COMMAND [ARG]...")
        .after_long_help(AFTER_RUN)
        .args_override_self(true)
        .args(lock_options().map(|option| option.help_heading("The lock")))
        .args(job_options().map(|option| option.help_heading("The command")))
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .value_parser(OsStringValueParser::new())
                .num_args(1..)
                // Whatever follows the command belongs to it. Hyphens must not be allowed for its
                // first word, or `-w5s` would be taken for a command.
                .trailing_var_arg(true)
                .help("The command and its arguments, executed without a shell"),
        )
}

fn history() -> Definition {
    Definition::new("history")
        .about("Show the last runs of a resource: where, when, how long, how they ended")
        .long_about(
            "Show the last runs of a resource: where, when, how long, and how they ended. The last \
             20 are kept with the lock on the servers, for 35 days after the last of them, unless \
             run was given --no-history.",
        )
        .override_usage("redlock history [OPTIONS] NAME")
        .arg(
            Arg::new("name")
                .value_name("NAME")
                .value_parser(OsStringValueParser::new())
                .help("The resource, written as for run"),
        )
        .arg(switch("json").help("Print an array of JSON objects"))
}

fn config() -> Definition {
    Definition::new("config")
        .about("Show the merged settings and where each comes from, or check a file of settings")
        .long_about(
            "Show the merged settings and where each comes from, secrets masked, in the form of a \
             file of settings. Everything is judged as run would do it, for every resource that \
             has a section: with --config FILE a file is checked before it is rolled out.",
        )
        .override_usage("redlock config [OPTIONS]")
}

fn doctor() -> Definition {
    Definition::new("doctor")
        .about("Tell whether the servers are fit to be a quorum")
        .long_about(
            "Examine every server, and tell for each finding what it does to a lock and what to \
             set. Prints the smallest ACL rule for a user of redlock. Harmless: it tries the \
             rights it needs on a key of its own, and removes it.",
        )
        .override_usage("redlock doctor [OPTIONS]")
        .after_long_help(AFTER_DOCTOR)
        .args_override_self(true)
        .arg(switch("json").help("Print JSON: what was learned of each server, and the findings"))
}

const AFTER_DOCTOR: &str = "\
Exit codes:
  0   fine, or warnings only
  69  no quorum of servers has a vote
  77  so many servers refused that there can be no quorum: authentication or ACL
  78  something can give one lock to two holders, or the configuration makes no sense";

fn lock_options() -> [Arg; 10] {
    [
        option("resource", "NAME").short('r').action(ArgAction::Append).help(
            "What to lock: any name of at most 512 bytes, the same on all hosts. Repeat it to hold \
             several, all or none. {date}, {hour} and {minute} in it are replaced by the local \
             time, {date:utc} and so on by UTC, {host} and {user} by ours; {{ is a brace",
        ),
        option("ttl", "DUR").short('t').help(
            "How long others stay locked out if this host dies, 500ms to 24h [default: 30s]. Not \
             the command's time limit: the lock is extended while it runs",
        ),
        option("wait", "DUR").short('w').num_args(0..=1).help(
            "Wait for the lock, for DUR or for ever [default: do not wait]. Without DUR it must be \
             followed by another option or by --",
        ),
        option("conflict-exit-code", "N").short('E').help(
            "The exit code for: somebody else holds the lock, 0 to 255 [default: 75]",
        ),
        option("min-hold", "DUR").help(
            "Keep the lock at least so long after it was acquired, even if the command is quicker, \
             so that hosts whose clocks differ do not both run it [default: 0]. Never sleeps: the \
             lock is left to expire",
        ),
        option("once-per", "DUR").help(
            "If the command exits 0, nobody runs it again until DUR after the lock was acquired, \
             less a tenth of DUR (at most 30s). If it fails, the next one may try again",
        ),
        option("note", "TEXT")
            .help("Shown to whoever looks at the lock, as in --note 'deploying v42'"),
        switch("no-command").help(
            "Do not store the command's file name with the lock; its arguments never are",
        ),
        option("restart-guard", "MODE").help(
            "Whether servers that restarted within the restart window, and may have forgotten a \
             lock, may grant one: auto (if all of them did), strict (never), off (always) \
             [default: auto]",
        ),
        option("restart-window", "DUR").help(
            "The restart window, at least the longest TTL in use [default: 1m]; the TTL counts if \
             it is longer",
        ),
    ]
}

fn job_options() -> [Arg; 7] {
    [
        option("max-runtime", "DUR").help(
            "Stop the command when it has run for DUR, and exit 124; the lock is kept until it is \
             dead [default: no limit]",
        ),
        option("kill-after", "DUR").short('k').help(
            "The time between the stop signal and SIGKILL, where redlock stops the command \
             [default: 5s, at most a quarter of the TTL]",
        ),
        option("signal", "SIG")
            .short('s')
            .help("That stop signal, by name or number [default: TERM]"),
        option("on-lost", "ACTION").help(
            "What happens to the command when the lock cannot be kept: stop it before another can \
             get the lock, or warn and let it run; both exit 76 [default: stop]",
        ),
        switch("no-history").help("Do not record the run with the lock; see redlock history"),
        option("status-file", "FILE")
            .help("Write one JSON object on how it ended to FILE, whatever the outcome, by rename"),
        option("metrics-file", "FILE").help(
            "Write gauges of the run to FILE, by rename, for the textfile collector of \
             Prometheus' node_exporter",
        ),
    ]
}

/// An option with a value of any bytes, known to everybody by its long name.
fn option(name: &'static str, value: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name(value)
        .value_parser(OsStringValueParser::new())
        .action(ArgAction::Set)
}

/// An option without a value.
fn switch(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue)
}

const AFTER_RUN: &str = "\
Exit codes:
  the command's  it ran to its end under the lock; if a signal killed it, redlock dies of the same
  75 (-E)        somebody else holds the lock, or it was already done in this period (--once-per)
  69             no quorum of servers could be reached: an outage, not a skip
  76             the lock was lost while the command ran
  124            the command ran longer than --max-runtime
  126, 127       the command could not be executed, was not found
  64             the command line makes no sense
  77             a server refused: authentication or ACL
  78             the configuration makes no sense
  70, 71         a bug of redlock; the system refused

Examples:
  One line in the crontab of several hosts; one of them runs the report:
    0 3 * * * redlock run -r daily-report -t 10m -- report.sh

  The same for hosts whose clocks differ by some seconds, without a hung report holding it for ever:
    0 3 * * * redlock run -r daily-report --min-hold 1m --max-runtime 2h -- report.sh

  At most one success an hour over all hosts; who fails is followed by the next:
    */5 * * * * redlock run -r sync --once-per 1h -- sync.sh

  Wait for up to five minutes for another deployment:
    redlock run -r deploy -w 5m --note 'deploying v42' -- ./deploy.sh v42

  On this host only, without a server:
    redlock run --local -r backup -- backup.sh

  Try it on one server:
    redlock run --server redis://localhost --any-quorum -r demo -- sleep 10";

/// The library's answer, which may take several lines and end in advice of its own, as ours.
fn answer(error: &clap::Error, arguments: &[OsString]) -> Answer {
    if !error.use_stderr() {
        return Answer::Text(error.to_string());
    }
    let help = format!("see {} --help", helpful(arguments));
    let what = match error.kind() {
        ErrorKind::MissingSubcommand => "no subcommand given, such as run".to_owned(),
        _ => first_line(&error.to_string()),
    };
    let suggested = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand]
        .into_iter()
        .find_map(|kind| match error.get(kind) {
            Some(ContextValue::String(name)) => Some(name.clone()),
            Some(ContextValue::Strings(names)) => names.first().cloned(),
            _ => None,
        });
    Answer::Usage(match suggested {
        Some(name) => format!("{what}; did you mean '{name}'?"),
        None => format!("{what}; {help}"),
    })
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    without_password(line.strip_suffix(" found").unwrap_or(line))
}

/// `redlock run`, or `redlock` if no command was typed: whose help to look at.
fn helpful(arguments: &[OsString]) -> String {
    let definition = definition();
    let typed = arguments.iter().skip(1).filter_map(|word| word.to_str());
    let mut commands = typed.filter_map(|word| definition.find_subcommand(word));
    match commands.next() {
        Some(command) => format!("redlock {}", command.get_name()),
        None => "redlock".to_owned(),
    }
}

/// A URL in the wrong place is quoted by the library, password and all.
fn without_password(line: &str) -> String {
    match (line.find("://"), line.rfind('@')) {
        (Some(scheme), Some(host)) if scheme < host => {
            format!("{}://***{}", &line[..scheme], &line[host..])
        }
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    fn parse(line: &str) -> Result<RunArguments, Answer> {
        let cli = Cli::parse(line.split_whitespace().map(Into::into))?;
        match cli.command {
            Command::Run(arguments) => Ok(arguments),
            other => panic!("{line}: {other:?}"),
        }
    }

    fn run(line: &str) -> RunArguments {
        parse(line).unwrap_or_else(|answer| panic!("{line}: {answer:?}"))
    }

    fn usage(line: &str) -> String {
        match parse(line) {
            Err(Answer::Usage(message)) => message,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        definition().debug_assert();
        needed(&["redlock".into(), "run".into()]).debug_assert();
    }

    #[test]
    fn what_is_needed_for_run_tells_of_it_what_all_of_the_definition_does() {
        let line = ["redlock", "run"].map(OsString::from);
        for help in ["-h", "--help"] {
            let text = |definition: Definition| {
                let line = line.iter().cloned().chain([help.into()]);
                let error = definition.try_get_matches_from(line).expect_err("a help");
                error.to_string()
            };
            assert_eq!(text(needed(&line)), text(definition()));
        }
    }

    #[test]
    fn what_follows_the_command_belongs_to_it() {
        for (line, command) in [
            ("redlock run -r a ls -la", vec!["ls", "-la"]),
            (
                "redlock run -r a -- ls -r --help",
                vec!["ls", "-r", "--help"],
            ),
            ("redlock run -r a ls --help", vec!["ls", "--help"]),
            ("redlock run -r a -w5s ls -w", vec!["ls", "-w"]),
            ("redlock run -r a -w -- c", vec!["c"]),
            ("redlock run -r a -vw -- c", vec!["c"]),
            ("redlock run -r a env -- c", vec!["env", "--", "c"]),
        ] {
            assert_eq!(run(line).command, command, "{line}");
        }
    }

    #[test]
    fn arguments_of_the_command_may_be_any_bytes() {
        let odd = OsString::from_vec(vec![0xff, b'a']);
        let line = ["redlock", "run", "-r", "a", "--", "echo"].map(OsString::from);
        let cli = Cli::parse(line.into_iter().chain([odd.clone()])).expect("a good line");
        let Command::Run(arguments) = cli.command else {
            panic!("{cli:?}");
        };
        assert_eq!(arguments.command[1], odd);
    }

    #[test]
    fn an_option_is_known_by_its_long_name_and_its_last_value_comes_last() {
        let arguments = run("redlock run -r a -r b -w -t 1s -t 2s -w5s --local -- c");
        assert_eq!(arguments.resources, ["a", "b"]);
        let last = |name| arguments.options.values(name).and_then(<[_]>::last);
        assert_eq!(last("ttl"), Some(&"2s".into()));
        assert_eq!(last("wait"), Some(&"5s".into()));
        assert_eq!(arguments.options.values("local"), Some(&[][..]));
        assert_eq!(arguments.options.values("server"), None);
        assert_eq!(arguments.options.values("quiet"), None);
    }

    #[test]
    fn options_of_every_command_may_stand_before_or_after_it() {
        for line in [
            "redlock --server redis://h --local=d -v run -r a c",
            "redlock run --server redis://h --local=d -v -r a c",
            "redlock --server redis://h run --local=d -v -r a c",
        ] {
            let options = run(line).options;
            assert_eq!(options.values("server"), Some(&["redis://h".into()][..]));
            assert_eq!(options.values("local"), Some(&["d".into()][..]));
            assert!(options.values("verbose").is_some());
        }
    }

    #[test]
    fn a_mistake_is_answered_in_one_line_with_advice() {
        for (line, answer) in [
            (
                "redlock run -r a --foo c",
                "unexpected argument '--foo'; see redlock run --help",
            ),
            (
                "redlock run -r a --tll 5s c",
                "unexpected argument '--tll'; did you mean '--ttl'?",
            ),
            ("redlock -x", "unexpected argument '-x'; see redlock --help"),
            (
                "redlock",
                "no subcommand given, such as run; see redlock --help",
            ),
            (
                "redlock rum",
                "unrecognized subcommand 'rum'; did you mean 'run'?",
            ),
            (
                "redlock daily-report",
                "unrecognized subcommand 'daily-report'; see redlock --help",
            ),
            (
                "redlock run -r",
                "a value is required for '--resource <NAME>' but none was supplied; see redlock run --help",
            ),
        ] {
            assert_eq!(usage(line), answer, "{line}");
        }
    }

    #[test]
    fn a_password_in_the_wrong_place_is_not_repeated() {
        for line in [
            "redlock redis://me:hunter2@h run",
            "redlock --any-quorum=redis://me:hunter2@h run",
            "redlock --servers=redis://me:hunter2@h run",
            "redlock run --servers redis://me:hunter2@h",
        ] {
            assert!(!usage(line).contains("hunter2"), "{line}: {}", usage(line));
        }
        let arguments = run("redlock run --server redis://me:hunter2@h -r a c");
        assert!(!format!("{arguments:?}").contains("hunter2"));
    }

    #[test]
    fn help_tells_of_every_option_and_ends_with_codes_and_examples() {
        let Err(Answer::Text(help)) = parse("redlock run --help") else {
            panic!("help is an answer");
        };
        for expected in [
            "--wait",
            "--server",
            "Options of every command",
            "Exit codes:",
        ] {
            assert!(help.contains(expected), "{expected} is missing in:\n{help}");
        }
        assert!(help.trim_end().ends_with("sleep 10"), "{help}");
        let short = parse("redlock run -h");
        assert!(matches!(short, Err(Answer::Text(_))), "{short:?}");
        let version = format!("redlock {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(
            parse("redlock --version").expect_err("an answer"),
            Answer::Text(version)
        );
    }
}
