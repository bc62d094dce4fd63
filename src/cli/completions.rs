//! Scripts that complete a command line in a shell, made of the same definition as its parser.
//!
//! The library writes the scripts, and knows options, files and fixed words. We add the names of
//! locks that exist: the scripts ask `redlock complete-names` for them, with the words typed so
//! far, so that the servers are those of that command line. Called by `commands` and by tests.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, Command as Definition, ValueHint};
use clap_complete::{Generator, Shell};

use super::known::positional;
use super::{Options, definition, typed, understood};

/// The command that the scripts call.
pub const NAMES: &str = "complete-names";

/// The shells there are scripts for.
pub const SHELLS: [&str; 5] = ["bash", "elvish", "fish", "powershell", "zsh"];

/// What the value of an option is called in a script if it is the name of a lock.
const LOCK: &str = "LOCK";

/// Options with a few values, as they are typed. What they mean is said in `settings`.
pub const VALUES: [(&str, &[&str]); 4] = [
    ("log-format", &["text", "json"]),
    ("on-lost", &["stop", "warn"]),
    ("restart-guard", &["auto", "strict", "off"]),
    (
        "signal",
        &["TERM", "INT", "HUP", "QUIT", "KILL", "USR1", "USR2"],
    ),
];

const FOR_BASH: &str = include_str!("names.bash");
const FOR_FISH: &str = include_str!("names.fish");
const FOR_ZSH: &str = include_str!("names.zsh");

/// What is known of a command line that is being typed.
pub struct Typing {
    /// The options that are complete.
    pub options: Options,
    /// What there is of the word to complete.
    pub prefix: String,
}

pub(super) fn completions() -> Definition {
    Definition::new("completions")
        .about("Print the script that completes command lines in SHELL")
        .override_usage("redlock completions SHELL")
        .after_long_help(AFTER_COMPLETIONS)
        .arg(
            Arg::new("shell")
                .value_name("SHELL")
                .required(true)
                .value_parser(PossibleValuesParser::new(SHELLS))
                .hide_possible_values(true)
                .help("The shell: bash, elvish, fish, powershell or zsh"),
        )
}

const AFTER_COMPLETIONS: &str = "\
Exit codes:
  0   the script is printed
  64, 70, 71  as in redlock run

Examples:
  For this user, once the directory is there (mkdir -p); a package has installed them for all:
    redlock completions bash >~/.local/share/bash-completion/completions/redlock
    redlock completions fish >~/.config/fish/completions/redlock.fish
    redlock completions zsh >~/.zfunc/_redlock    # with fpath+=~/.zfunc before compinit";

/// The hidden command: it is for scripts, and no part of what is promised.
pub(super) fn names() -> Definition {
    Definition::new(NAMES)
        .hide(true)
        .arg(positional("words", "WORD").num_args(0..).last(true))
}

/// The script for `shell`, one of [`SHELLS`].
///
/// # Panics
///
/// If `shell` is none of them.
#[must_use]
pub fn script(shell: &str) -> String {
    let generator: Shell = shell.parse().expect("one of the shells of the table");
    let mut definition = hinted(definition());
    definition.set_bin_name("redlock");
    definition.build();
    let mut script = Vec::new();
    generator.generate(&definition, &mut script);
    let script = String::from_utf8(script).expect("scripts are text");
    match generator {
        Shell::Bash => for_bash(&script, &definition),
        Shell::Fish => for_fish(&script, &definition),
        Shell::Zsh => for_zsh(&script, &definition),
        _ => script,
    }
}

/// Takes the words before the cursor apart, the last of them being typed just now.
#[must_use]
pub fn typing(words: &[OsString]) -> Typing {
    let (last, complete) = words.split_last().unzip();
    let last = last.map_or(OsStr::new(""), OsString::as_os_str);
    let options = understood(complete.unwrap_or_default()).options;
    let last = last.to_string_lossy();
    let prefix = last.strip_prefix("--resource=").unwrap_or(&last);
    Typing {
        options,
        prefix: prefix.to_owned(),
    }
}

/// The definition with hints at what values are, by the names that help texts give them.
fn hinted(definition: Definition) -> Definition {
    let hint = |argument: Arg| {
        let value = argument.get_value_names().and_then(|names| names.first());
        let hint = match value.map(clap::builder::Str::as_str) {
            Some("FILE") => ValueHint::FilePath,
            Some("DIR") => ValueHint::DirPath,
            Some("COMMAND") => ValueHint::CommandWithArguments,
            Some(_) => ValueHint::Other,
            None => ValueHint::Unknown,
        };
        if is_lock(&argument) {
            return argument.value_name(LOCK);
        }
        let name = argument.get_id().as_str();
        let values = VALUES.iter().find(|(option, _)| *option == name);
        match values {
            Some((_, values)) => argument.value_parser(PossibleValuesParser::new(*values)),
            None => argument.value_hint(hint),
        }
    };
    let hidden_help = definition.disable_help_subcommand(true).mut_args(hint);
    hidden_help.mut_subcommands(|command| command.mut_args(hint))
}

/// Whether the value of `argument` is the name of a lock.
fn is_lock(argument: &Arg) -> bool {
    let called = |name: &str| {
        let names = argument.get_value_names().unwrap_or_default();
        names.iter().any(|value| value.as_str() == name)
    };
    called(LOCK) || argument.get_id() == "resource" || argument.is_positional() && called("NAME")
}

/// The commands with a lock's name as an argument of their own, not of an option.
fn commands_of_locks(definition: &Definition) -> Vec<&str> {
    let named = |command: &&Definition| command.get_positionals().any(is_lock);
    let commands = definition.get_subcommands().filter(named);
    commands.map(Definition::get_name).collect()
}

/// Options that take the next word for their value, in all ways in which they are typed.
fn options_with_values(definition: &Definition) -> Vec<String> {
    let all = definition.get_subcommands().flat_map(Definition::get_opts);
    let with_value = all.filter(|option| {
        option
            .get_num_args()
            .is_none_or(|count| count.min_values() > 0)
            && option.get_action().takes_values()
            && !is_lock(option)
    });
    let mut typed: Vec<String> = with_value
        .flat_map(|option| {
            let short = option.get_short().map(|letter| format!("-{letter}"));
            let long = option.get_long().map(|name| format!("--{name}"));
            [short, long].into_iter().flatten()
        })
        .collect();
    typed.sort_unstable();
    typed.dedup();
    typed
}

fn for_bash(script: &str, definition: &Definition) -> String {
    // Ours takes the place of the library's function, and calls it.
    let (script, _) = script
        .split_once("\nif [[ \"${BASH_VERSINFO[0]}\"")
        .expect("the library's script ends by asking for the version");
    let mut commands = commands_of_locks(definition);
    commands.push("''");
    let ours = FOR_BASH
        .replace("@COMMANDS@", &commands.join("|"))
        .replace("@VALUED@", &options_with_values(definition).join("|"));
    format!("{script}\n{ours}")
}

fn for_fish(script: &str, definition: &Definition) -> String {
    // Where there is no such lock, a file is none.
    let lines = script.lines().map(|line| {
        let no_files = if line.contains("-l resource ") {
            " -f"
        } else {
            ""
        };
        format!("{line}{no_files}\n")
    });
    let mut script: String = lines.collect();
    script.push_str(FOR_FISH);
    for command in definition.get_subcommands() {
        let name = command.get_name();
        let names = format!("complete -c redlock -n '__fish_seen_subcommand_from {name}'");
        // The library leaves out the words that an argument can be, and offers files.
        for argument in command.get_positionals() {
            let words = argument.get_possible_values();
            let words: Vec<&str> = words.iter().map(PossibleValue::get_name).collect();
            if !words.is_empty() {
                let _ = writeln!(script, "{names} -f -a '{}'", words.join(" "));
            }
        }
        if command.get_positionals().any(is_lock) {
            let _ = writeln!(script, "{names} -f -a '(__redlock_names)'");
        }
        if command.get_opts().any(is_lock) {
            let _ = writeln!(script, "{names} -s r -l resource -x -a '(__redlock_names)'");
        }
    }
    script
}

fn for_zsh(script: &str, definition: &Definition) -> String {
    // Before the library's function takes the words apart.
    let start = "_redlock() {\n";
    let words = "    local -a redlock_words=(\"${(@)words[1,CURRENT-1]}\")\n";
    let script = script.replacen(start, &format!("{FOR_ZSH}\n{start}{words}"), 1);
    let arguments = definition
        .get_subcommands()
        .flat_map(Definition::get_positionals);
    let locks: Vec<&str> = arguments
        .filter(|argument| is_lock(argument))
        .map(|argument| argument.get_id().as_str())
        .collect();
    let completed = script.lines().map(|line| {
        let option = line.contains(":LOCK:");
        let argument = line.trim_start_matches(['\'', '*', ':']);
        let argument = locks.iter().any(|name| {
            argument
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(" -- "))
        });
        match line.strip_suffix("' \\") {
            Some(start) if option || argument => {
                let start = start.trim_end_matches("_default");
                format!("{start}_redlock_names' \\\n")
            }
            _ => format!("{line}\n"),
        }
    });
    completed.collect()
}

/// What was typed after `redlock complete-names --`.
pub(super) fn words(matches: &clap::ArgMatches) -> Vec<OsString> {
    typed(matches, "words")
}
