//! Standard output, where goes what was asked for.
//!
//! std takes one that is closed, or only open for reading, for one that takes everything. But
//! whoever asked for a token must be told that nobody got it.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::fd::AsFd as _;

use super::Stop;
use crate::exit::Exit;
use crate::report::table::{Ink, Paper};
use crate::settings::{TerminalKind, World};

/// Standard output as it is.
///
/// # Errors
///
/// If there is none.
pub fn open() -> io::Result<BufWriter<File>> {
    let descriptor = io::stdout().as_fd().try_clone_to_owned()?;
    Ok(BufWriter::new(File::from(descriptor)))
}

/// What it is to a reader, and whether it takes colours.
pub fn paper(world: &World) -> Paper {
    Paper::of_stdout(
        if world.terminal() == TerminalKind::Dumb || world.variable("NO_COLOR").is_some() {
            Ink::Plain
        } else {
            Ink::Coloured
        },
    )
}

/// Writes `text` to it.
///
/// # Errors
///
/// If it could not be written in full.
pub fn put(text: &str) -> io::Result<()> {
    let mut out = open()?;
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes `text` to it, and answers how to leave.
///
/// # Errors
///
/// As [`written`].
pub fn print(text: &str) -> Result<Exit, Stop> {
    written(put(text).map(|()| Exit::Success))
}

/// How to leave when a result could not be written: a reader that closed it has seen enough.
///
/// # Errors
///
/// If it was something else that was in the way.
pub fn written(result: io::Result<Exit>) -> Result<Exit, Stop> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Success),
        Err(error) => Err(Stop::system("write to standard output", &error)),
        Ok(exit) => Ok(exit),
    }
}
