//! Takes times, and prints them.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// Times of one thing, in any order.
#[derive(Clone, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// The time that `percent` of all do not exceed; 0 is the shortest.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        sorted
            .get(last * percent / 100)
            .copied()
            .unwrap_or_default()
    }

    pub fn shortest(&self) -> Duration {
        self.percentile(0)
    }

    pub fn median(&self) -> Duration {
        self.percentile(50)
    }
}

/// What one run of a program took.
pub struct Run {
    /// From before the fork to after the wait.
    pub wall: Duration,
    /// Of the program and of everything it waited for, in user space and in the kernel.
    pub cpu: Duration,
    pub succeeded: bool,
}

/// Runs `command` to its end.
pub fn run(command: &mut Command) -> Run {
    let before = children_cpu();
    let began = Instant::now();
    let status = command.status();
    let wall = began.elapsed();
    Run {
        wall,
        cpu: children_cpu().saturating_sub(before),
        succeeded: status.is_ok_and(|status| status.success()),
    }
}

/// Runs `command` to its end, and answers its largest resident memory, in KiB.
pub fn peak_kib(command: &mut Command) -> u64 {
    let mut process = command.spawn().expect("a contestant starts");
    let mut peak = 0;
    // Once it has ended there is nothing to be read any more.
    while process.try_wait().is_ok_and(|status| status.is_none()) {
        peak = peak.max(status_field(process.id(), "VmHWM"));
        std::thread::sleep(Duration::from_millis(5));
    }
    peak
}

/// The processor time of all children that have been waited for.
fn children_cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("a process may ask about its children");
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micros.unsigned_abs())
}

/// When jobs began and ended, as `stamp` told, in the order in which they began.
pub fn stamps(path: &Path) -> Vec<(Duration, Duration)> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let nanos = |word: &str| Some(Duration::from_nanos(word.parse().ok()?));
    let line = |line: &str| {
        let (began, ended) = line.split_once(' ')?;
        Some((nanos(began)?, nanos(ended)?))
    };
    let mut stamps: Vec<_> = text.lines().filter_map(line).collect();
    stamps.sort_unstable();
    stamps
}

/// The present instant by the clock that `stamp` uses.
pub fn now() -> Duration {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    time.expect("Linux has CLOCK_MONOTONIC").into()
}

/// What the processes of a running contestant use, without the job.
#[derive(Clone, Copy, Default)]
pub struct Usage {
    pub cpu: Duration,
    /// How often a thread went to sleep, and so had to be woken. Not how often it stood back for
    /// others.
    pub sleeps: u64,
    /// The largest resident memory of the process itself, in KiB.
    pub peak_kib: u64,
}

/// Looks at `process` and whatever it has started but `job`, a program's name.
pub fn usage(process: &Child, job: &str) -> Usage {
    let mut usage = Usage {
        peak_kib: status_field(process.id(), "VmHWM"),
        ..Usage::default()
    };
    for id in family(process.id()) {
        let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
        if name.trim() == job {
            continue;
        }
        for thread in fs::read_dir(format!("/proc/{id}/task"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let read =
                |name: &str| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
            // Nanoseconds on a processor, nanoseconds waiting for one, turns.
            let nanos = read("schedstat")
                .split(' ')
                .next()
                .and_then(|word| word.parse().ok());
            usage.cpu += Duration::from_nanos(nanos.unwrap_or(0));
            let status = read("status");
            usage.sleeps += field(&status, "voluntary_ctxt_switches");
        }
    }
    usage
}

/// A process and its descendants. The guard counts as one, also where it has a session of its own.
fn family(process: u32) -> Vec<u32> {
    let mut family = vec![process];
    let mut next = 0;
    while let Some(parent) = family.get(next) {
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        let ids: Vec<u32> = children
            .unwrap_or_default()
            .split_whitespace()
            .flat_map(str::parse)
            .collect();
        family.extend(ids);
        next += 1;
    }
    family
}

fn status_field(process: u32, name: &str) -> u64 {
    field(
        &fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default(),
        name,
    )
}

fn field(status: &str, name: &str) -> u64 {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// `1.23`, in milliseconds.
pub fn ms(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1000.0)
}

/// `1.23`, how much longer `time` is than `than`; a dash if that is not known.
pub fn ratio(time: Duration, than: Option<Duration>) -> String {
    than.map_or("-".to_owned(), |than| {
        format!("{:.2}", time.as_secs_f64() / than.as_secs_f64())
    })
}

/// Prints a table in Markdown, the first column to the left and the others to the right.
pub fn print_table(title: &str, head: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells
            .chain([head[column].chars().count()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let cells = cells
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, &width))| {
                if column == 0 {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            });
        format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
    };
    let rule = widths.iter().enumerate().map(|(column, &width)| {
        if column == 0 {
            "-".repeat(width)
        } else {
            "-".repeat(width - 1) + ":"
        }
    });
    let rule: Vec<String> = rule.collect();
    println!("{title}\n\n{}", line(head.to_vec()));
    println!("{}", line(rule.iter().map(String::as_str).collect()));
    for row in rows {
        println!("{}", line(row.iter().map(String::as_str).collect()));
    }
    println!();
}
