//! What was meant: flags, environment and files merged and checked, so that nobody else ever sees
//! text that a user wrote and has to wonder about it. No message and no `Debug` shows a password.
//!
//! `options` is the table of what there is, `sources` the one way in which values are merged,
//! `file` the file, `servers` the quorum they make, `template` the names of resources, `world` the
//! environment, `shown` all of it for people. Called by `commands`; opens no connection.

mod doctor;
mod duration;
mod file;
pub mod hand;
mod options;
mod server_url;
mod servers;
mod shown;
mod sources;
mod template;
mod world;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;

pub use self::doctor::{DoctorSettings, doctor};
use self::file::File;
use self::options::Choice;
pub use self::shown::config;
use self::sources::{AnySetting, Setting, Sources};
use self::template::Moment;
pub use self::world::{User, World};
use crate::cli::{self, Cli};
use crate::exit::Exit;
use crate::lock::claim::{KeyFormat, Resource};
use crate::node::endpoint::Endpoint;

/// The most of the stop signal's grace, unless the user says otherwise.
const KILL_AFTER: Duration = Duration::from_secs(5);

/// The most of the time between the kill and the end of the lock.
const MARGIN: Duration = Duration::from_millis(500);

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
}

/// In which manner to tell things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// How much.
    pub verbosity: Verbosity,
    /// For whom.
    pub format: LogFormat,
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

/// For whom to tell it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
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
}

/// Where locks are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// In files of this directory, for the processes of this host.
    Local(PathBuf),
    /// On a majority of these, of which no two are the same as far as their names tell.
    Redis(Vec<Endpoint>),
}

/// What `redlock run` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSettings {
    /// What every command needs.
    pub common: Common,
    /// What to lock, with templates expanded; at least one.
    pub resources: Vec<Resource>,
    /// For how long keys live when nobody extends them.
    pub ttl: Duration,
    /// Whether to wait for a lock that is held.
    pub wait: Wait,
    /// The exit code for a lock that is held.
    pub conflict_exit: u8,
    /// For how long the lock stays at least, from its acquisition on.
    pub min_hold: Duration,
    /// In which period from its acquisition on the command is to succeed once only.
    pub once_per: Option<Duration>,
    /// When the command is stopped, counted from its start.
    pub max_runtime: Option<Duration>,
    /// The time between the stop signal and SIGKILL.
    pub kill_after: Duration,
    /// The time between SIGKILL and the end of the lock. `ttl > 2 * (kill_after + margin)`.
    pub margin: Duration,
    /// What the command is stopped with.
    pub stop_signal: Signal,
    /// What happens to the command when the lock cannot be kept.
    pub on_lost: OnLost,
    /// Shown to whoever looks at the lock.
    pub note: Option<String>,
    /// What is stored of the command.
    pub store_command: StoreCommand,
    /// Whether servers that restarted may grant.
    pub restart_guard: RestartGuard,
    /// For how long a server counts as restarted.
    pub restart_window: Duration,
    /// Whether the run is recorded with the lock.
    pub history: History,
    /// Where to tell in JSON how it ended.
    pub status_file: Option<PathBuf>,
    /// Where to leave gauges for Prometheus.
    pub metrics_file: Option<PathBuf>,
    /// The command and its arguments; at least one word.
    pub command: Vec<OsString>,
    /// Variables that set options of this run, and are not meant for another run inside the
    /// command. Those of servers and credentials are, and stay.
    pub hidden_environment: Vec<String>,
}

/// What `redlock history` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistorySettings {
    /// What every command needs.
    pub common: Common,
    /// Whose runs to show.
    pub resource: Resource,
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

/// What happens to the command when the lock cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLost {
    /// It is stopped before another can get the lock.
    Stop,
    /// It runs on, and the loss is told.
    Warn,
}

/// What is stored of the command with the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreCommand {
    /// Its file name, never its arguments.
    FileName,
    /// Nothing.
    Nothing,
}

/// Whether a run is recorded with the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// Where, when, how long, and how it ended.
    Kept,
    /// Not at all.
    Off,
}

/// Whether servers that restarted within the restart window may grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartGuard {
    /// If all of them did: a cold start.
    Auto,
    /// Never.
    Strict,
    /// Always.
    Off,
}

/// In which manner to tell things, also before it is known whether the settings make sense: what
/// makes none counts as not said here, and is an error of the command.
#[must_use]
pub fn output_of(cli: Option<&Cli>, world: &World) -> Output {
    let none = cli::Options::default();
    let options = cli.map_or(&none, |cli| cli.command.options());
    let sources = Sources::new(options, world);
    let file = File::glance(&sources);
    let resource = cli.and_then(|cli| match &cli.command {
        cli::Command::Run(arguments) => single(&arguments.resources),
        cli::Command::Acquire(arguments)
        | cli::Command::Extend(arguments)
        | cli::Command::Release(arguments)
        | cli::Command::Inspect(arguments)
        | cli::Command::List(arguments) => single(&arguments.names),
        _ => None,
    });
    let sources = sources.with_file(file).with_resource(resource);
    Output {
        verbosity: verbosity(&sources).unwrap_or_default(),
        format: sources.value(&options::LOG_FORMAT).unwrap_or_default(),
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

/// What `redlock history` is to do.
///
/// # Errors
///
/// If the settings make no sense.
pub fn history(arguments: &cli::HistoryArguments, world: &World) -> Result<HistorySettings, Error> {
    let resource = resource(&arguments.resource, "NAME", &Moment::now(world))?;
    let common = common(&arguments.options, world)?;
    Ok(HistorySettings { common, resource })
}

/// What `redlock run` is to do.
///
/// # Errors
///
/// If the settings make no sense. The command line is judged first, without looking at any file.
pub fn run(arguments: &cli::RunArguments, world: &World) -> Result<RunSettings, Error> {
    let sources = Sources::new(&arguments.options, world);
    sources.check_flags(&options::RUN)?;
    sources.check_flags(&options::COMMON)?;
    let resources = resources(&arguments.resources, world)?;
    if arguments.command.is_empty() {
        let message = "no command given; write it after --, as in redlock run -r NAME -- COMMAND";
        return Err(Error::new(Exit::Usage, message));
    }
    let file = File::find_and_read(&sources)?;
    let sources = sources
        .with_file(file)
        .with_resource(single(&arguments.resources));
    let ttl = sources.value(&options::TTL)?;
    let margin = MARGIN.min(ttl / 20);
    Ok(RunSettings {
        resources,
        ttl,
        wait: sources.optional(&options::WAIT)?.unwrap_or(Wait::No),
        conflict_exit: sources.value(&options::CONFLICT_EXIT_CODE)?,
        min_hold: sources.value(&options::MIN_HOLD)?,
        once_per: unless_zero(sources.optional(&options::ONCE_PER)?),
        max_runtime: unless_zero(sources.optional(&options::MAX_RUNTIME)?),
        kill_after: kill_after(&sources, ttl, margin)?,
        margin,
        stop_signal: sources.value(&options::SIGNAL)?,
        on_lost: sources.value(&options::ON_LOST)?,
        note: sources
            .optional(&options::NOTE)?
            .filter(|note| !note.is_empty()),
        store_command: match sources.value(&options::NO_COMMAND)? {
            Choice::Yes => StoreCommand::Nothing,
            Choice::No => StoreCommand::FileName,
        },
        restart_guard: sources.value(&options::RESTART_GUARD)?,
        restart_window: sources.value(&options::RESTART_WINDOW)?,
        history: match sources.value(&options::NO_HISTORY)? {
            Choice::Yes => History::Off,
            Choice::No => History::Kept,
        },
        status_file: sources.optional(&options::STATUS_FILE)?,
        metrics_file: sources.optional(&options::METRICS_FILE)?,
        command: arguments.command.clone(),
        hidden_environment: set_by_environment(&options::RUN, world),
        common: common_of(&sources)?,
    })
}

fn common_of(sources: &Sources) -> Result<Common, Error> {
    // Others have acted on these already, as far as they make sense.
    verbosity(sources)?;
    sources.value(&options::LOG_FORMAT)?;
    Ok(Common {
        node_timeout: sources.value(&options::NODE_TIMEOUT)?,
        key_format: sources.value(&options::KEY_FORMAT)?,
        servers: servers::of(sources)?,
    })
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

fn resources(typed: &[OsString], world: &World) -> Result<Vec<Resource>, Error> {
    if typed.is_empty() {
        let message = "no resource given; name it with -r, as in redlock run -r NAME -- COMMAND";
        return Err(Error::new(Exit::Usage, message));
    }
    let moment = Moment::now(world);
    typed
        .iter()
        .map(|name| resource(name, "--resource", &moment))
        .collect()
}

/// The resource that was typed as `label`.
fn resource(typed: &OsStr, label: &str, moment: &Moment) -> Result<Resource, Error> {
    let wrong = |message: &str| Error::new(Exit::Usage, format!("{label}: {message}"));
    let name = typed
        .to_str()
        .ok_or_else(|| wrong("the name of a resource is not UTF-8"))?;
    Resource::new(&moment.expand(name)?).map_err(|error| wrong(&error.to_string()))
}

/// A zero takes back what a file says.
fn unless_zero(duration: Option<Duration>) -> Option<Duration> {
    duration.filter(|duration| !duration.is_zero())
}

/// The resource whose section of the file counts; with several there is none.
fn single(typed: &[OsString]) -> Option<&str> {
    match typed {
        [name] => name.to_str(),
        _ => None,
    }
}

/// The grace between the stop signal and SIGKILL. Design: a TTL that leaves no time for the command
/// to run before it must be stopped again is refused.
fn kill_after(sources: &Sources, ttl: Duration, margin: Duration) -> Result<Duration, Error> {
    let Some((kill_after, origin)) = sources.located(&options::KILL_AFTER)? else {
        return Ok(KILL_AFTER.min(ttl / 4));
    };
    let needed = kill_after.saturating_add(margin).saturating_mul(2);
    if ttl > needed {
        return Ok(kill_after);
    }
    let [kill_after, margin, needed, ttl] = [kill_after, margin, needed, ttl].map(duration::show);
    let message = format!(
        "{kill_after} is too long for a TTL of {ttl}, which must be more than \
         2 * ({kill_after} + {margin}) = {needed}; choose a longer TTL or a shorter grace"
    );
    Err(origin.error(&options::KILL_AFTER.row, &message))
}

fn set_by_environment(table: &[&dyn AnySetting], world: &World) -> Vec<String> {
    let names = table.iter().map(|setting| setting.row().variable());
    names
        .filter(|name| world.variable(name).is_some())
        .collect()
}

#[cfg(test)]
mod tests;
