//! What can be typed: commands, options and their help texts, and nothing else.
//!
//! Values leave here as they were typed, under the long name of their option: `settings` merges
//! them with environment and file, and says what is wrong with them. So every value is judged in
//! one place, wherever it came from. Nobody but this file and its folder knows which library takes
//! arguments apart; what it is told is in `definition`, for locks by hand in `by_hand`, as rows of
//! the form that is in `known`; `completions` makes the scripts for shells. Called by `commands`;
//! read by `settings`.

mod by_hand;
pub mod completions;
mod definition;
mod known;

pub use self::definition::definition;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

use clap::ArgMatches;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;

use self::definition::least;

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
    Acquire(ByHandArguments),
    /// `redlock extend`
    Extend(ByHandArguments),
    /// `redlock release`
    Release(ByHandArguments),
    /// `redlock inspect`
    Inspect(ByHandArguments),
    /// `redlock list`
    List(ByHandArguments),
    /// `redlock history`
    History(ByHandArguments),
    /// `redlock doctor`
    Doctor(Options),
    /// `redlock config`, with the options of every command.
    Config(Options),
    /// `redlock completions`: the name of the shell.
    Completions(Options, String),
    /// `redlock complete-names`, which the completions call: the words typed so far.
    CompleteNames(Options, Vec<OsString>),
}

/// What was typed after `redlock run`.
#[derive(Debug, PartialEq, Eq)]
pub struct RunArguments {
    /// Its options, and those of every command.
    pub options: Options,
    /// Each `-r`, in the order typed.
    pub resources: Vec<OsString>,
    /// The command and its arguments; empty if there is none.
    pub command: Vec<OsString>,
    /// What stands before the command.
    pub before: Before,
}

/// What stands before a command: without dashes it begins with the first word that no option takes,
/// which may not be what was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// `--`
    Dashes,
    /// Options alone.
    Options,
}

/// What was typed after a command of those who handle locks by hand.
#[derive(Debug)]
pub struct ByHandArguments {
    /// Its options, and those of every command.
    pub options: Options,
    /// Each `-r` or NAME, in the order typed; of `list` the PATTERN.
    pub names: Vec<OsString>,
}

/// The options that were typed, by their long names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Options(BTreeMap<String, Vec<OsString>>);

/// Why there is nothing to do: it has been done by an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Instead {
    /// What was asked for, a help text or the version: to stdout, exit 0.
    Text(String),
    /// The command line is wrong: to stderr, exit 64.
    Usage {
        /// One line on what is wrong.
        message: String,
        /// What could be understood all the same, for it may say where and how to tell of it.
        understood: Box<Understood>,
    },
}

/// What a command line says up to a mistake.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Understood {
    /// The options, whatever the command.
    pub options: Options,
    /// What was typed after `redlock run`, if that is the command.
    pub run: Option<RunArguments>,
}

impl Cli {
    /// Takes `arguments` apart; the first one is the name of the program.
    ///
    /// # Errors
    ///
    /// If help was asked for, or the command line makes no sense.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Instead> {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        let simple = least(&arguments);
        let matches = match simple.map(|least| least.try_get_matches_from(&arguments)) {
            Some(Ok(matches)) => matches,
            _ => definition()
                .subcommand(completions::names())
                .try_get_matches_from(&arguments)
                .map_err(|error| answer(&error, &arguments))?,
        };
        let Some(command) = Command::of(&matches, &arguments) else {
            unreachable!("every command of the definition is one of ours");
        };
        Ok(Self { command })
    }
}

impl Command {
    /// The command among `matches`, which the library has found in `arguments`.
    fn of(matches: &ArgMatches, arguments: &[OsString]) -> Option<Self> {
        Some(match matches.subcommand()? {
            ("run", matches) => {
                let command = typed(matches, "command");
                let mut before = arguments.iter().rev().skip(command.len());
                Self::Run(RunArguments {
                    options: Options::of(matches),
                    resources: typed(matches, "resource"),
                    before: match before.next() {
                        Some(word) if word == "--" => Before::Dashes,
                        _ => Before::Options,
                    },
                    command,
                })
            }
            ("config", matches) => Self::Config(Options::of(matches)),
            ("doctor", matches) => Self::Doctor(Options::of(matches)),
            ("completions", matches) => {
                let shell = matches.get_one::<String>("shell").cloned();
                Self::Completions(Options::of(matches), shell.unwrap_or_default())
            }
            (completions::NAMES, matches) => {
                Self::CompleteNames(Options::of(matches), completions::words(matches))
            }
            (name, matches) => by_hand::command(name, matches)?,
        })
    }

    /// The options typed, whatever the command.
    #[must_use]
    pub fn options(&self) -> &Options {
        match self {
            Self::Run(arguments) => &arguments.options,
            Self::Config(options)
            | Self::Doctor(options)
            | Self::Completions(options, _)
            | Self::CompleteNames(options, _) => options,
            Self::Acquire(arguments)
            | Self::Extend(arguments)
            | Self::Release(arguments)
            | Self::Inspect(arguments)
            | Self::List(arguments)
            | Self::History(arguments) => &arguments.options,
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

/// What was typed for `id`: nothing as well if the definition does not have it.
fn typed(matches: &ArgMatches, id: &str) -> Vec<OsString> {
    let values = matches.try_get_raw(id).ok().flatten();
    values.into_iter().flatten().map(OsStr::to_owned).collect()
}

/// The library's answer, which may take several lines and end in advice of its own, as ours.
fn answer(error: &clap::Error, arguments: &[OsString]) -> Instead {
    if !error.use_stderr() {
        return Instead::Text(error.to_string());
    }
    let help = format!("see {} --help", helpful(arguments));
    let what = match error.kind() {
        ErrorKind::MissingSubcommand => "no subcommand given, such as run".to_owned(),
        ErrorKind::MissingRequiredArgument => match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::Strings(names)) => format!("{} is missing", names.join(", ")),
            _ => first_line(&error.to_string()),
        },
        _ => first_line(&error.to_string()),
    };
    let suggested = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand]
        .into_iter()
        .find_map(|kind| match error.get(kind) {
            Some(ContextValue::String(name)) => Some(name.clone()),
            Some(ContextValue::Strings(names)) => names.first().cloned(),
            _ => None,
        });
    Instead::Usage {
        message: match (suggested, usage(error)) {
            (Some(name), _) => format!("{what}; did you mean '{name}'?"),
            (None, Some(usage)) => format!("{what}; usage: {usage}; {help}"),
            (None, None) => format!("{what}; {help}"),
        },
        understood: Box::new(understood(arguments)),
    }
}

/// How a command is used, if the library takes what was typed for a misuse of it.
fn usage(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::StyledStr(usage)) = error.get(ContextKind::Usage) else {
        return None;
    };
    let usage = usage.to_string();
    let usage = usage.strip_prefix("Usage: ")?;
    (error.kind() == ErrorKind::UnknownArgument).then(|| usage.to_owned())
}

/// What `arguments` say up to a mistake, or to what is not there yet.
fn understood(arguments: &[OsString]) -> Understood {
    let lenient = definition().ignore_errors(true);
    let Ok(matches) = lenient.try_get_matches_from(arguments) else {
        return Understood::default();
    };
    Understood {
        options: Options::of(
            matches
                .subcommand()
                .map_or(&matches, |(_, matches)| matches),
        ),
        run: match Command::of(&matches, arguments) {
            Some(Command::Run(arguments)) => Some(arguments),
            _ => None,
        },
    }
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    line.strip_suffix(" found").unwrap_or(line).to_owned()
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

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use clap::Command as Definition;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn parse(line: &str) -> Result<RunArguments, Instead> {
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
            Err(Instead::Usage { message, .. }) => message,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        definition().debug_assert();
    }

    /// Options, resources and the command.
    type Typed = (BTreeMap<String, Vec<OsString>>, [Vec<OsString>; 2]);

    /// What `definition` makes of a line of `run`; `None` if it has something to say instead.
    fn typed_by(definition: Definition, words: &[OsString]) -> Option<Typed> {
        let matches = definition.try_get_matches_from(words).ok()?;
        let (_, matches) = matches.subcommand()?;
        let others = ["resource", "command"].map(|id| typed(matches, id));
        Some((Options::of(matches).0, others))
    }

    /// Every option, in each form it may take, and what may stand between them.
    fn words() -> Vec<OsString> {
        let whole = definition();
        let run = whole.find_subcommand("run").expect("there is a run");
        let mut words: Vec<String> = ["a", "c", "", "-", "--", "-h", "-x", "--nothing", "1s"]
            .map(str::to_owned)
            .into();
        for option in run.get_arguments().chain(whole.get_arguments()) {
            let longs = option.get_long().into_iter();
            words.extend(longs.flat_map(|long| [format!("--{long}"), format!("--{long}=1")]));
            let shorts = option.get_short().into_iter();
            words.extend(
                shorts.flat_map(|s| [format!("-{s}"), format!("-{s}1"), format!("-v{s}q")]),
            );
        }
        words.into_iter().map(Into::into).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn the_least_definition_takes_a_line_apart_as_the_whole_one_does(
            rest in vec(select(words()), 0..7),
        ) {
            let line: Vec<_> = ["redlock", "run"].map(OsString::from).into_iter().chain(rest).collect();
            let least = least(&line).expect("it is run");
            least.clone().debug_assert();
            prop_assert_eq!(typed_by(least, &line), typed_by(definition(), &line));
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
    fn how_to_print_a_mistake_is_understood_all_the_same() {
        for line in [
            "redlock run --log-format json --foo -r a c",
            "redlock --log-format json rum",
            "redlock inspect --log-format json --foo a",
            "redlock completions --log-format json",
        ] {
            match Cli::parse(line.split_whitespace().map(Into::into)) {
                Err(Instead::Usage { understood, .. }) => {
                    let format = understood.options.values("log-format");
                    assert_eq!(format, Some(&["json".into()][..]), "{line}");
                }
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_mistake_is_answered_in_one_line_with_advice() {
        for (line, answer) in [
            (
                "redlock run -r a --foo c",
                "unexpected argument '--foo'; \
                 usage: redlock run -r NAME [OPTIONS] -- COMMAND [ARG]...; see redlock run --help",
            ),
            (
                "redlock run -r a --tll 5s c",
                "unexpected argument '--tll'; did you mean '--ttl'?",
            ),
            (
                "redlock -x",
                "unexpected argument '-x'; usage: redlock [OPTIONS] <COMMAND>; see redlock --help",
            ),
            (
                "redlock inspect -r a",
                "unexpected argument '-r'; usage: redlock inspect NAME... [OPTIONS]; \
                 see redlock inspect --help",
            ),
            (
                "redlock acquire a",
                "unexpected argument 'a'; usage: redlock acquire -r NAME [OPTIONS]; \
                 see redlock acquire --help",
            ),
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
    fn what_was_typed_is_not_shown_for_debugging() {
        let arguments = run("redlock run --server redis://me:hunter2@h -r a c");
        assert!(!format!("{arguments:?}").contains("hunter2"));
    }

    #[test]
    fn help_tells_of_every_option_and_ends_with_codes_and_examples() {
        let Err(Instead::Text(help)) = parse("redlock run --help") else {
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
        assert!(matches!(short, Err(Instead::Text(_))), "{short:?}");
        let version = format!("redlock {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(
            parse("redlock --version").expect_err("an answer"),
            Instead::Text(version)
        );
    }
}
