//! Whether anything of a process group still runs.
//!
//! `kill(-group, 0)` cannot tell: it also finds zombies, and our own leader stays one until the
//! end, so that its id cannot become somebody else's. Reads `/proc`; sends nothing. Called by
//! `child`.

use std::{fs, io};

use nix::unistd::Pid;

/// Whether a process of `group` other than its leader is alive. A zombie is not: it runs no code.
///
/// If `/proc` cannot be read, the answer is yes: better to go on killing than to give the lock
/// away.
#[must_use]
pub fn has_living_members(group: Pid) -> bool {
    let Ok(processes) = processes() else {
        return true;
    };
    let mut members = processes.filter(|process| process.group == group && process.id != group);
    members.any(|member| member.state.is_alive())
}

/// The children of `parent` that have ended and were not reaped.
pub fn zombie_children(parent: Pid) -> impl Iterator<Item = Pid> {
    let children = processes()
        .into_iter()
        .flatten()
        .filter(move |child| child.parent == parent);
    children
        .filter(|child| !child.state.is_alive())
        .map(|child| child.id)
}

/// What `/proc` tells of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    id: Pid,
    parent: Pid,
    group: Pid,
    state: State,
}

/// The letter by which `/proc` tells what a process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State(u8);

impl State {
    fn is_alive(self) -> bool {
        !matches!(self.0, b'Z' | b'X' | b'x')
    }
}

/// The processes that can be seen. One that ends meanwhile may be missing.
fn processes() -> io::Result<impl Iterator<Item = Process>> {
    let entries = fs::read_dir("/proc")?.flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    Ok(ids.filter_map(|id| process(&fs::read(format!("/proc/{id}/stat")).ok()?)))
}

/// Reads `PID (NAME) STATE PARENT GROUP …`. The name may hold anything, also a parenthesis: the
/// last one counts.
fn process(stat: &[u8]) -> Option<Process> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let id = stat.split(|&byte| byte == b' ').next()?;
    let rest = std::str::from_utf8(&stat[name_end + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = State(fields.next()?.bytes().next()?);
    let mut number = || fields.next()?.parse().ok().map(Pid::from_raw);
    let (parent, group) = (number()?, number()?);
    let id = Pid::from_raw(std::str::from_utf8(id).ok()?.parse().ok()?);
    Some(Process {
        id,
        parent,
        group,
        state,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_found_behind_a_hostile_name() {
        let read = process(b"4123 (a) Z 1 1) S 1 777 777 0 -1");
        let (id, parent, group) = (Pid::from_raw(4123), Pid::from_raw(1), Pid::from_raw(777));
        assert_eq!(
            read,
            Some(Process {
                id,
                parent,
                group,
                state: State(b'S')
            })
        );
        assert_eq!(process(b""), None);
        assert_eq!(process(b"1 (x"), None);
    }

    #[test]
    fn a_zombie_is_not_alive_and_a_stopped_process_is() {
        assert!(!State(b'Z').is_alive());
        assert!(State(b'T').is_alive());
    }
}
