//! The form of an option, as a row of a table: it costs nothing until the library is told of it.

use clap::builder::OsStringValueParser;
use clap::{Arg, ArgAction};

/// An option known to everybody by its long name.
#[derive(Clone, Copy)]
pub(super) struct Known {
    long: &'static str,
    help: &'static str,
    short: Option<char>,
    value: Value,
    /// Whether all of its values count, not only the last.
    repeated: bool,
    /// The option that this one takes back.
    overrides: Option<&'static str>,
}

/// What follows an option, of any bytes; the texts are what the help calls it.
#[derive(Clone, Copy)]
enum Value {
    None,
    Needed(&'static str),
    /// It may be missing.
    Optional(&'static str),
    /// It may be missing, and otherwise follows an `=`.
    AfterEquals(&'static str),
}

/// An option with a value.
pub(super) const fn option(long: &'static str, value: &'static str, help: &'static str) -> Known {
    Known {
        value: Value::Needed(value),
        ..switch(long, help)
    }
}

/// An option without a value.
pub(super) const fn switch(long: &'static str, help: &'static str) -> Known {
    Known {
        long,
        help,
        short: None,
        value: Value::None,
        repeated: false,
        overrides: None,
    }
}

/// What stands without a name, called `value` in the help, of any bytes.
pub(super) fn positional(id: &'static str, value: &'static str) -> Arg {
    let argument = Arg::new(id).value_name(value);
    argument.value_parser(OsStringValueParser::new())
}

impl Known {
    pub(super) const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    pub(super) const fn repeated(mut self) -> Self {
        self.repeated = true;
        self
    }

    pub(super) const fn overrides(mut self, other: &'static str) -> Self {
        self.overrides = Some(other);
        self
    }

    pub(super) const fn value_optional(mut self) -> Self {
        if let Value::Needed(value) = self.value {
            self.value = Value::Optional(value);
        }
        self
    }

    pub(super) const fn value_after_equals(mut self) -> Self {
        if let Value::Needed(value) = self.value {
            self.value = Value::AfterEquals(value);
        }
        self
    }

    /// Whether `word` of a command line may be about this option, or one that it takes back. Also
    /// true for some words that are not.
    pub(super) fn may_be(&self, word: &[u8]) -> bool {
        let is = |name: &str, long: &[u8]| {
            let rest = long.strip_prefix(name.as_bytes());
            rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'=')))
        };
        match word {
            [b'-', b'-', long @ ..] => {
                is(self.long, long) || self.overrides.is_some_and(|other| is(other, long))
            }
            // One that has a value may stand behind others that have none, and before its value.
            [b'-', shorts @ ..] => {
                let short = self.short.and_then(|short| u8::try_from(short).ok());
                short.is_some_and(|short| shorts.contains(&short)) || self.overrides.is_some()
            }
            _ => false,
        }
    }
}

impl From<Known> for Arg {
    fn from(known: Known) -> Self {
        let option = Arg::new(known.long).long(known.long).help(known.help);
        let option = match known.short {
            Some(short) => option.short(short),
            None => option,
        };
        let option = match known.overrides {
            Some(other) => option.overrides_with(other),
            None => option,
        };
        let with = |option: Arg, value: &'static str| {
            option
                .value_name(value)
                .value_parser(OsStringValueParser::new())
                .action(if known.repeated {
                    ArgAction::Append
                } else {
                    ArgAction::Set
                })
        };
        match known.value {
            Value::None => option.action(ArgAction::SetTrue),
            Value::Needed(value) => with(option, value),
            Value::Optional(value) => with(option, value).num_args(0..=1),
            Value::AfterEquals(value) => with(option, value).num_args(0..=1).require_equals(true),
        }
    }
}
