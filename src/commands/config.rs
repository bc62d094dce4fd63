//! `redlock config`: the merged settings, and where each comes from. Opens no connection.

use super::nodes::{self, Purpose};
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
    let settings = settings::config(options, world)?;
    // Certificates and keys are read, as by whoever is about to connect.
    nodes::each(&settings.common, Purpose::Look)?;
    stdout::print(&settings.text)
}
