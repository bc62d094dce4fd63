//! The commands and options as the library knows them, with their help texts.

use std::ffi::OsString;

use clap::{Arg, Command as Definition};

use super::known::{Known, option, positional, switch};
use super::{by_hand, completions};

/// The least by which a plain `redlock run` can be taken apart: of all options those whose names
/// occur. The whole definition was an eighth of a short run's instructions. Whoever is told of a
/// mistake by it asks the whole one what to say. `None` for other commands.
pub(super) fn least(arguments: &[OsString]) -> Option<Definition> {
    let (_, [command, words @ ..]) = arguments.split_first()? else {
        return None;
    };
    if command != "run" {
        return None;
    }
    let own = words.iter().take_while(|word| *word != "--");
    let occurs = |option: &&Known| {
        own.clone()
            .any(|word| option.may_be(word.as_encoded_bytes()))
    };
    let options = COMMON.iter().chain(&LOCK).chain(&JOB).filter(occurs);
    let run = Definition::new("run")
        .disable_help_flag(true)
        .args_override_self(true)
        .args(options.copied())
        .arg(command_of_job());
    let least = Definition::new("redlock")
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .subcommand(run);
    Some(least)
}

/// All that is promised of the command line, as the library knows it; man pages and completions are
/// generated from it.
#[must_use]
pub fn definition() -> Definition {
    Definition::new("redlock")
        .version(env!("CARGO_PKG_VERSION"))
        .about(
            "Run shell and cron jobs under a lock held on a majority of independent Redis servers",
        )
        .override_usage("redlock [OPTIONS] <COMMAND>")
        .after_long_help(CONFIGURATION)
        .subcommand_required(true)
        // As with flock and timeout, the last of several values counts: an alias can be overridden.
        // So it is for all commands.
        .args_override_self(true)
        // They are shown after the options of the command itself, in the order of the table.
        .args((100..).zip(COMMON).map(|(order, option)| {
            Arg::from(option)
                .help_heading("Options of every command")
                .display_order(order)
                .global(true)
        }))
        .subcommand(run())
        .subcommands(by_hand::definitions())
        .subcommand(doctor())
        .subcommand(config())
        .subcommand(completions::completions())
}

const CONFIGURATION: &str = "\
Configuration:
  Every long option but --resource, --json, --force and --yes can be set by a variable, REDLOCK_ and
  its name in capitals (REDLOCK_NODE_TIMEOUT=200ms; options without a value are 1 or 0; REDLOCK_WAIT
  is a duration or forever; the servers are REDLOCK_SERVERS, separated by commas or blanks), and
  all of them but --config, --token and --watch in a TOML file. An empty variable counts as not set.
  The order is: flag, environment, the resource's section of the file, [defaults], its beginning,
  the default.

    servers = [\"redis://10.0.0.1\", \"redis://10.0.1.1\", \"redis://10.0.2.1\"]
    password-file = \"/etc/redlock/password\"

    [defaults]
    ttl = \"30s\"

    [resource.\"daily-report\"]
    ttl = \"10m\"

  The file is --config, else $REDLOCK_CONFIG, else $XDG_CONFIG_HOME/redlock/config.toml or
  ~/.config/redlock/config.toml (not as root), else /etc/redlock/config.toml.
  A duration is 500ms, 30s, 10m, 1h30m, 2d; a bare number counts seconds.";

/// The options of every command.
const COMMON: [Known; 14] = [
    option(
        "server",
        "URL",
        "A server of the quorum; repeat it for each, three or five in all. \
         redis://[USER][:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, \
         redis+unix:///PATH[?db=DB], or valkey://, valkeys://, valkey+unix://. Replaces the \
         servers of REDLOCK_SERVERS and of the file",
    )
    .repeated(),
    option(
        "local",
        "DIR",
        "No server at all: lock among the processes of this host, in DIR. The default is \
         $XDG_STATE_HOME/redlock or ~/.local/state/redlock, for root /var/lib/redlock; users \
         who shall exclude one another name one DIR",
    )
    .value_after_equals(),
    option("config", "FILE", "Read this file of settings and no other"),
    switch(
        "any-quorum",
        "Accept one server, or an even number of them, although then one failure more stops \
         everything",
    ),
    option(
        "key-format",
        "FMT",
        "The Redis key of a resource, {} being its name [default: lock:{}]. {} alone, or \
         redlock:{}, share locks with other Redlock libraries",
    ),
    option(
        "node-timeout",
        "DUR",
        "How long a server may take to connect and answer [default: 80ms]. Doubles with each \
         retry of unreachable servers, up to 320ms; four times, if that is longer, while a lock \
         that is held is extended",
    ),
    option(
        "password-file",
        "FILE",
        "Read the servers' password from FILE, which must not be accessible to others. A \
         password in a server's URL goes before",
    ),
    option(
        "user",
        "NAME",
        "The user for the servers' access control lists. A password in a server's URL comes with \
         the user of the URL, or with none",
    ),
    option(
        "tls-ca",
        "FILE",
        "Certificate authorities, in PEM, for servers with rediss:// [default: the system's]",
    ),
    option(
        "tls-cert",
        "FILE",
        "Our certificate, in PEM; needs --tls-key",
    ),
    option("tls-key", "FILE", "The private key of --tls-cert, in PEM"),
    switch("quiet", "Print errors only")
        .short('q')
        .overrides("verbose"),
    switch(
        "verbose",
        "Tell what is going on, also when nobody is at the terminal",
    )
    .short('v')
    .overrides("quiet"),
    option(
        "log-format",
        "FORMAT",
        "How to print messages on stderr: text or json [default: text]",
    ),
];

fn run() -> Definition {
    Definition::new("run")
        .about("Run COMMAND while holding a lock")
        .long_about(
            "Run COMMAND while holding a lock: one try, and skip at once if somebody else holds \
             it. The lock is extended while COMMAND runs and released the moment it has ended.",
        )
        .override_usage("redlock run -r NAME [OPTIONS] -- COMMAND [ARG]...")
        .after_long_help(AFTER_RUN)
        .args(LOCK.map(|option| Arg::from(option).help_heading("The lock")))
        .args(JOB.map(|option| Arg::from(option).help_heading("The command")))
        .arg(command_of_job())
}

fn command_of_job() -> Arg {
    positional("command", "COMMAND")
        .num_args(1..)
        // Whatever follows the command belongs to it. Hyphens must not be allowed for its first
        // word, or `-w5s` would be taken for a command.
        .trailing_var_arg(true)
        .help("The command and its arguments, executed without a shell")
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
        .after_long_help(AFTER_CONFIG)
}

const AFTER_CONFIG: &str = "\
Exit codes:
  0   the settings make sense
  78  they do not; what is wrong, and where
  64, 70, 71  as in redlock run

Examples:
  Where does a setting come from?
    redlock config

  Check a file before it is rolled out:
    redlock config --config new.toml";

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
        .arg(switch(
            "json",
            "Print JSON: what was learned of each server, and the findings",
        ))
}

const AFTER_DOCTOR: &str = "\
Exit codes:
  0   fine, or warnings only
  69  no quorum of servers has a vote
  77  so many servers refused that there can be no quorum: authentication or ACL
  78  something can give one lock to two holders, or the configuration makes no sense
  64, 70, 71  as in redlock run

Examples:
  Before the first job is trusted to these servers:
    redlock doctor

  For a monitor; what is wrong, without warnings:
    redlock doctor --json | jq '.findings[] | select(.severity == (\"danger\", \"no_vote\"))'";

/// Of `run` and of `acquire`.
pub(super) const NOTE: Known = option(
    "note",
    "TEXT",
    "Shown to whoever looks at the lock, as in --note 'deploying v42'",
);

/// The options of `run` that are about its lock.
const LOCK: [Known; 10] = [
    option(
        "resource",
        "NAME",
        "What to lock: any name of at most 512 bytes, the same on all hosts. Repeat it to hold \
         several, all or none. {date}, {hour} and {minute} in it are replaced by the local \
         time, {date:utc} and so on by UTC, {host} and {user} by ours; {{ is a brace",
    )
    .short('r')
    .repeated(),
    option(
        "ttl",
        "DUR",
        "How long others stay locked out if this host dies, 500ms to 24h [default: 30s]. Not \
         the command's time limit: the lock is extended while it runs",
    )
    .short('t'),
    option(
        "wait",
        "DUR",
        "Wait for the lock, for DUR or, without DUR or with 'forever', for ever, which only an \
         outage of a minute ends [default: do not wait]. Without DUR it must be followed by \
         another option or by --",
    )
    .short('w')
    .value_optional(),
    option(
        "conflict-exit-code",
        "N",
        "The exit code for: somebody else holds the lock, 0 to 255 [default: 75]",
    )
    .short('E'),
    option(
        "min-hold",
        "DUR",
        "Keep the lock at least so long after it was acquired, even if the command is quicker, \
         so that hosts whose clocks differ do not both run it [default: 0]. Never sleeps: the \
         lock is left to expire",
    ),
    option(
        "once-per",
        "DUR",
        "If the command exits 0, nobody runs it again until DUR after the lock was acquired, \
         less a tenth of DUR (at most 30s). If it fails, the next one may try again",
    ),
    NOTE,
    switch(
        "no-command",
        "Do not store the command's file name with the lock; its arguments never are",
    ),
    option(
        "restart-guard",
        "MODE",
        "Whether servers that restarted within the restart window, and may have forgotten a \
         lock, may grant one: auto (if all of them did), strict (never), off (always) [default: \
         auto]",
    ),
    option(
        "restart-window",
        "DUR",
        "The restart window, at least the longest TTL in use [default: 1m]; the TTL counts if \
         it is longer",
    ),
];

/// The options of `run` that are about its command.
const JOB: [Known; 7] = [
    option(
        "max-runtime",
        "DUR",
        "Stop the command when it has run for DUR, and exit 124; the lock is kept until it is \
         dead [default: no limit]",
    ),
    option(
        "kill-after",
        "DUR",
        "The time between the stop signal and SIGKILL, where redlock stops the command; and for \
         how long the lock is kept for what still cleans up when TERM or HUP to redlock has killed \
         the command itself [default: 5s, at most a quarter of the TTL]",
    )
    .short('k'),
    option(
        "signal",
        "SIG",
        "That stop signal, by name or number [default: TERM]",
    )
    .short('s'),
    option(
        "on-lost",
        "ACTION",
        "What happens to the command when the lock cannot be kept: stop it before another can \
         get the lock, or warn and let it run; both exit 76 [default: stop]",
    ),
    switch(
        "no-history",
        "Do not record the run with the lock; see redlock history",
    ),
    option(
        "status-file",
        "FILE",
        "Write one JSON object on how it ended to FILE, whatever the outcome, by rename",
    ),
    option(
        "metrics-file",
        "FILE",
        "Write gauges of the run to FILE, by rename, for the textfile collector of Prometheus' \
         node_exporter",
    ),
];

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
