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
