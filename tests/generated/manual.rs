//! The man pages: names, synopses and options from the definition of the command line, and what no
//! definition knows, written here by hand.
//!
//! A command that has no text here gets a page all the same.

use clap_mangen::Man;
use redlock::cli;
use roff::{Inline, Roff, bold, roman};

/// The date in the pages, to be changed with a release.
const DATE: &str = "2026-11-25";

/// What programs read, by the command that prints or writes it.
const FORMATS: [(&str, &str); 6] = [
    (
        "run",
        "--status-file: resource (the names, joined by newlines) and resources; outcome (ran, skipped, unavailable, lost, timed_out or not_started); exit_code; child (code or signal, or null); fencing_token; waited_ms; ran_ms; released; holder (if skipped, as in redlock-inspect(1)); nodes (node, state, ttl_ms, error), what each answered last, where a state is restarted (it does not vote yet), not_ours (what was to be released is not there), unanswered (others were quicker), or as in redlock-inspect(1).",
    ),
    (
        "acquire",
        "--json: resource; token; fencing_token; ttl_ms; valid_ms, for how long it is sure to be yours; nodes (node, state, error), where a state is held, restarted (it does not vote yet), unanswered (others were quicker), or as in redlock-inspect(1).",
    ),
    (
        "inspect",
        "--json: an array of resource; state (held, kept, done, free or undecided); holder (host, pid, user, command, note, since; null for another program's lock); fencing_token (null if no quorum agrees on one); ttl_ms (null: none, or it never expires); votes; quorum; nodes (node, state, ttl_ms, latency_ms, error).",
    ),
    ("list", "--json: an array as of redlock-inspect(1)."),
    (
        "history",
        "--json: an array of resource, host, user, started, ran_ms, outcome, exit_code, signal, fencing_token.",
    ),
    (
        "doctor",
        "--json: findings (node, or null for all together; severity: danger, no_vote, warning or note; problem, effect, remedy); nodes, with what was learned of each; acl_rule, and what it takes besides for doctor itself.",
    ),
];

/// The help of a command behind its options, taken apart: prose, exit codes, examples.
struct Rest {
    prose: Vec<String>,
    /// Codes and meaning.
    codes: Vec<(String, String)>,
    /// What it does, perhaps, and lines to do it with.
    examples: Vec<(String, Vec<String>)>,
}

impl Rest {
    fn of(definition: &clap::Command) -> Self {
        let help = definition.get_after_long_help();
        let help = help.map(ToString::to_string).unwrap_or_default();
        let mut rest = Self {
            prose: Vec::new(),
            codes: Vec::new(),
            examples: Vec::new(),
        };
        let mut are_examples = false;
        for part in help.split("\n\n") {
            let (title, lines) = part.split_once('\n').unwrap_or((part, ""));
            match title {
                "Exit codes:" => rest.codes = lines.lines().map(code_and_meaning).collect(),
                "Example:" | "Examples:" => {
                    are_examples = true;
                    rest.examples.push(example(lines));
                }
                _ if are_examples => rest.examples.push(example(part)),
                _ => rest.prose.push(part.replace('\n', " ")),
            }
        }
        rest
    }
}

fn code_and_meaning(line: &str) -> (String, String) {
    let (codes, meaning) = line
        .trim()
        .split_once("  ")
        .expect("codes, and what they mean");
    (codes.to_owned(), meaning.trim().to_owned())
}

fn example(lines: &str) -> (String, Vec<String>) {
    let (what, lines): (Vec<&str>, Vec<&str>) = lines
        .lines()
        .map(str::trim)
        .partition(|line| line.ends_with([':', '?']) || line.ends_with("nothing:"));
    (
        what.join(" "),
        lines.into_iter().map(str::to_owned).collect(),
    )
}

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
    // The codes and examples of run are those of all.
    let rest = Rest::of(definition.find_subcommand("run").unwrap_or(definition));
    if is_main {
        text.extend(paragraphs(&ABOUT_REDLOCK).into_bytes());
    } else {
        text.extend(paragraphs(&rest.prose).into_bytes());
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
    exit_status(&mut roff, &rest);
    if is_main {
        tagged(
            &mut roff,
            "3",
            "redlock inspect: the lock is free; other commands list what is different there on their own pages",
        );
        durations(&mut roff);
    }
    formats(&mut roff, name);
    environment(&mut roff, name);
    files(&mut roff);
    examples(&mut roff, &rest, is_main);
    see_also(&mut roff, name, commands);
    let text = String::from_utf8(text).expect("pages are text");
    // Names of variables and paths are not to be broken, nor lines to be stretched.
    let text = text.replacen(".SH NAME", ".nh\n.ad l\n.SH NAME", 1);
    text + &roff.to_roff()
}

/// What somebody must know who reads one page only.
const ABOUT_REDLOCK: [&str; 2] = [
    "A lock is held by whoever wrote its random token to a majority of the servers within the TTL. One \
     server of three, or two of five, may be down, hang or have lost its data. The lock is extended \
     while the command runs, and released the moment it has ended; if it cannot be kept, the command \
     is stopped before another host can get it.",
    "It assumes that the servers fail independently of one another (redlock doctor looks at them), \
     that their clocks run at about the same speed, and that the holder's host is not frozen for \
     longer than the TTL. For the last case, and for the last word, each holder is given a fencing \
     token, a number that grows from holder to holder, which a database can check.",
];

fn paragraphs<T: AsRef<str>>(texts: &[T]) -> String {
    let mut roff = Roff::new();
    for text in texts {
        roff.control("PP", []);
        roff.text([roman(text.as_ref())]);
    }
    roff.to_roff()
}

fn exit_status(roff: &mut Roff, rest: &Rest) {
    roff.control("SH", ["EXIT STATUS"]);
    for (codes, meaning) in &rest.codes {
        tagged(roff, codes, meaning);
    }
}

fn formats(roff: &mut Roff, name: &str) {
    let Some((_, text)) = FORMATS.iter().find(|(command, _)| *command == name) else {
        return;
    };
    roff.control("SH", ["JSON"]);
    roff.text([roman(*text)]);
    roff.control("PP", []);
    roff.text([roman(
        "Durations are numbers of milliseconds, instants are written as in RFC 3339.",
    )]);
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
         environment, the resource's section of the file, [defaults], its beginning, the default. \
         A path in the file counts from the file's directory.",
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
    if ["doctor", "inspect", "list", "history"].contains(&name) {
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

fn examples(roff: &mut Roff, rest: &Rest, is_main: bool) {
    roff.control("SH", ["EXAMPLES"]);
    if is_main {
        roff.text([roman("A file of settings:")]);
        roff.control("PP", []);
        code(
            roff,
            "servers = [\"redis://10.0.0.1\", \"redis://10.0.1.1\", \"redis://10.0.2.1\"]\n\
             password-file = \"/etc/redlock/password\"\n\n[defaults]\nttl = \"30s\"\n\n\
             [resource.\"daily-report\"]\nttl = \"10m\"",
        );
        roff.control("PP", []);
    }
    for (index, (what, lines)) in rest.examples.iter().enumerate() {
        if index > 0 {
            roff.control("PP", []);
        }
        if !what.is_empty() {
            roff.text([roman(what)]);
            roff.control("PP", []);
        }
        code(roff, &lines.join("\n"));
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
    roff.control("RS", ["4"]);
    roff.control("nf", []);
    for line in lines.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.control("RE", []);
}
