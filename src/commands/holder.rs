//! Who we are, as others shall see it in the lock.

use std::ffi::OsStr;
use std::path::Path;

use nix::unistd::getppid;

use crate::lock::Holder;
use crate::settings::World;

/// This process as a holder. Only the file name of `command` is told: arguments may be secrets.
pub fn of_this_process(world: &World, command: Option<&OsStr>, note: Option<&str>) -> Holder {
    let file_name = |command: &OsStr| {
        let name = Path::new(command).file_name().unwrap_or(command);
        name.to_string_lossy().into_owned()
    };
    Holder {
        host: world.host(),
        pid: std::process::id(),
        user: world.user_name(),
        command: command.map(file_name),
        note: note.map(ToOwned::to_owned),
        since: String::new(),
    }
}

/// The process that called this one, as a holder: a shell or a script, which is there for longer.
pub fn of_our_parent(world: &World, note: Option<&str>) -> Holder {
    Holder {
        pid: getppid().as_raw().cast_unsigned(),
        ..of_this_process(world, None, note)
    }
}
