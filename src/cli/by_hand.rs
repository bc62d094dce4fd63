//! What can be typed by those who handle locks by hand: acquire, extend, release, inspect, list,
//! history.

use clap::{Arg, ArgAction, ArgMatches, Command as Definition};

use super::definition::NOTE;
use super::known::{Known, option, positional, switch};
use super::{ByHandArguments, Command, Options, typed};

/// The commands, in the order in which the help shows them.
pub(super) fn definitions() -> [Definition; 6] {
    [acquire(), extend(), release(), inspect(), list(), history()]
}

/// What was typed after the command `name`; `None` if it is none of them.
pub(super) fn command(name: &str, matches: &ArgMatches) -> Option<Command> {
    let (make, names): (fn(ByHandArguments) -> Command, &str) = match name {
        "acquire" => (Command::Acquire, "resource"),
        "extend" => (Command::Extend, "resource"),
        "release" => (Command::Release, "resource"),
        "inspect" => (Command::Inspect, "name"),
        "list" => (Command::List, "pattern"),
        "history" => (Command::History, "name"),
        _ => return None,
    };
    Some(make(ByHandArguments {
        options: Options::of(matches),
        names: typed(matches, names),
    }))
}

fn definition(name: &'static str, usage: &'static str) -> Definition {
    Definition::new(name).override_usage(usage)
}

fn acquire() -> Definition {
    definition("acquire", "redlock acquire -r NAME [OPTIONS]")
        .about("Take a lock by hand, and print its token")
        .long_about(
            "Take a lock by hand, and print its token: the proof of ownership for extend and \
             release, and nothing else. Nobody extends the lock: it is gone after its TTL unless \
             'redlock extend' is called before. Wherever a command can be named, 'redlock run' is \
             the better choice.",
        )
        .after_long_help(AFTER_ACQUIRE)
        .args([
            resource(),
            ttl(
                "For how long the lock is taken, 500ms to 24h [default: 30s]. It is gone then, \
                 unless it is extended",
            ),
            option(
                "wait",
                "DUR",
                "Wait for the lock, for DUR or for ever [default: do not wait]. A signal while \
                 waiting leaves nothing behind",
            )
            .short('w')
            .value_optional(),
            NOTE,
            switch(
                "json",
                "Print an object instead: resource, token, fencing_token, ttl_ms, valid_ms, nodes",
            ),
            option(
                "restart-guard",
                "MODE",
                "Whether servers that restarted may grant, as in redlock run",
            ),
            option(
                "restart-window",
                "DUR",
                "The restart window, as in redlock run",
            ),
        ])
}

fn extend() -> Definition {
    definition("extend", "redlock extend -r NAME --token TOKEN [OPTIONS]")
        .about("Prolong a lock that was taken by hand")
        .long_about(
            "Prolong a lock that was taken by hand: raise the rest of its time to at least the \
             TTL, and put it back on a server that has lost its data. Never shortens it, and never \
             brings back a lock that has expired.",
        )
        .after_long_help(AFTER_EXTEND)
        .arg(resource())
        .arg(token("the token that acquire has printed"))
        .arg(ttl(
            "For how long from now the lock stays taken at least, 500ms to 24h [default: 30s]",
        ))
}

fn release() -> Definition {
    definition(
        "release",
        "redlock release -r NAME (--token TOKEN | --force [--yes]) [OPTIONS]",
    )
    .about("Give a lock back, or take it from its holder")
    .long_about(
        "Give back the lock that TOKEN was printed for. Or, with --force, take it from whoever \
         holds it: the holder is shown first, and exactly the lock that was shown is deleted, on \
         every server; if somebody else holds it by then, it is left alone. A 'redlock run' that \
         loses its lock in this way stops its command at once. Who tries to get the lock just \
         then may get it: look again before you rely on its being free.",
    )
    .after_long_help(AFTER_RELEASE)
    .arg(resource())
    .arg(token(
        "the token that acquire has printed, or the whole value of another program's lock",
    ))
    .args([
        switch(
            "force",
            "Take the lock from its holder, after asking at the terminal. Also removes what \
                 --min-hold and --once-per keep of a run that is over",
        ),
        switch(
            "yes",
            "Do not ask; needed where there is no terminal to ask at",
        ),
    ])
}

fn inspect() -> Definition {
    definition("inspect", "redlock inspect NAME... [OPTIONS]")
        .about("Show who holds a lock, server by server")
        .long_about(
            "Show who holds a lock, since when, for how much longer, and what each server says \
             about it.",
        )
        .after_long_help(AFTER_INSPECT)
        .arg(
            positional("name", "NAME")
                .num_args(1..)
                .action(ArgAction::Append)
                .help("The locks to look at, written as for run"),
        )
        .args([
            switch("json", "Print an array of objects instead"),
            switch(
                "watch",
                "Look again every second, until q or Ctrl-C is pressed; needs a terminal",
            ),
        ])
}

fn list() -> Definition {
    definition("list", "redlock list [PATTERN] [OPTIONS]")
        .about("List every lock on the servers")
        .long_about(
            "List every lock on the servers: who holds it, for how long, and how many servers \
             agree. Goes through all keys page by page, so that no server is held up; 'redlock \
             inspect' is quicker for a name that is known. With --key-format {}, where any key \
             may be something else, only values in the form of a known Redlock library are shown.",
        )
        .after_long_help(AFTER_LIST)
        .arg(positional("pattern", "PATTERN").help(
            "Which names to list: * is anything, ? one character, [a-z] one of several, \
                 \\* a star [default: *]. Quote it, or the shell takes it for files",
        ))
        .arg(switch("json", "Print an array of objects instead"))
}

fn history() -> Definition {
    definition("history", "redlock history [OPTIONS] NAME")
        .about("Show the last runs of a resource: where, when, how long, how they ended")
        .long_about(
            "Show the last runs of a resource: where, when, how long, and how they ended. The last \
             20 are kept with the lock on the servers, for 35 days after the last of them, unless \
             run was given --no-history.",
        )
        .after_long_help(AFTER_HISTORY)
        .arg(positional("name", "NAME").help("The resource, written as for run"))
        .arg(switch("json", "Print an array of JSON objects"))
}

const fn resource() -> Known {
    option(
        "resource",
        "NAME",
        "The lock's name, as in redlock run; one",
    )
    .short('r')
    .repeated()
}

const fn ttl(help: &'static str) -> Known {
    option("ttl", "DUR", help).short('t')
}

fn token(what: &str) -> Arg {
    Arg::from(option("token", "TOKEN", "")).help(format!(
        "The proof of ownership: {what}. What is typed here can be seen by every user of this host \
         in the list of processes; --token - reads it from standard input, and without --token it \
         is taken from $REDLOCK_TOKEN"
    ))
}

const AFTER_ACQUIRE: &str = "\
Exit codes:
  0   the lock is taken, and its token printed
  75  somebody else holds it
  69  no quorum of servers could be reached
  71  the token could not be written (closed pipe, full disk); the lock was given back
  64, 77, 78, 70  as in redlock run

The holder that others see is the process that called redlock: a shell or script.

Examples:
  A script that cannot be wrapped in redlock run:
    REDLOCK_TOKEN=$(redlock acquire -r deploy-shop -t 15m --note 'deploying v42') || exit
    export REDLOCK_TOKEN
    trap 'redlock release -r deploy-shop' EXIT
    trap 'exit 1' HUP INT TERM
    ./migrate.sh && redlock extend -r deploy-shop -t 15m && ./switch.sh

  With the fencing token for the database:
    LOCK=$(redlock acquire -r deploy-shop --json) || exit
    REDLOCK_TOKEN=$(printf '%s' \"$LOCK\" | jq -r .token)
    FENCE=$(printf '%s' \"$LOCK\" | jq .fencing_token)
    export REDLOCK_TOKEN FENCE";

const AFTER_EXTEND: &str = "\
Exit codes:
  0   the lock is yours for at least the TTL from now
  75  somebody else holds it now
  76  it has expired, or was released; nobody holds it
  69  no quorum of servers answered: it may still be yours; try again
  64, 77, 78, 70, 71  as in redlock run

Example:
  redlock extend -r deploy-shop -t 15m --token - <token-file";

const AFTER_RELEASE: &str = "\
Exit codes:
  0   the lock is free
  75  somebody else holds it now, or you did not say yes; it was left alone
  76  nobody holds it any more
  69  no quorum of servers answered; it expires by itself, unless it has no TTL
  64, 77, 78, 70, 71  as in redlock run

Examples:
  redlock release -r deploy-shop --token - <token-file

  Take it from a holder that hangs, and see who it was:
    redlock release -r deploy-shop --force";

const AFTER_INSPECT: &str = "\
A server's state is held, kept (its job is over, and --min-hold keeps the lock), done (its job has
succeeded, and --once-per keeps it from running again), free, other (something else than what the
quorum agrees on), refused (it turned us away), unreachable, or failed. TTL is what the server says;
the first lines say for how long a quorum still has it, less what clocks may differ.

Exit codes:
  0   held, kept or done, at least one of them
  3   free, all of them
  69  undecided, at least one of them: too few servers answered, or they do not agree
  64, 78, 70, 71  as in redlock run

Examples:
  Who holds it?
    redlock inspect deploy-shop

  In a script; -q prints nothing:
    redlock inspect -q deploy-shop; [ $? -eq 3 ] && echo free";

const AFTER_LIST: &str = "\
Exit codes:
  0   all locks were listed, also if there are none
  69  no quorum of servers could be listed: what is shown is not all
  64, 77, 78, 70, 71  as in redlock run

Examples:
  redlock list
  redlock list 'deploy-*'
  redlock list --json | jq -r '.[] | select(.state == \"held\") | .resource'";

const AFTER_HISTORY: &str = "\
Exit codes:
  0   the runs are shown, also if there are none
  69  no quorum of servers answered: what is shown may not be all
  64, 77, 78, 70, 71  as in redlock run

Example:
  Where did it run last night, and how did it end?
    redlock history daily-report";
