//! What `redlock doctor` judges servers by: settings of all runs, since it is asked for none in
//! particular.

use std::time::Duration;

use super::file::File;
use super::sources::Sources;
use super::{Common, Error, Format, World, common_of, format, options, restarts};
use crate::cli;
use crate::lock::restart::Restarts;

/// What `redlock doctor` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoctorSettings {
    /// What every command needs.
    pub common: Common,
    /// How to print what is found.
    pub format: Format,
    /// The longest TTL that any run has by these settings.
    pub longest_ttl: Duration,
    /// Whether servers that restarted may grant.
    pub restarts: Restarts,
}

/// What `redlock doctor` is to do.
///
/// # Errors
///
/// If the settings make no sense.
pub fn doctor(options: &cli::Options, world: &World) -> Result<DoctorSettings, Error> {
    let sources = Sources::new(options, world);
    sources.check_flags(&options::COMMON)?;
    let file = File::find_and_read(&sources)?;
    let names: Vec<String> = file
        .iter()
        .flat_map(File::resources)
        .map(|(name, _)| name.to_owned())
        .collect();
    let mut sources = sources.with_file(file);
    let settings = DoctorSettings {
        common: common_of(&sources)?,
        format: format(options),
        longest_ttl: sources.value(&options::TTL)?,
        restarts: restarts(&sources)?,
    };
    let mut longest_ttl = settings.longest_ttl;
    for name in &names {
        sources = sources.with_resource(Some(name));
        longest_ttl = longest_ttl.max(sources.value(&options::TTL)?);
    }
    Ok(DoctorSettings {
        longest_ttl,
        ..settings
    })
}
