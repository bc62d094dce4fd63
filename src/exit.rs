//! The one table of exit codes.
//!
//! Scripts and crontabs are written against these numbers, so none of them ever changes, and none
//! of our own is used for two things; where a command's code is the same, the status file tells.
//! Made by `settings` (64 and 78) and `commands`, carried out by `commands::main`.

use nix::sys::signal::Signal;

/// How redlock leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Success,
    /// What was asked about is free (`inspect` only).
    Free,
    /// The command line makes no sense.
    Usage,
    /// No quorum of servers could be reached: not a skip, an outage.
    Unavailable,
    /// A bug of ours.
    Software,
    /// The system refused, for instance to fork.
    System,
    /// Somebody else holds the lock; the code is 75 unless the user chose another.
    Conflict(u8),
    /// The lock was lost while the command ran.
    Lost,
    /// The command ran longer than `--max-runtime` and was stopped.
    TimedOut,
    /// A server turned us away: authentication or ACL.
    Refused,
    /// The configuration makes no sense.
    Configuration,
    /// The command could not be executed.
    NotExecutable,
    /// The command was not found.
    NotFound,
    /// The command ran under the lock to its end, with this code.
    Command(u8),
    /// Die of this signal: of the one that killed the command, or that came before there was one.
    Signal(Signal),
}

impl Exit {
    /// Somebody else holds it, unless the user chose another code.
    pub const CONFLICT: u8 = 75;

    /// Without a quorum: so many nodes turned us away that there is none, or it is an outage.
    #[must_use]
    pub fn without_quorum(is_refused: bool) -> Self {
        if is_refused {
            Self::Refused
        } else {
            Self::Unavailable
        }
    }

    /// The number shells see. Of a death by signal they make 128 + the signal's number.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Free => 3,
            Self::Usage => 64,
            Self::Unavailable => 69,
            Self::Software => 70,
            Self::System => 71,
            Self::Conflict(code) | Self::Command(code) => code,
            Self::Lost => 76,
            Self::TimedOut => 124,
            Self::Refused => 77,
            Self::Configuration => 78,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            Self::Signal(signal) => 128 + signal as u8,
        }
    }
}
