//! Whether anything of a process group still runs.
//!
//! `kill(-group, 0)` cannot tell: it also finds zombies, and our own leader stays one until the
//! end, so that its id cannot become somebody else's. Reads `/proc`; sends nothing. Called by
//! `child`.

use std::{fs, io};

use nix::unistd::{Pid, getpgid, getpid};

/// Whether anything of a process group but its leader is alive. A zombie is not: it runs no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Members {
    /// Something is.
    Alive,
    /// Nothing is.
    Gone,
    /// `/proc` is not there, is another namespace's, or could not be read as a whole.
    Unknown,
}

/// What lives of the group of `leader`, our child, which has ended and was not reaped.
#[must_use]
pub fn members(leader: Pid) -> Members {
    // What /proc hides of other users' processes, the kernel tells: whether they are of the group.
    let may_be_one = |process: &Result<Process, Pid>| match process {
        Ok(_) => true,
        Err(hidden) => getpgid(Some(*hidden)) == Ok(leader),
    };
    match processes() {
        Ok(processes) => judge(leader, getpid(), processes.filter(may_be_one)),
        Err(_) => Members::Unknown,
    }
}

/// A `/proc` that does not show the leader, a zombie of ours, does not show the others either.
fn judge(leader: Pid, us: Pid, processes: impl Iterator<Item = Result<Process, Pid>>) -> Members {
    let (mut leader_is_seen, mut all_are_seen) = (false, true);
    for process in processes {
        match process {
            Ok(process) if process.id == leader => leader_is_seen = process.parent == us,
            Ok(process) if process.group != leader => {}
            Ok(process) if process.is_alive() => return Members::Alive,
            Ok(_) => {}
            Err(_) => all_are_seen = false,
        }
    }
    if leader_is_seen && all_are_seen {
        Members::Gone
    } else {
        Members::Unknown
    }
}

/// The children of `parent` that have ended and were not reaped.
pub fn zombie_children(parent: Pid) -> impl Iterator<Item = Pid> {
    let children = processes()
        .into_iter()
        .flatten()
        .flatten()
        .filter(move |child| child.parent == parent);
    children
        .filter(|child| !child.is_alive())
        .map(|child| child.id)
}

/// What `/proc` tells of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    id: Pid,
    parent: Pid,
    group: Pid,
    /// The letter by which `/proc` tells what its first thread is doing.
    state: u8,
    threads: u32,
}

impl Process {
    /// The first thread is a zombie also if it has ended before the others.
    fn is_alive(&self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x') || self.threads > 1
    }
}

/// The processes that are listed, the id alone of those that cannot be read. One that ends
/// meanwhile may be missing.
fn processes() -> io::Result<impl Iterator<Item = Result<Process, Pid>>> {
    let gone = |error: &io::Error| {
        error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
    };
    let read = move |id: i32| match fs::read(format!("/proc/{id}/stat")) {
        Ok(stat) => Some(process(&stat).ok_or(Pid::from_raw(id))),
        Err(error) if gone(&error) => None,
        Err(_) => Some(Err(Pid::from_raw(id))),
    };
    let entries = fs::read_dir("/proc")?.collect::<io::Result<Vec<_>>>()?;
    let ids = entries
        .into_iter()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(ids.filter_map(read))
}

/// The parent of the process `id`, where `/proc` tells.
#[must_use]
pub fn parent_of(id: Pid) -> Option<Pid> {
    let stat = fs::read(format!("/proc/{id}/stat")).ok()?;
    process(&stat).map(|process| process.parent)
}

/// Reads `PID (NAME) STATE PARENT GROUP …`, the 20th being the number of threads. The name may hold
/// anything, also a parenthesis: the last one counts.
fn process(stat: &[u8]) -> Option<Process> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let id = stat.split(|&byte| byte == b' ').next()?;
    let rest = std::str::from_utf8(&stat[name_end + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.bytes().next()?;
    let mut number = || fields.next()?.parse().ok().map(Pid::from_raw);
    let (parent, group) = (number()?, number()?);
    let threads = fields.nth(14)?.parse().ok()?;
    let id = Pid::from_raw(std::str::from_utf8(id).ok()?.parse().ok()?);
    Some(Process {
        id,
        parent,
        group,
        state,
        threads,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEADER: Pid = Pid::from_raw(777);
    const US: Pid = Pid::from_raw(1);

    fn line(id: i32, parent: i32, state: &str, threads: u32) -> Process {
        let stat = format!(
            "{id} (a) Z 1 1) {state} {parent} 777 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 {threads} 0"
        );
        process(stat.as_bytes()).expect("a good line")
    }

    fn judged<const N: usize>(processes: [Process; N]) -> Members {
        judge(LEADER, US, processes.into_iter().map(Ok))
    }

    #[test]
    fn a_process_is_read_behind_a_hostile_name() {
        let read = line(4123, 1, "S", 3);
        let (id, parent) = (Pid::from_raw(4123), US);
        let expected = Process {
            id,
            parent,
            group: LEADER,
            state: b'S',
            threads: 3,
        };
        assert_eq!(read, expected);
        assert_eq!(process(b""), None);
        assert_eq!(process(b"1 (x"), None);
    }

    #[test]
    fn a_zombie_is_not_alive_unless_it_has_threads_and_a_stopped_process_is() {
        let leader = || line(777, 1, "Z", 1);
        assert_eq!(judged([leader(), line(778, 1, "Z", 1)]), Members::Gone);
        assert_eq!(judged([leader(), line(778, 1, "Z", 2)]), Members::Alive);
        assert_eq!(judged([line(778, 1, "T", 1), leader()]), Members::Alive);
    }

    #[test]
    fn a_leader_that_has_left_its_group_is_seen() {
        let elsewhere = Process {
            group: US,
            ..line(777, 1, "Z", 1)
        };
        assert_eq!(judged([elsewhere]), Members::Gone);
        assert_eq!(judged([elsewhere, line(778, 1, "S", 1)]), Members::Alive);
    }

    #[test]
    fn what_does_not_show_our_leader_tells_nothing() {
        assert_eq!(judged([]), Members::Unknown);
        assert_eq!(judged([line(777, 9, "Z", 1)]), Members::Unknown);
        let processes = [Ok(line(777, 1, "Z", 1)), Err(Pid::from_raw(778))];
        assert_eq!(judge(LEADER, US, processes.into_iter()), Members::Unknown);
    }
}
