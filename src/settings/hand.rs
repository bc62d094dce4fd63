//! What was meant by those who handle locks by hand: acquire, extend, release, inspect, list.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use super::file::File;
use super::options;
use super::sources::{AnySetting, Sources};
use super::{
    Common, Error, RestartGuard, Verbosity, Wait, World, common_of, resources, single, verbosity,
};
use crate::cli::HandArguments;
use crate::exit::Exit;
use crate::lock::claim::{Resource, Token};

/// The longest token that is read: the value of a lock of any library fits.
const TOKEN_LIMIT: u64 = 4096;

/// The longest pattern: no name is longer than 512 bytes, but many characters may be escaped.
const PATTERN_LIMIT: usize = 4096;

/// For whom results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What `redlock acquire` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcquireSettings {
    /// What every command needs.
    pub common: Common,
    /// What to lock.
    pub resource: Resource,
    /// For how long.
    pub ttl: std::time::Duration,
    /// Whether to wait for a lock that is held.
    pub wait: Wait,
    /// Shown to whoever looks at the lock.
    pub note: Option<String>,
    /// Whether servers that restarted may grant.
    pub restart_guard: RestartGuard,
    /// For how long a server counts as restarted.
    pub restart_window: std::time::Duration,
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
    pub ttl: std::time::Duration,
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

/// What `redlock acquire` is to do.
///
/// # Errors
///
/// If the settings make no sense.
pub fn acquire(arguments: &HandArguments, world: &World) -> Result<AcquireSettings, Error> {
    let resource = one_resource(arguments, world, "acquire -r NAME")?;
    let sources = sources(arguments, world, &options::ACQUIRE)?;
    Ok(AcquireSettings {
        resource,
        ttl: sources.value(&options::TTL)?,
        wait: sources.optional(&options::WAIT)?.unwrap_or(Wait::No),
        note: sources
            .optional(&options::NOTE)?
            .filter(|note| !note.is_empty()),
        restart_guard: sources.value(&options::RESTART_GUARD)?,
        restart_window: sources.value(&options::RESTART_WINDOW)?,
        format: format(arguments),
        common: common_of(&sources)?,
    })
}

/// What `redlock extend` is to do. A token is read from `input` if the user said so.
///
/// # Errors
///
/// If the settings make no sense.
pub fn extend(
    arguments: &HandArguments,
    world: &World,
    input: impl Read,
) -> Result<ExtendSettings, Error> {
    let resource = one_resource(arguments, world, "extend -r NAME --token TOKEN")?;
    let Some(given) = token(arguments, world, input)? else {
        return Err(usage(
            "no token: give what acquire has printed with --token TOKEN, with --token - on \
             standard input, or as REDLOCK_TOKEN",
        ));
    };
    let token = std::str::from_utf8(&given.bytes)
        .ok()
        .and_then(Token::parse);
    let token = token.ok_or_else(|| {
        let message = "this is no token of redlock, which has 32 digits from 0 to f";
        usage(&format!("{}: {message}", given.origin))
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
    arguments: &HandArguments,
    world: &World,
    input: impl Read,
) -> Result<ReleaseSettings, Error> {
    let resource = one_resource(arguments, world, "release -r NAME --token TOKEN")?;
    let has = |name| arguments.options.values(name).is_some();
    let right = match (has("force"), has("yes")) {
        (true, _) if has("token") => {
            let message = "--force excludes --token: with a token, the lock is yours to release";
            return Err(usage(message));
        }
        (true, true) => Right::Force,
        (true, false) => Right::Ask,
        (false, true) => {
            return Err(usage("--yes needs --force: it answers what --force asks"));
        }
        (false, false) => match token(arguments, world, input)? {
            Some(given) => Right::Token(GivenToken(given.bytes)),
            None => {
                return Err(usage(
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
pub fn inspect(arguments: &HandArguments, world: &World) -> Result<InspectSettings, Error> {
    if arguments.names.is_empty() {
        return Err(usage(
            "no name given; name what to look at, as in redlock inspect daily-report",
        ));
    }
    let resources = resources(&arguments.names, world)?;
    let sources = sources(arguments, world, &[])?;
    let has = |name| arguments.options.values(name).is_some();
    let quiet = verbosity(&sources)? == Verbosity::Quiet;
    let show = match (has("watch"), has("json")) {
        (true, true) => return Err(usage("--watch excludes --json: it is for people")),
        (true, false) if quiet => return Err(usage("--watch excludes --quiet")),
        (true, false) => Show::Watch,
        (false, _) if quiet => Show::Nothing,
        (false, _) => Show::Once(format(arguments)),
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
pub fn list(arguments: &HandArguments, world: &World) -> Result<ListSettings, Error> {
    let pattern = match arguments.names.first() {
        None => "*",
        Some(pattern) => pattern
            .to_str()
            .filter(|pattern| pattern.len() <= PATTERN_LIMIT)
            .ok_or_else(|| usage("the pattern is no UTF-8, or longer than any name"))?,
    };
    let sources = sources(arguments, world, &[])?;
    Ok(ListSettings {
        pattern: pattern.to_owned(),
        format: format(arguments),
        common: common_of(&sources)?,
    })
}

/// The sources of a command whose own options are those of `table`. Flags are judged first, without
/// looking at any file.
fn sources<'a>(
    arguments: &'a HandArguments,
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

fn format(arguments: &HandArguments) -> Format {
    match arguments.options.values("json") {
        Some(_) => Format::Json,
        None => Format::Text,
    }
}

fn one_resource(
    arguments: &HandArguments,
    world: &World,
    example: &str,
) -> Result<Resource, Error> {
    match &arguments.names[..] {
        [] => Err(usage(&format!(
            "no resource given; name it with -r, as in redlock {example}"
        ))),
        [_] => {
            let mut one = resources(&arguments.names, world)?;
            Ok(one.remove(0))
        }
        _ => Err(usage(
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
    arguments: &HandArguments,
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
        return Err(usage(&format!("{origin}: the token is empty")));
    }
    Ok(Some(Given { bytes, origin }))
}

/// All of `input`, without the newline at its end.
fn read(input: impl Read) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let read = input.take(TOKEN_LIMIT + 1).read_to_end(&mut bytes);
    read.map_err(|error| {
        usage(&format!(
            "cannot read the token from standard input: {error}"
        ))
    })?;
    if bytes.len() as u64 > TOKEN_LIMIT {
        return Err(usage("standard input: this is too long for a token"));
    }
    if bytes.ends_with(b"\n") {
        bytes.pop();
    }
    Ok(bytes)
}

fn usage(message: &str) -> Error {
    Error::new(Exit::Usage, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use crate::settings::User;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn world(variables: &[(&str, &str)]) -> World {
        let local = [("REDLOCK_LOCAL", "/tmp/redlock")];
        World::new(local.iter().chain(variables).copied(), User::Other)
            .with_system_file("/nonexistent")
    }

    fn arguments(line: &str) -> HandArguments {
        let words = ["redlock"].into_iter().chain(line.split_whitespace());
        match Cli::parse(words.map(Into::into))
            .expect("a line of good form")
            .command
        {
            Command::Acquire(arguments)
            | Command::Extend(arguments)
            | Command::Release(arguments)
            | Command::Inspect(arguments)
            | Command::List(arguments) => arguments,
            other => panic!("{other:?} is not by hand"),
        }
    }

    fn extended(line: &str, variables: &[(&str, &str)], input: &str) -> Result<Token, Error> {
        let settings = extend(&arguments(line), &world(variables), input.as_bytes());
        settings.map(|settings| settings.token)
    }

    #[test]
    fn every_option_that_can_be_typed_is_in_a_table_or_structure() {
        let structure = ["resource", "token", "force", "yes", "json", "watch"];
        for (name, table) in [
            ("acquire", &options::ACQUIRE[..]),
            ("extend", &options::EXTEND),
            ("release", &[]),
            ("inspect", &[]),
            ("list", &[]),
        ] {
            let definition = crate::cli::definition();
            let command = definition.find_subcommand(name).expect("there is one");
            let longs = command
                .get_arguments()
                .filter_map(|argument| argument.get_long());
            let mut typed: Vec<&str> = longs.filter(|long| !structure.contains(long)).collect();
            let mut known: Vec<&str> = table.iter().map(|setting| setting.row().name).collect();
            typed.sort_unstable();
            known.sort_unstable();
            assert_eq!(typed, known, "{name}");
        }
    }

    #[test]
    fn a_token_comes_from_the_line_or_standard_input_or_the_environment() {
        let variable = [("REDLOCK_TOKEN", TOKEN)];
        let other = "f".repeat(32);
        let typed = format!("extend -r a --token {other}");
        for (token, expected) in [
            (extended(&typed, &variable, ""), &other[..]),
            (
                extended("extend -r a --token -", &variable, &format!("{other}\n")),
                &other,
            ),
            (extended("extend -r a", &variable, &other), TOKEN),
        ] {
            assert_eq!(
                token.map(|token| token.as_str().to_owned()),
                Ok(expected.to_owned())
            );
        }
    }

    #[test]
    fn a_token_that_is_none_is_a_usage_error_that_does_not_repeat_it() {
        for (line, input) in [
            ("extend -r a --token secret", ""),
            ("extend -r a --token -", "secret\n"),
            ("extend -r a --token -", ""),
            ("extend -r a", ""),
        ] {
            let error = extended(line, &[], input).expect_err(line);
            assert_eq!(error.exit, Exit::Usage);
            assert!(!error.message.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_release_is_by_token_or_by_force() {
        let right = |line: &str, variables: &[(&str, &str)]| {
            let settings = release(&arguments(line), &world(variables), &b""[..]);
            settings
                .map(|settings| settings.right)
                .map_err(|error| error.exit)
        };
        let variable = [("REDLOCK_TOKEN", "any value, of any library")];
        let token = GivenToken(b"any value, of any library".to_vec());
        assert_eq!(right("release -r a", &variable), Ok(Right::Token(token)));
        assert_eq!(right("release -r a --force", &variable), Ok(Right::Ask));
        assert_eq!(right("release -r a --force --yes", &[]), Ok(Right::Force));
        for line in [
            "release -r a",
            "release -r a --yes",
            "release -r a --force --token x",
            "release --token x",
            "release -r a -r b --token x",
        ] {
            assert_eq!(right(line, &[]), Err(Exit::Usage), "{line}");
        }
    }

    #[test]
    fn a_look_is_shown_in_one_way() {
        let show = |line: &str| {
            let settings = inspect(&arguments(line), &world(&[]));
            settings
                .map(|settings| settings.show)
                .map_err(|error| error.exit)
        };
        assert_eq!(show("inspect a b"), Ok(Show::Once(Format::Text)));
        assert_eq!(show("inspect a --json"), Ok(Show::Once(Format::Json)));
        assert_eq!(show("inspect -q a --json"), Ok(Show::Nothing));
        assert_eq!(show("inspect a --watch"), Ok(Show::Watch));
        for line in [
            "inspect",
            "inspect a --watch --json",
            "inspect a -q --watch",
        ] {
            assert_eq!(show(line), Err(Exit::Usage), "{line}");
        }
    }

    #[test]
    fn no_settings_show_a_token() {
        let line = format!("release -r a --token {TOKEN}");
        let settings = release(&arguments(&line), &world(&[]), &b""[..]);
        assert!(!format!("{settings:?}").contains(TOKEN));
    }
}
