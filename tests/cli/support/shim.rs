//! A small library of ours in front of the C library, for what a machine does not do at a test's
//! bidding.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::Redlock;

/// A library that was built, and the directory through which a test talks to it.
pub struct Shim {
    directory: TempDir,
    library: PathBuf,
}

impl Shim {
    /// Builds `source`, which is C. It finds its directory in `SHIM_DIR`.
    pub fn build(source: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (file, library) = (directory.path().join("a.c"), directory.path().join("a.so"));
        fs::write(&file, source).expect("the directory is ours");
        let compiler = Command::new("cc")
            .args(["-shared", "-fPIC", "-w", "-o"])
            .args([&library, &file])
            .status();
        assert!(compiler.expect("Rust needs cc as well").success());
        Self { directory, library }
    }

    /// Puts it in front of `redlock`, and of what that starts unless it is unset there.
    pub fn load(&self, redlock: Redlock) -> Redlock {
        let environment = self.environment().into_iter();
        environment.fold(redlock, |redlock, (name, value)| redlock.env(name, value))
    }

    /// The variables that put it in front.
    pub fn environment(&self) -> [(&str, &str); 2] {
        [
            ("LD_PRELOAD", plain(&self.library)),
            ("SHIM_DIR", plain(self.directory.path())),
        ]
    }

    /// Writes the file `name` for the library. By rename: whoever reads it reads all of it.
    pub fn tell(&self, name: &str, text: &str) {
        let new = self.directory.path().join("new");
        fs::write(&new, text).expect("the directory is ours");
        fs::rename(&new, self.directory.path().join(name)).expect("the directory is ours");
    }
}

fn plain(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}
