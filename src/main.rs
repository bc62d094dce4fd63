//! The entry point: hands the arguments to [`redlock::commands::main`] and leaves the process with
//! its answer. No logic.

use std::process::ExitCode;

fn main() -> ExitCode {
    redlock::commands::main(std::env::args_os())
}
