//! The table of options: for each its name, form, place, default, and what its values mean.
//!
//! Whoever adds an option adds it here, to the list of its commands below, and to
//! `cli/definition.rs` or `cli/by_hand.rs`; tests see to it that all agree. One with a few fixed
//! values is added to `cli/completions.rs` as well. Merging, origins, variables and files follow
//! from the table.

use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::sources::{AnySetting, Form, Found, Origin, Place, Raw, Row, Setting};
use super::{Format, OnLost, Wait, duration, server_url};
use crate::exit::Exit;
use crate::lock::claim::{KeyFormat, TTL_LIMIT};
use crate::lock::restart::RestartGuard;
use crate::node::endpoint::Endpoint;

/// The shortest TTL that can be kept and the longest that is not a mistake.
const TTL_RANGE: (Duration, Duration) = (Duration::from_millis(500), TTL_LIMIT);

/// The longest time for which a lock may stay after its job: longer is a mistake in the unit.
const STAY_RANGE: (Duration, Duration) = (Duration::ZERO, Duration::from_hours(366 * 24));

/// A server that needs longer is down.
const NODE_TIMEOUT_RANGE: (Duration, Duration) =
    (Duration::from_millis(1), Duration::from_secs(30));

/// What was said about the embedded node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Local {
    /// Not to use it.
    Off,
    /// To use it where state belongs.
    Usual,
    /// To use it in this directory.
    At(PathBuf),
}

/// Options of every command.
pub static COMMON: [&dyn AnySetting; 14] = [
    &CONFIG,
    &SERVER,
    &LOCAL,
    &ANY_QUORUM,
    &KEY_FORMAT,
    &NODE_TIMEOUT,
    &PASSWORD_FILE,
    &USER,
    &TLS_CA,
    &TLS_CERT,
    &TLS_KEY,
    &QUIET,
    &VERBOSE,
    &LOG_FORMAT,
];

/// Options of `run`. A variable that sets one is not handed on to the command.
pub static RUN: [&dyn AnySetting; 16] = [
    &TTL,
    &WAIT,
    &CONFLICT_EXIT_CODE,
    &MIN_HOLD,
    &ONCE_PER,
    &MAX_RUNTIME,
    &KILL_AFTER,
    &SIGNAL,
    &ON_LOST,
    &NOTE,
    &NO_COMMAND,
    &RESTART_GUARD,
    &RESTART_WINDOW,
    &NO_HISTORY,
    &STATUS_FILE,
    &METRICS_FILE,
];

/// Options of `acquire`, as in `run`.
pub static ACQUIRE: [&dyn AnySetting; 5] = [&TTL, &WAIT, &NOTE, &RESTART_GUARD, &RESTART_WINDOW];

/// Options of `extend`, as in `run`.
pub static EXTEND: [&dyn AnySetting; 1] = [&TTL];

/// Every option that a file may set: one file serves all commands.
pub fn all() -> impl Iterator<Item = &'static dyn AnySetting> {
    COMMON.iter().chain(&RUN).copied()
}

const fn row(name: &'static str, form: Form, place: Place) -> Row {
    Row {
        name,
        key: name,
        form,
        place,
        default: None,
        exit: Exit::Usage,
    }
}

impl Row {
    const fn or(self, default: &'static str) -> Self {
        Self {
            default: Some(default),
            ..self
        }
    }

    const fn called(self, key: &'static str) -> Self {
        Self { key, ..self }
    }

    /// Servers and what we need to talk to them are configuration, wherever they are named.
    const fn configures(self) -> Self {
        Self {
            exit: Exit::Configuration,
            ..self
        }
    }
}

/// `--config`
pub static CONFIG: Setting<PathBuf> = Setting {
    row: row("config", Form::Text, Place::Nowhere),
    parse: Found::path,
};

/// `--server`
pub static SERVER: Setting<Vec<Endpoint>> = Setting {
    row: row("server", Form::List, Place::Top)
        .called("servers")
        .configures(),
    parse: |found| servers(&found.list()?),
};

/// `--local`
pub static LOCAL: Setting<Local> = Setting {
    row: row("local", Form::OptionalPath, Place::Top),
    parse: local,
};

/// `--any-quorum`
pub static ANY_QUORUM: Setting<Choice> = Setting {
    row: row("any-quorum", Form::Switch, Place::Top).or("0"),
    parse: choice,
};

/// `--key-format`
pub static KEY_FORMAT: Setting<KeyFormat> = Setting {
    row: row("key-format", Form::Text, Place::Top).or(KeyFormat::DEFAULT),
    parse: |found| {
        let text = found.text()?;
        KeyFormat::new(text).ok_or_else(|| {
            format!(
                "'{text}' must contain {{}} once, where the resource's name goes, as in lock:{{}}"
            )
        })
    },
};

/// `--node-timeout`
pub static NODE_TIMEOUT: Setting<Duration> = Setting {
    row: row("node-timeout", Form::Text, Place::Anywhere).or("80ms"),
    parse: |found| within(found, NODE_TIMEOUT_RANGE, "a server's time to answer"),
};

/// `--password-file`
pub static PASSWORD_FILE: Setting<PathBuf> = Setting {
    row: row("password-file", Form::Text, Place::Top).configures(),
    parse: Found::path,
};

/// `--user`
pub static USER: Setting<String> = Setting {
    row: row("user", Form::Text, Place::Top),
    parse: |found| match found.text()? {
        "" => Err("the name of the user is empty".to_owned()),
        name => Ok(name.to_owned()),
    },
};

/// `--tls-ca`
pub static TLS_CA: Setting<PathBuf> = Setting {
    row: row("tls-ca", Form::Text, Place::Top),
    parse: Found::path,
};

/// `--tls-cert`
pub static TLS_CERT: Setting<PathBuf> = Setting {
    row: row("tls-cert", Form::Text, Place::Top),
    parse: Found::path,
};

/// `--tls-key`
pub static TLS_KEY: Setting<PathBuf> = Setting {
    row: row("tls-key", Form::Text, Place::Top),
    parse: Found::path,
};

/// `--quiet`
pub static QUIET: Setting<Choice> = Setting {
    row: row("quiet", Form::Switch, Place::Anywhere).or("0"),
    parse: choice,
};

/// `--verbose`
pub static VERBOSE: Setting<Choice> = Setting {
    row: row("verbose", Form::Switch, Place::Anywhere).or("0"),
    parse: choice,
};

/// `--watch` of `redlock inspect`
pub static WATCH: Setting<Choice> = Setting {
    row: row("watch", Form::Switch, Place::Nowhere).or("0"),
    parse: choice,
};

/// `--log-format`
pub static LOG_FORMAT: Setting<Format> = Setting {
    row: row("log-format", Form::Text, Place::Anywhere).or("text"),
    parse: |found| {
        let formats = [("text", Format::Text), ("json", Format::Json)];
        one_of(found, &formats)
    },
};

/// `--ttl`
pub static TTL: Setting<Duration> = Setting {
    row: row("ttl", Form::Text, Place::Sections).or("30s"),
    parse: |found| within(found, TTL_RANGE, "a TTL"),
};

/// `--wait`
pub static WAIT: Setting<Wait> = Setting {
    row: row("wait", Form::Optional, Place::Sections),
    parse: wait,
};

/// `--conflict-exit-code`
pub static CONFLICT_EXIT_CODE: Setting<u8> = Setting {
    row: row("conflict-exit-code", Form::Number, Place::Sections).or("75"),
    parse: |found| {
        let text = found.text()?;
        let wrong = |_| format!("'{text}' is no exit code; choose a number from 0 to 255");
        text.parse().map_err(wrong)
    },
};

/// `--min-hold`
pub static MIN_HOLD: Setting<Duration> = Setting {
    row: row("min-hold", Form::Text, Place::Sections).or("0"),
    parse: |found| within(found, STAY_RANGE, "the time to keep a lock"),
};

/// `--once-per`; zero is off.
pub static ONCE_PER: Setting<Duration> = Setting {
    row: row("once-per", Form::Text, Place::Sections),
    parse: |found| within(found, STAY_RANGE, "a period"),
};

/// `--max-runtime`; zero is no limit, as with `timeout`.
pub static MAX_RUNTIME: Setting<Duration> = Setting {
    row: row("max-runtime", Form::Text, Place::Sections),
    parse: |found| duration::parse(found.text()?),
};

/// `--kill-after`; its default depends on the TTL.
pub static KILL_AFTER: Setting<Duration> = Setting {
    row: row("kill-after", Form::Text, Place::Sections),
    parse: |found| duration::parse(found.text()?),
};

/// `--signal`
pub static SIGNAL: Setting<Signal> = Setting {
    row: row("signal", Form::Number, Place::Sections).or("TERM"),
    parse: |found| signal(found.text()?),
};

/// `--on-lost`
pub static ON_LOST: Setting<OnLost> = Setting {
    row: row("on-lost", Form::Text, Place::Sections).or("stop"),
    parse: |found| one_of(found, &[("stop", OnLost::Stop), ("warn", OnLost::Warn)]),
};

/// `--note`
pub static NOTE: Setting<String> = Setting {
    row: row("note", Form::Text, Place::Sections),
    parse: |found| found.text().map(ToOwned::to_owned),
};

/// `--no-command`
pub static NO_COMMAND: Setting<Choice> = Setting {
    row: row("no-command", Form::Switch, Place::Sections).or("0"),
    parse: choice,
};

/// `--restart-guard`
pub static RESTART_GUARD: Setting<RestartGuard> = Setting {
    row: row("restart-guard", Form::Text, Place::Sections).or("auto"),
    parse: |found| {
        let guards = [
            ("auto", RestartGuard::Auto),
            ("strict", RestartGuard::Strict),
            ("off", RestartGuard::Off),
        ];
        one_of(found, &guards)
    },
};

/// `--restart-window`
pub static RESTART_WINDOW: Setting<Duration> = Setting {
    row: row("restart-window", Form::Text, Place::Sections).or("1m"),
    parse: |found| duration::parse(found.text()?),
};

/// `--no-history`
pub static NO_HISTORY: Setting<Choice> = Setting {
    row: row("no-history", Form::Switch, Place::Sections).or("0"),
    parse: choice,
};

/// `--status-file`
pub static STATUS_FILE: Setting<PathBuf> = Setting {
    row: row("status-file", Form::Text, Place::Sections),
    parse: file_to_write,
};

/// `--metrics-file`
pub static METRICS_FILE: Setting<PathBuf> = Setting {
    row: row("metrics-file", Form::Text, Place::Sections),
    parse: file_to_write,
};

/// What was said about a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// On.
    Yes,
    /// Off.
    No,
}

fn choice(found: &Found) -> Result<Choice, String> {
    match &found.raw {
        Raw::On => Ok(Choice::Yes),
        Raw::Off => Ok(Choice::No),
        _ => match found.text()? {
            // The defaults are written as in a variable.
            "0" => Ok(Choice::No),
            text => Err(format!("'{text}' is neither 1 nor 0")),
        },
    }
}

fn one_of<T: Clone>(found: &Found, meanings: &[(&str, T)]) -> Result<T, String> {
    let text = found.text()?;
    let meant = meanings.iter().find(|(name, _)| *name == text);
    meant.map(|(_, meaning)| meaning.clone()).ok_or_else(|| {
        let names: Vec<&str> = meanings.iter().map(|(name, _)| *name).collect();
        format!("'{text}' is unknown; choose one of {}", names.join(", "))
    })
}

fn within(
    found: &Found,
    (least, most): (Duration, Duration),
    what: &str,
) -> Result<Duration, String> {
    let text = found.text()?;
    let duration = duration::parse(text)?;
    let wrong = if duration < least {
        "short"
    } else if duration > most {
        "long"
    } else {
        return Ok(duration);
    };
    let most = match most.as_secs() {
        86_400 => "24h".to_owned(),
        seconds if seconds % 86_400 == 0 => format!("{}d", seconds / 86_400),
        _ => duration::show(most),
    };
    // Who writes a bare number may have meant milliseconds.
    let seconds = match text.parse::<f64>() {
        Ok(_) => " (seconds)",
        Err(_) => "",
    };
    Err(format!(
        "'{text}'{seconds} is too {wrong}: {what} is at least {} and at most {most}",
        duration::show(least),
    ))
}

fn wait(found: &Found) -> Result<Wait, String> {
    match &found.raw {
        Raw::On => return Ok(Wait::Forever),
        Raw::Off => return Ok(Wait::No),
        _ => {}
    }
    let text = found.text()?;
    if text == "forever" {
        return Ok(Wait::Forever);
    }
    match duration::parse(text) {
        Ok(Duration::ZERO) => Ok(Wait::No),
        Ok(duration) => Ok(Wait::For(duration)),
        // What is no duration is a switch, or the command.
        Err(_) if matches!(text, "q" | "v") => {
            Err(format!("'{text}' is no duration; write -w -{text}"))
        }
        Err(_)
            if found.origin == Origin::Flag && text.starts_with(|c: char| !c.is_ascii_digit()) =>
        {
            Err(format!("'{text}' is no duration; write -w -- {text}"))
        }
        Err(message) => Err(message),
    }
}

/// Of several the one that is wrong is counted out: the message does not repeat what may be a
/// password.
fn servers(urls: &[&str]) -> Result<Vec<Endpoint>, String> {
    let parse = |(index, url): (usize, &&str)| {
        server_url::parse(url).map_err(|message| match urls.len() {
            1 => message,
            count => format!("{} of {count}: {message}", index + 1),
        })
    };
    urls.iter().enumerate().map(parse).collect()
}

fn local(found: &Found) -> Result<Local, String> {
    match (&found.raw, &found.origin) {
        (Raw::On, _) => Ok(Local::Usual),
        (Raw::Off, _) => Ok(Local::Off),
        (_, Origin::Variable) => match found.path()? {
            // Jobs with different working directories would not exclude one another.
            path if path.is_relative() => Err(format!(
                "'{}' is neither 1 nor 0 nor a path that begins with /",
                path.display()
            )),
            path => Ok(Local::At(path)),
        },
        (Raw::Text(text), _) if text.as_encoded_bytes().starts_with(b"~") => Err(format!(
            "'{}' would be a directory of that very name, for shells leave this ~ as it is; \
             write out the home directory, or begin with ./ if that is meant",
            text.to_string_lossy()
        )),
        _ => found.path().map(Local::At),
    }
}

/// A path that can be one of a file; whether it can be written is seen when there is something to
/// write.
fn file_to_write(found: &Found) -> Result<PathBuf, String> {
    let path = found.path()?;
    if path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        let example = path.join("redlock.json");
        return Err(format!(
            "'{}' names no file; give one, as in {}",
            path.display(),
            example.display()
        ));
    }
    Ok(path)
}

fn signal(text: &str) -> Result<Signal, String> {
    let unknown =
        || format!("'{text}' is no signal; choose one by name or number, as in TERM or 15");
    if let Ok(number) = text.parse::<i32>() {
        return Signal::try_from(number).map_err(|_| unknown());
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    format!("SIG{name}").parse().map_err(|_| unknown())
}
