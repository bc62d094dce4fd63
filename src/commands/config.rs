//! `redlock config`: the merged settings, and where each comes from. Opens no connection.

use super::{Stop, stdout};
use crate::cli;
use crate::exit::Exit;
use crate::settings::{self, World};

/// Prints the settings.
///
/// # Errors
///
/// If they make no sense.
pub fn config(options: &cli::Options, world: &World) -> Result<Exit, Stop> {
    stdout::print(&settings::config(options, world)?)
}
