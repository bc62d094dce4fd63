//! The man pages: names, synopses and options from the definition of the command line, and what no
//! definition knows, written here by hand.
//!
//! A command that has no text here gets a page all the same.

use std::collections::BTreeSet;

use clap_mangen::Man;
use redlock::cli;
use roff::{Inline, Roff, bold, roman};

/// The date in the pages, to be changed with a release.
const DATE: &str = "2026-11-25";

/// What is to be said of one command.
struct Extra {
    command: &'static str,
    /// The exit codes of [`CODES`] that it can end with, beside those of every command.
    codes: &'static [&'static str],
    /// What it does, and a line to do it with.
    examples: &'static [(&'static str, &'static str)],
}

/// Every exit code, in the words of the contract.
const CODES: [(&str, &str); 16] = [
    ("0", "All is well."),
    (
        "the command's",
        "It ran to its end under the lock. If a signal killed it, redlock dies of the same signal; as process 1 it exits with 128 and the signal's number.",
    ),
    ("3", "The lock is free."),
    ("64", "The command line makes no sense."),
    (
        "69",
        "No quorum of servers could be reached: an outage, not a skip.",
    ),
    ("70", "A bug of redlock."),
    (
        "71",
        "The system refused: a process could not be started, or what was asked for not be written.",
    ),
    (
        "75",
        "Somebody else holds the lock, or the work was already done in this period. For run, --conflict-exit-code chooses another number.",
    ),
    (
        "76",
        "The lock was lost while the command ran, or is not held any more.",
    ),
    (
        "77",
        "A server refused: authentication or access control list.",
    ),
    ("78", "The configuration makes no sense."),
    (
        "78 (doctor)",
        "Something can give one lock to two holders, or the configuration makes no sense.",
    ),
    ("124", "--max-runtime ended the command."),
    ("126", "The command could not be executed."),
    ("127", "The command was not found."),
    (
        "0 (doctor)",
        "The servers are fit, or there are warnings only.",
    ),
];

const EVERY: [&str; 3] = ["64", "70", "71"];

const EXTRAS: [Extra; 11] = [
    Extra {
        command: "redlock",
        codes: &["0", "69", "75", "77", "78"],
        examples: &[
            (
                "One line in the crontab of several hosts; one of them runs the report:",
                "0 3 * * * redlock run -r daily-report -t 10m -- report.sh",
            ),
            ("Are these servers fit to be a quorum?", "redlock doctor"),
        ],
    },
    Extra {
        command: "run",
        codes: &[
            "the command's",
            "69",
            "75",
            "76",
            "77",
            "78",
            "124",
            "126",
            "127",
        ],
        examples: &[
            (
                "One line in the crontab of several hosts; one of them runs the report:",
                "0 3 * * * redlock run -r daily-report -t 10m -- report.sh",
            ),
            (
                "Wait for up to five minutes for another deployment:",
                "redlock run -r deploy -w 5m --note 'deploying v42' -- ./deploy.sh v42",
            ),
            (
                "On this host only, without a server:",
                "redlock run --local -r backup -- backup.sh",
            ),
            (
                "Try it on one server:",
                "redlock run --server redis://localhost --any-quorum -r demo -- sleep 10",
            ),
        ],
    },
    Extra {
        command: "acquire",
        codes: &["0", "69", "75", "77", "78"],
        examples: &[(
            "Hold a lock over several steps of a script:",
            "REDLOCK_TOKEN=$(redlock acquire -r deploy -t 5m) || exit\nexport REDLOCK_TOKEN\ntrap 'redlock release -r deploy' EXIT\n./build && redlock extend -r deploy -t 5m && ./ship",
        )],
    },
    Extra {
        command: "extend",
        codes: &["0", "69", "75", "76", "77", "78"],
        examples: &[(
            "Five minutes more, from now:",
            "redlock extend -r deploy --token \"$token\" -t 5m",
        )],
    },
    Extra {
        command: "release",
        codes: &["0", "69", "75", "76", "77", "78"],
        examples: &[
            (
                "Give back what was acquired:",
                "redlock release -r deploy --token \"$token\"",
            ),
            (
                "Take it from a holder who is gone, after looking who it is:",
                "redlock release -r deploy --force",
            ),
        ],
    },
    Extra {
        command: "inspect",
        codes: &["0", "3", "69", "78"],
        examples: &[
            (
                "Who has it, server by server?",
                "redlock inspect daily-report",
            ),
            (
                "In a script:",
                "if redlock inspect -q deploy; then echo 'a deployment is going on'; fi",
            ),
        ],
    },
    Extra {
        command: "list",
        codes: &["0", "69", "77", "78"],
        examples: &[("All locks of deployments:", "redlock list 'deploy-*'")],
    },
    Extra {
        command: "history",
        codes: &["0", "69", "77", "78"],
        examples: &[(
            "Where did it run last night, and how did it end?",
            "redlock history daily-report",
        )],
    },
    Extra {
        command: "doctor",
        codes: &["0 (doctor)", "69", "77", "78 (doctor)"],
        examples: &[
            (
                "Before the first job is trusted to these servers:",
                "redlock doctor",
            ),
            (
                "For a monitor; what is wrong, without warnings:",
                "redlock doctor --json | jq '.findings[] | select(.severity == (\"danger\", \"no_vote\"))'",
            ),
        ],
    },
    Extra {
        command: "config",
        codes: &["0", "78"],
        examples: &[("Where does a setting come from?", "redlock config")],
    },
    Extra {
        command: "completions",
        codes: &["0"],
        examples: &[(
            "For this user, once the directory is there (mkdir -p); a package has installed them for all:",
            "redlock completions bash >~/.local/share/bash-completion/completions/redlock",
        )],
    },
];

/// Every page: its file name and its text.
pub fn pages() -> Vec<(String, String)> {
    let definition = cli::definition();
    let commands: Vec<String> = definition
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    let mut pages = vec![(
        "redlock.1".to_owned(),
        page(&definition, "redlock", &commands),
    )];
    for command in definition.get_subcommands() {
        let name = command.get_name();
        let titled = command
            .clone()
            .display_name(format!("redlock-{name}"))
            .bin_name(format!("redlock {name}"))
            .disable_help_subcommand(true);
        pages.push((format!("redlock-{name}.1"), page(&titled, name, &commands)));
    }
    pages
}

fn page(definition: &clap::Command, name: &str, commands: &[String]) -> String {
    let is_main = name == "redlock";
    let title = if is_main {
        name.to_owned()
    } else {
        format!("redlock-{name}")
    };
    let man = Man::new(definition.clone().disable_help_subcommand(true))
        .title(title.to_uppercase())
        .date(DATE)
        .source(format!("redlock {}", env!("CARGO_PKG_VERSION")))
        .manual("User Commands");
    let mut text = Vec::new();
    let mut render = |part: fn(&Man, &mut dyn std::io::Write) -> std::io::Result<()>| {
        part(&man, &mut text).expect("a vector takes everything");
    };
    render(|man, text| man.render_title(text));
    render(|man, text| man.render_name_section(text));
    render(|man, text| man.render_synopsis_section(text));
    render(|man, text| man.render_description_section(text));
    if is_main {
        text.extend(about_redlock().to_roff().into_bytes());
    }
    let mut render = |part: fn(&Man, &mut dyn std::io::Write) -> std::io::Result<()>| {
        part(&man, &mut text).expect("a vector takes everything");
    };
    if is_main {
        render(|man, text| man.render_subcommands_section(text));
    }
    render(|man, text| man.render_options_section(text));
    let mut roff = Roff::new();
    if !is_main {
        roff.control("PP", []);
        roff.text([
            roman("The options of every command, for servers, credentials and output, are in "),
            bold("redlock"),
            roman("(1)."),
        ]);
    }
    let extra = EXTRAS.iter().find(|extra| extra.command == name);
    exit_status(&mut roff, extra);
    if is_main {
        durations(&mut roff);
    }
    environment(&mut roff, name);
    files(&mut roff);
    examples(&mut roff, extra);
    see_also(&mut roff, name, commands);
    let text = String::from_utf8(text).expect("pages are text");
    // Names of variables and paths are not to be broken, nor lines to be stretched.
    let text = text.replacen(".SH NAME", ".nh\n.ad l\n.SH NAME", 1);
    text + &roff.to_roff()
}

/// What somebody must know who reads one page only.
fn about_redlock() -> Roff {
    let mut roff = Roff::new();
    for paragraph in [
        "A lock is held by whoever wrote its random token to a majority of the servers within the \
         TTL. One server of three, or two of five, may be down, hang or have lost its data. The lock \
         is extended while the command runs, and released the moment it has ended; if it cannot be \
         kept, the command is stopped before another host can get it.",
        "It assumes that the servers fail independently of one another (redlock doctor looks at \
         them), that their clocks run at about the same speed, and that the holder's host is not \
         frozen for longer than the TTL. For the last case, and for the last word, each holder is \
         given a fencing token, a number that grows from holder to holder, which a database can check.",
    ] {
        roff.control("PP", []);
        roff.text([roman(paragraph)]);
    }
    roff
}

fn codes_of(extra: Option<&Extra>) -> &'static [&'static str] {
    extra.map_or(&["0", "78"], |extra| extra.codes)
}

/// Every exit code that the page of the command `name` tells, as a number.
pub fn numbers(name: &str) -> BTreeSet<u8> {
    let extra = EXTRAS.iter().find(|extra| extra.command == name);
    let codes = codes_of(extra).iter().chain(&EVERY);
    codes
        .filter_map(|code| code.split(' ').next()?.parse().ok())
        .collect()
}

fn exit_status(roff: &mut Roff, extra: Option<&Extra>) {
    roff.control("SH", ["EXIT STATUS"]);
    let own = codes_of(extra);
    let mut codes: Vec<&(&str, &str)> = CODES
        .iter()
        .filter(|(code, _)| own.contains(code) || EVERY.contains(code))
        .collect();
    let number = |code: &str| {
        code.split(' ')
            .next()
            .unwrap_or_default()
            .parse()
            .unwrap_or(0)
    };
    codes.sort_by_key(|(code, _)| number(code));
    for (code, meaning) in codes {
        tagged(roff, code.trim_end_matches(" (doctor)"), meaning);
    }
}

fn durations(roff: &mut Roff) {
    roff.control("SH", ["DURATIONS"]);
    roff.text([roman(
        "500ms, 30s, 10m, 1h30m, 2d; a bare number counts seconds.",
    )]);
}

fn environment(roff: &mut Roff, name: &str) {
    roff.control("SH", ["ENVIRONMENT"]);
    tagged(
        roff,
        "REDLOCK_SERVERS",
        "The servers, separated by commas or blanks, as after --server.",
    );
    tagged(
        roff,
        "REDLOCK_...",
        "Every other long option can be set by a variable as well: REDLOCK_ and its name in capitals, \
         as in REDLOCK_NODE_TIMEOUT=200ms; options without a value are 1 or 0. Not the resource, nor \
         --json, --force and --yes. An empty variable counts as not set. The order is: flag, \
         environment, the resource's section of the file, [defaults], the default.",
    );
    if name == "run" {
        for (variable, meaning) in [
            (
                "REDLOCK_RESOURCE",
                "Told to the command: the name of the lock; several are joined by newlines.",
            ),
            (
                "REDLOCK_TOKEN",
                "Told to the command: the proof of ownership, a secret.",
            ),
            (
                "REDLOCK_FENCING_TOKEN",
                "Told to the command: a number that grows from holder to holder; hand it to the database, which refuses a smaller one than it has seen.",
            ),
            (
                "REDLOCK_TTL_MS",
                "Told to the command: the TTL in milliseconds.",
            ),
            (
                "REDLOCK_OUTER_TOKENS",
                "Told to the command where redlock runs inside of another: the tokens of those around it, separated by blanks, so that none of those inside waits for itself.",
            ),
        ] {
            tagged(roff, variable, meaning);
        }
    }
    match name {
        "extend" => tagged(roff, "REDLOCK_TOKEN", "The token, if --token is not given."),
        "release" => tagged(
            roff,
            "REDLOCK_TOKEN",
            "The token, if neither --token nor --force is given.",
        ),
        _ => {}
    }
    if ["doctor", "inspect", "list", "history", "config"].contains(&name) {
        tagged(
            roff,
            "NO_COLOR",
            "If it is set, or TERM is dumb, nothing is coloured.",
        );
    }
}

fn files(roff: &mut Roff) {
    roff.control("SH", ["FILES"]);
    tagged(
        roff,
        "/etc/redlock/config.toml",
        "Settings in TOML. For users other than root, $XDG_CONFIG_HOME/redlock/config.toml or \
         ~/.config/redlock/config.toml is looked for before it. REDLOCK_CONFIG or --config names \
         another.",
    );
    tagged(
        roff,
        "~/.local/state/redlock, /var/lib/redlock",
        "The locks of --local, for users and for root; $XDG_STATE_HOME/redlock if that is set.",
    );
}

fn examples(roff: &mut Roff, extra: Option<&Extra>) {
    let Some(extra) = extra else {
        return;
    };
    roff.control("SH", ["EXAMPLES"]);
    if extra.command == "redlock" {
        roff.text([roman("A file of settings:")]);
        code(
            roff,
            "servers = [\"redis://10.0.0.1\", \"redis://10.0.1.1\", \"redis://10.0.2.1\"]\n\
             password-file = \"/etc/redlock/password\"\n\n[defaults]\nttl = \"30s\"\n\n\
             [resource.\"daily-report\"]\nttl = \"10m\"",
        );
        roff.control("PP", []);
    }
    for (index, (what, line)) in extra.examples.iter().enumerate() {
        if index > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(*what)]);
        code(roff, line);
    }
}

fn see_also(roff: &mut Roff, name: &str, commands: &[String]) {
    roff.control("SH", ["SEE ALSO"]);
    let own = commands.iter().filter(|command| *command != name);
    let mut pages: Vec<String> = own.map(|command| format!("redlock-{command}")).collect();
    if name != "redlock" {
        pages.push("redlock".to_owned());
    }
    pages.extend(["flock".to_owned(), "redis-cli".to_owned()]);
    pages.sort_unstable();
    let mut line: Vec<Inline> = Vec::new();
    for page in &pages {
        line.extend([bold(page), roman("(1), ")]);
    }
    line.extend([bold("crontab"), roman("(5)")]);
    roff.text(line);
}

fn tagged(roff: &mut Roff, tag: &str, text: &str) {
    roff.control("TP", []);
    roff.text([bold(tag)]);
    roff.text([roman(text)]);
}

fn code(roff: &mut Roff, lines: &str) {
    roff.control("PP", []);
    roff.control("RS", ["4"]);
    roff.control("nf", []);
    for line in lines.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.control("RE", []);
}
