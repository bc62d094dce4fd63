//! `redlock` fences a job with a lock held on a majority of independent Redis servers.
//!
//! The modules in reading order, which is also the way the data goes:
//!
//! 1. [`cli`] is what can be typed; [`settings`] is what was meant by it, once flags, environment
//!    and files are merged and checked; [`exit`] is the one table of exit codes.
//! 2. [`commands`] has one file for each command; each tells its story in one function.
//! 3. [`lock`] is the quorum: votes, verdicts, the lease. It knows no command line and no child.
//! 4. [`node`] is one server each. It knows nothing of quorums.
//! 5. [`job`] is the child's side: processes and signals. It knows nothing of locks or Redis.
//! 6. [`report`] turns what happened into one line; [`clock`] is time that does not stop in
//!    suspend; [`errno`] has the system's words for its errors.
//!
//! Who may use whom is a test: `tests/tidy.rs`.
//!
//! # Invariants
//!
//! They are named where they are kept, and `tests/sim` and `tests/cli/faults.rs` watch over them.
//!
//! - I1: two holders never both believe that the lock is theirs, unless a majority of the servers
//!   lost its data within a restart window, a server's clock jumped, or a failover put another
//!   server behind an address.
//! - I2: fencing tokens strictly grow in the order of holding.
//! - I3: who says that he holds a lock has some of its validity left.
//! - I4: when all is quiet, a failed attempt has left no key.
//! - I5: an extension never deletes or shortens anything.
//! - I6: no process of the job's group runs after `valid_until`.
//! - I7: the exit code is the truth.
//! - I8: if any contender can win, one does.

pub mod cli;
pub mod clock;
pub mod commands;
pub mod errno;
pub mod exit;
pub mod job;
pub mod lock;
pub mod node;
pub mod report;
pub mod settings;
