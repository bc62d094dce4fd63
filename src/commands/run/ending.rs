//! How the command's time under the lock ended, and what follows from it.

use crate::exit::Exit;
use crate::job::Ended;
use crate::lock::history::RunOutcome;

/// How the command's time under the lock ended.
#[derive(Clone, Copy)]
pub struct End {
    /// How it ended itself.
    pub command: Ended,
    /// Whether it had the lock all the time.
    pub lock: LockWas,
    /// Whether its time was enough.
    pub time: TimeWas,
    /// How often the lock was extended.
    pub extensions: u64,
}

impl End {
    /// The one word for it. A lost lock goes before all else.
    pub fn outcome(self) -> RunOutcome {
        match (self.lock, self.time) {
            (LockWas::Lost, _) => RunOutcome::Lost,
            (LockWas::Kept, TimeWas::Over) => RunOutcome::TimedOut,
            (LockWas::Kept, TimeWas::Enough) => RunOutcome::Ran,
        }
    }

    /// How redlock leaves.
    pub fn exit(self) -> Exit {
        match (self.outcome(), self.command) {
            (RunOutcome::Lost, _) => Exit::Lost,
            (RunOutcome::TimedOut, _) => Exit::TimedOut,
            (_, Ended::Code(code)) => Exit::Command(code),
            (_, Ended::Signal(signal)) => Exit::Signal(signal),
        }
    }
}

/// Whether `--max-runtime` was enough for the command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TimeWas {
    /// It was, or there is no such limit.
    Enough,
    /// It was stopped because its time was over.
    Over,
}

/// Whether the command had the lock all the time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LockWas {
    /// It had.
    Kept,
    /// The lease was reported lost, or the job was signalled because of the lock.
    Lost,
}
