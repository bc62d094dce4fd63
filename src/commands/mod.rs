//! One file a command.
/// Runs.
#[must_use]
pub fn main(_arguments: std::env::ArgsOs) -> std::process::ExitCode {
    std::process::ExitCode::from(70)
}
