//! What was meant: flags, environment and files merged and checked, so that nobody else ever sees
//! text that a user wrote and has to wonder about it. No message and no `Debug` shows a password.
//!
//! `options` is the table of what there is, `sources` the one way in which values are merged,
//! `file` the file, `servers` the quorum they make, `server_url` and `duration` how these are
//! written, `template` the names of resources, `world` the environment; `run`, `by_hand` and
//! `doctor` are what those commands are to do, `shown` is `redlock config`. Called by `commands`;
//! opens no connection.

pub mod by_hand;
mod doctor;
mod duration;
mod file;
mod options;
mod run;
mod server_url;
mod servers;
mod shown;
mod sources;
pub mod template;
mod world;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

pub use self::doctor::{DoctorSettings, doctor};
use self::file::File;
use self::options::Choice;
pub use self::run::{Files, History, Metrics, OnLost, RunSettings, StoreCommand, remains_of, run};
pub use self::shown::config;
use self::sources::{Setting, Sources};
use self::template::Moment;
pub use self::world::{TerminalKind, User, World};
use crate::cli::{self, Cli};
use crate::exit::Exit;
use crate::lock::claim::{KeyFormat, Resource};
use crate::lock::restart::Restarts;
use crate::node::endpoint::Endpoint;

/// Why settings make no sense: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// 64 for what was typed or is in the environment, 78 for files, servers and their credentials.
    pub exit: Exit,
    /// One line, beginning with the flag, the variable, or file, line and key.
    pub message: String,
}

impl Error {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { exit, message }
    }

    /// What was typed, or is in the environment, makes no sense.
    fn usage(message: &str) -> Self {
        Self::new(Exit::Usage, message)
    }
}

/// In which manner to tell things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// How much.
    pub verbosity: Verbosity,
    /// For whom.
    pub format: Format,
    /// On what, should it be a terminal.
    pub terminal: TerminalKind,
}

/// How much to tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// Errors only.
    Quiet,
    /// To somebody at a terminal also why nothing was done.
    #[default]
    Normal,
    /// Everything.
    Verbose,
}

/// For whom something is written: messages, or results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// What every command needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Common {
    /// Where locks are.
    pub servers: Servers,
    /// The bound on connect and command, per node and attempt.
    pub node_timeout: Duration,
    /// The key of a resource.
    pub key_format: KeyFormat,
    /// In which manner to tell things.
    pub output: Output,
}

/// Where locks are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// In files of this directory, for the processes of this host.
    Local(PathBuf),
    /// On a majority of these, of which no two are the same as far as their names tell.
    Redis(Vec<Endpoint>),
}

/// Whether to wait for a lock that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Skip at once.
    No,
    /// Wait so long at most.
    For(Duration),
    /// Wait until it is free.
    Forever,
}

/// Whether servers that restarted may grant, and for how long a server counts as restarted.
fn restarts(sources: &Sources) -> Result<Restarts, Error> {
    Ok(Restarts {
        guard: sources.value(&options::RESTART_GUARD)?,
        window: sources.value(&options::RESTART_WINDOW)?,
    })
}

/// In which manner to tell that there are no settings which make sense: what makes none counts as
/// not said here.
#[must_use]
pub fn output_of(cli: &Cli, world: &World) -> Output {
    let resource = match &cli.command {
        cli::Command::Run(arguments) => single(&arguments.resources),
        cli::Command::Acquire(arguments)
        | cli::Command::Extend(arguments)
        | cli::Command::Release(arguments)
        | cli::Command::Inspect(arguments)
        | cli::Command::List(arguments)
        | cli::Command::History(arguments) => single(&arguments.names),
        _ => None,
    };
    output_by(cli.command.options(), resource, world)
}

/// The same, by the options alone and the section of `resource`.
#[must_use]
pub fn output_by(options: &cli::Options, resource: Option<&str>, world: &World) -> Output {
    let sources = Sources::new(options, world);
    let file = File::glance(&sources);
    let sources = sources.with_file(file).with_resource(resource);
    Output {
        verbosity: verbosity(&sources).unwrap_or_default(),
        format: sources.value(&options::LOG_FORMAT).unwrap_or_default(),
        terminal: world.terminal(),
    }
}

/// What every command needs, for one that has no options of its own in the table.
///
/// # Errors
///
/// If the settings make no sense.
pub fn common(options: &cli::Options, world: &World) -> Result<Common, Error> {
    let sources = Sources::new(options, world);
    sources.check_flags(&options::COMMON)?;
    let file = File::find_and_read(&sources)?;
    common_of(&sources.with_file(file))
}

fn common_of(sources: &Sources) -> Result<Common, Error> {
    let output = Output {
        verbosity: verbosity(sources)?,
        format: sources.value(&options::LOG_FORMAT)?,
        terminal: sources.world().terminal(),
    };
    Ok(Common {
        node_timeout: sources.value(&options::NODE_TIMEOUT)?,
        key_format: sources.value(&options::KEY_FORMAT)?,
        servers: servers::of(sources)?,
        output,
    })
}

/// How to print results.
fn format(options: &cli::Options) -> Format {
    match options.values("json") {
        Some(_) => Format::Json,
        None => Format::Text,
    }
}

/// What others are to be shown, unless there is nothing to show.
fn note(sources: &Sources) -> Result<Option<String>, Error> {
    let note = sources.optional(&options::NOTE)?;
    Ok(note.filter(|note| !note.is_empty()))
}

/// Of quiet and verbose the nearer one counts.
fn verbosity(sources: &Sources) -> Result<Verbosity, Error> {
    let rank = |setting: &Setting<Choice>| -> Result<Option<u8>, Error> {
        let chosen = sources.located(setting)?;
        let chosen = chosen.filter(|(choice, _)| *choice == Choice::Yes);
        Ok(chosen.map(|(_, origin)| origin.rank()))
    };
    Ok(match (rank(&options::QUIET)?, rank(&options::VERBOSE)?) {
        (None, None) => Verbosity::Normal,
        (Some(quiet), Some(verbose)) if quiet < verbose => Verbosity::Quiet,
        (Some(_), None) => Verbosity::Quiet,
        (_, Some(_)) => Verbosity::Verbose,
    })
}

/// The resources that were typed as `label`.
fn resources(typed: &[OsString], label: &str, world: &World) -> Result<Vec<Resource>, Error> {
    if typed.is_empty() {
        let message = "no resource given; name it with -r, as in redlock run -r NAME -- COMMAND";
        return Err(Error::usage(message));
    }
    let moment = Moment::now(world);
    typed
        .iter()
        .map(|name| resource(name, label, &moment))
        .collect()
}

/// The resource that was typed as `label`.
fn resource(typed: &OsStr, label: &str, moment: &Moment) -> Result<Resource, Error> {
    let wrong = |message: &str| Error::usage(&format!("{label}: {message}"));
    let name = typed
        .to_str()
        .ok_or_else(|| wrong("the name of a resource is not UTF-8"))?;
    refuse_server(name)?;
    let expanded = moment
        .expand(name)
        .map_err(|error| Error::new(error.exit, format!("{label}: {}", error.message)))?;
    Resource::new(&expanded).map_err(|error| wrong(&error.to_string()))
}

/// `--server` takes one, and others that follow it were taken for something else.
fn refuse_server(word: &str) -> Result<(), Error> {
    if server_url::is_one(word) {
        let server = server_url::masked(word);
        let message = format!("'{server}' is a server: repeat --server for each of them");
        return Err(Error::usage(&message));
    }
    Ok(())
}

/// The resource whose section of the file counts; with several there is none.
fn single(typed: &[OsString]) -> Option<&str> {
    match typed {
        [name] => name.to_str(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
