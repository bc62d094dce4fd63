//! The entry point: hands the arguments to [`redlock::commands::main`] and leaves the process with
//! its answer. No logic.
//!
//! C's entry point, not Rust's: before that one std reads `/proc/self/maps` for the address of a
//! guard page, to be able to tell a stack overflow from another crash. That was 0.07 ms of a run of
//! 2 ms. What else it does is in `job::start_up`. glibc hands std the arguments all the same; other
//! libcs do not, and begin in the usual way.

#![cfg_attr(target_env = "gnu", no_main)]

#[cfg(target_env = "gnu")]
use std::ffi::{c_char, c_int};

fn run() -> ! {
    std::process::exit(redlock::commands::main(std::env::args_os()).into())
}

/// SAFETY: glibc calls it, with the arguments of the process.
#[cfg(target_env = "gnu")]
#[unsafe(no_mangle)]
unsafe extern "C" fn main(count: c_int, arguments: *const *const c_char) -> c_int {
    // SAFETY: as our own caller says.
    unsafe { redlock::job::start_up(count, arguments) };
    run()
}

#[cfg(not(target_env = "gnu"))]
fn main() {
    run()
}
