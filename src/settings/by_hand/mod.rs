//! What was meant by those who handle locks by hand: acquire, extend, release, inspect, list,
//! history.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::time::Duration;

use super::file::File;
use super::options::{self, Choice};
use super::sources::{AnySetting, Sources};
use super::template::Moment;
use super::{
    Common, Error, Format, Verbosity, Wait, World, common_of, format, note, resource, resources,
    restarts, single, verbosity,
};
use crate::cli::ByHandArguments;
use crate::errno;
use crate::lock::claim::{Resource, Token};
use crate::lock::restart::Restarts;

/// The longest token that is read: the value of a lock of any library fits.
const TOKEN_LIMIT: u64 = 4096;

/// The longest pattern: no name is longer than 512 bytes, but many characters may be escaped.
const PATTERN_LIMIT: usize = 4096;

/// What `redlock acquire` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcquireSettings {
    /// What every command needs.
    pub common: Common,
    /// What to lock.
    pub resource: Resource,
    /// For how long.
    pub ttl: Duration,
    /// Whether to wait for a lock that is held.
    pub wait: Wait,
    /// Shown to whoever looks at the lock.
    pub note: Option<String>,
    /// Whether servers that restarted may grant.
    pub restarts: Restarts,
    /// How to print the token.
    pub format: Format,
}

/// What `redlock extend` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendSettings {
    /// What every command needs.
    pub common: Common,
    /// Which lock.
    pub resource: Resource,
    /// The proof of ownership.
    pub token: Token,
    /// For how long from now, at least.
    pub ttl: Duration,
}

/// What `redlock release` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseSettings {
    /// What every command needs.
    pub common: Common,
    /// Which lock.
    pub resource: Resource,
    /// By what right.
    pub right: Right,
}

/// By what right a lock is released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// It is the user's own.
    Token(GivenToken),
    /// By force, once the user has said yes.
    Ask,
    /// By force, as the user has said already.
    Force,
}

/// A token of any form, as a user gave it.
#[derive(Clone, PartialEq, Eq)]
pub struct GivenToken(Vec<u8>);

impl GivenToken {
    /// Its bytes.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for GivenToken {
    /// A token is as good as a password for its lock.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GivenToken(***)")
    }
}

/// What `redlock inspect` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectSettings {
    /// What every command needs.
    pub common: Common,
    /// What to look at; at least one.
    pub resources: Vec<Resource>,
    /// How to show it.
    pub show: Show,
}

/// How to show what was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Not at all: the exit code says it.
    Nothing,
    /// Once.
    Once(Format),
    /// Again and again, on a terminal.
    Watch,
}

/// What `redlock list` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListSettings {
    /// What every command needs.
    pub common: Common,
    /// A glob on the names.
    pub pattern: String,
    /// How to print them.
    pub format: Format,
}

/// What `redlock history` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistorySettings {
    /// What every command needs.
    pub common: Common,
    /// Whose runs to show.
    pub resource: Resource,
    /// How to print them.
    pub format: Format,
}

/// What `redlock acquire` is to do.
///
/// # Errors
///
/// If the settings make no sense.
pub fn acquire(arguments: &ByHandArguments, world: &World) -> Result<AcquireSettings, Error> {
    let resource = one_resource(arguments, world, "acquire -r NAME")?;
    let sources = sources(arguments, world, &options::ACQUIRE)?;
    Ok(AcquireSettings {
        resource,
        ttl: sources.value(&options::TTL)?,
        wait: sources.optional(&options::WAIT)?.unwrap_or(Wait::No),
        note: note(&sources)?,
        restarts: restarts(&sources)?,
        format: format(&arguments.options),
        common: common_of(&sources)?,
    })
}

/// What `redlock extend` is to do. A token is read from `input` if the user said so.
///
/// # Errors
///
/// If the settings make no sense.
pub fn extend(
    arguments: &ByHandArguments,
    world: &World,
    input: impl Read,
) -> Result<ExtendSettings, Error> {
    let resource = one_resource(arguments, world, "extend -r NAME --token TOKEN")?;
    let Some(given) = token(arguments, world, input)? else {
        return Err(Error::usage(
            "no token: give what acquire has printed with --token TOKEN, with --token - on \
             standard input, or as REDLOCK_TOKEN",
        ));
    };
    let token = std::str::from_utf8(&given.bytes)
        .ok()
        .and_then(Token::parse);
    let token = token.ok_or_else(|| {
        let message = "this is no token of redlock, which has 32 digits from 0 to f";
        Error::usage(&format!("{}: {message}", given.origin))
    })?;
    let sources = sources(arguments, world, &options::EXTEND)?;
    Ok(ExtendSettings {
        resource,
        token,
        ttl: sources.value(&options::TTL)?,
        common: common_of(&sources)?,
    })
}

/// What `redlock release` is to do. A token is read from `input` if the user said so.
///
/// # Errors
///
/// If the settings make no sense.
pub fn release(
    arguments: &ByHandArguments,
    world: &World,
    input: impl Read,
) -> Result<ReleaseSettings, Error> {
    let resource = one_resource(arguments, world, "release -r NAME --token TOKEN")?;
    let has = |name| arguments.options.values(name).is_some();
    let right = match (has("force"), has("yes")) {
        (true, _) if has("token") => {
            let message = "--force excludes --token: with a token, the lock is yours to release";
            return Err(Error::usage(message));
        }
        (true, true) => Right::Force,
        (true, false) => Right::Ask,
        (false, true) => {
            return Err(Error::usage(
                "--yes needs --force: it answers what --force asks",
            ));
        }
        (false, false) => match token(arguments, world, input)? {
            Some(given) => Right::Token(GivenToken(given.bytes)),
            None => {
                return Err(Error::usage(
                    "no token: give what acquire has printed with --token TOKEN, with --token - \
                     on standard input, or as REDLOCK_TOKEN; --force takes a lock from its holder",
                ));
            }
        },
    };
    let sources = sources(arguments, world, &[])?;
    Ok(ReleaseSettings {
        resource,
        right,
        common: common_of(&sources)?,
    })
}

/// What `redlock inspect` is to do.
///
/// # Errors
///
/// If the settings make no sense.
pub fn inspect(arguments: &ByHandArguments, world: &World) -> Result<InspectSettings, Error> {
    if arguments.names.is_empty() {
        return Err(Error::usage(
            "no name given; name what to look at, as in redlock inspect daily-report",
        ));
    }
    let resources = resources(&arguments.names, "NAME", world)?;
    let sources = sources(arguments, world, &[])?;
    let has = |name| arguments.options.values(name).is_some();
    // Only who types it wants to see nothing of what was asked for.
    let quiet = has("quiet") && verbosity(&sources)? == Verbosity::Quiet;
    // What was typed stands against what the environment says.
    let watch = has("watch") || !has("json") && sources.value(&options::WATCH)? == Choice::Yes;
    let show = match (watch, has("json")) {
        (true, true) => return Err(Error::usage("--watch excludes --json: it is for people")),
        (true, false) if quiet => return Err(Error::usage("--watch excludes --quiet")),
        (true, false) => Show::Watch,
        (false, _) if quiet => Show::Nothing,
        (false, _) => Show::Once(format(&arguments.options)),
    };
    Ok(InspectSettings {
        resources,
        show,
        common: common_of(&sources)?,
    })
}

/// What `redlock list` is to do.
///
/// # Errors
///
/// If the settings make no sense.
pub fn list(arguments: &ByHandArguments, world: &World) -> Result<ListSettings, Error> {
    let pattern = match arguments.names.first() {
        None => "*",
        Some(pattern) => pattern
            .to_str()
            .filter(|pattern| pattern.len() <= PATTERN_LIMIT)
            .ok_or_else(|| Error::usage("the pattern is no UTF-8, or longer than any name"))?,
    };
    let sources = sources(arguments, world, &[])?;
    Ok(ListSettings {
        pattern: pattern.to_owned(),
        format: format(&arguments.options),
        common: common_of(&sources)?,
    })
}

/// What `redlock history` is to do.
///
/// # Errors
///
/// If the settings make no sense.
pub fn history(arguments: &ByHandArguments, world: &World) -> Result<HistorySettings, Error> {
    let typed = arguments.names.first().ok_or_else(|| {
        Error::usage("no name given; name the resource, as in redlock history daily-report")
    })?;
    let resource = resource(typed, "NAME", &Moment::now(world))?;
    let sources = sources(arguments, world, &[])?;
    Ok(HistorySettings {
        resource,
        format: format(&arguments.options),
        common: common_of(&sources)?,
    })
}

/// The sources of a command whose own options are those of `table`. Flags are judged first, without
/// looking at any file.
fn sources<'a>(
    arguments: &'a ByHandArguments,
    world: &'a World,
    table: &[&dyn AnySetting],
) -> Result<Sources<'a>, Error> {
    let sources = Sources::new(&arguments.options, world);
    sources.check_flags(table)?;
    sources.check_flags(&options::COMMON)?;
    let file = File::find_and_read(&sources)?;
    Ok(sources
        .with_file(file)
        .with_resource(single(&arguments.names)))
}

fn one_resource(
    arguments: &ByHandArguments,
    world: &World,
    example: &str,
) -> Result<Resource, Error> {
    match &arguments.names[..] {
        [] => Err(Error::usage(&format!(
            "no resource given; name it with -r, as in redlock {example}"
        ))),
        [_] => {
            let mut one = resources(&arguments.names, "--resource", world)?;
            Ok(one.remove(0))
        }
        _ => Err(Error::usage(
            "several resources given; by hand they are handled one by one",
        )),
    }
}

/// A token and where it comes from.
struct Given {
    bytes: Vec<u8>,
    origin: &'static str,
}

/// The token that the user gives; `None` if there is none.
fn token(
    arguments: &ByHandArguments,
    world: &World,
    input: impl Read,
) -> Result<Option<Given>, Error> {
    let typed = arguments.options.values("token").and_then(<[_]>::last);
    let (bytes, origin) = match typed {
        Some(dash) if dash == OsStr::new("-") => (read(input)?, "standard input"),
        Some(token) => (token.as_bytes().to_vec(), "--token"),
        None => match world.variable("REDLOCK_TOKEN") {
            Some(token) => (OsString::into_vec(token), "REDLOCK_TOKEN"),
            None => return Ok(None),
        },
    };
    if bytes.is_empty() {
        return Err(Error::usage(&format!("{origin}: the token is empty")));
    }
    Ok(Some(Given { bytes, origin }))
}

/// All of `input`, without the newline at its end; and without all else around it that is no part
/// of a token, if it is one of ours. Another program's may begin with a blank.
fn read(input: impl Read) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let read = input.take(TOKEN_LIMIT + 1).read_to_end(&mut bytes);
    read.map_err(|error| {
        Error::usage(&format!(
            "cannot read the token from standard input: {}",
            errno::reason(&error)
        ))
    })?;
    if bytes.len() as u64 > TOKEN_LIMIT {
        return Err(Error::usage("standard input: this is too long for a token"));
    }
    let token = std::str::from_utf8(bytes.trim_ascii()).ok();
    if let Some(token) = token.and_then(Token::parse) {
        return Ok(token.as_str().as_bytes().to_vec());
    }
    if bytes.ends_with(b"\n") {
        bytes.pop();
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
