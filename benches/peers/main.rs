//! Redlock beside its peers, a table for each thing that a user pays for. `benches/run` is the way
//! in.
//!
//! Nothing is asserted: machines differ, and other work on them makes any time longer. So all
//! contestants of a table take turns, round by round, and their ratios are what counts.

#![allow(
    clippy::cast_precision_loss,
    reason = "figures are printed with two digits"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "benchmarks measure by the monotonic clock, which C programs stamp as well"
)]

mod contestants;
mod measure;
mod servers;
mod tables;

use std::path::PathBuf;
use std::process::Command;
use std::time::SystemTime;

/// How thorough to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Two minutes in all.
    Short,
    /// More rounds, more waiters, a minute of idleness.
    Full,
}

impl Effort {
    /// One of two numbers.
    fn pick<T>(self, short: T, full: T) -> T {
        match self {
            Self::Short => short,
            Self::Full => full,
        }
    }
}

/// The programs of the measurements, and a directory for what they write.
pub struct Bench {
    /// Removed at the end.
    directory: tempfile::TempDir,
    effort: Effort,
}

impl Bench {
    /// A file in the directory of this run.
    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Compiles `benches/NAME.c`.
    fn compile(&self, name: &str) {
        let source = format!("{}/benches/{name}.c", env!("CARGO_MANIFEST_DIR"));
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-static", "-o"])
            .arg(self.file(name))
            .arg(source);
        assert!(
            cc.status().is_ok_and(|status| status.success()),
            "cc compiles {name}.c"
        );
    }
}

type Table = (&'static str, fn(&Bench));

const TABLES: [Table; 7] = [
    ("cost", tables::cost),
    ("hand-over", tables::hand_over),
    ("contention", tables::contention),
    ("hung", tables::hung),
    ("memory", tables::memory),
    ("idle", tables::idle),
    ("list", tables::list),
];

fn main() {
    // Cargo adds --bench of its own.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let (flags, wanted): (Vec<_>, Vec<_>) = words.iter().partition(|word| word.starts_with('-'));
    let known = |name: &&&String| !TABLES.iter().any(|(table, _)| table == *name);
    if let Some(unknown) = flags
        .iter()
        .find(|flag| **flag != "--full")
        .or(wanted.iter().find(known))
    {
        let tables: Vec<&str> = TABLES.iter().map(|(name, _)| *name).collect();
        eprintln!(
            "benches/run: unknown '{unknown}'; there are --full and {}",
            tables.join(", ")
        );
        std::process::exit(64);
    }
    let bench = Bench {
        directory: tempfile::tempdir().expect("a temporary directory"),
        effort: if flags.is_empty() {
            Effort::Short
        } else {
            Effort::Full
        },
    };
    bench.compile("floor");
    bench.compile("stamp");
    bench.compile("scan");
    println!("{}\n", machine());
    for (name, table) in TABLES {
        if wanted.is_empty() || wanted.iter().any(|word| *word == name) {
            table(&bench);
        }
    }
}

/// The date and the kind of machine, without which figures mean nothing.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line
            .and_then(|line| line.split([':', '=']).nth(1))
            .unwrap_or("?");
        value.trim().trim_matches('"').to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = read("/proc/loadavg");
    format!(
        "{}; {cores} cores, {}; {}, Linux {}; load {}",
        humantime::format_rfc3339_seconds(SystemTime::now()),
        field(&read("/proc/cpuinfo"), "model name"),
        field(&read("/etc/os-release"), "PRETTY_NAME"),
        read("/proc/sys/kernel/osrelease").trim(),
        load.split(' ').next().unwrap_or_default(),
    )
}
