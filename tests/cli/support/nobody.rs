//! The user nobody, who may do less than root.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use tempfile::TempDir;

use super::Redlock;

/// A copy of the binary: nobody may not be able to read what is built here.
pub struct Nobody {
    directory: TempDir,
}

impl Nobody {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let readable = Permissions::from_mode(0o755);
        fs::set_permissions(directory.path(), readable).expect("it is ours");
        let binary = env!("CARGO_BIN_EXE_redlock");
        fs::copy(binary, directory.path().join("redlock")).expect("there is room");
        Self { directory }
    }

    /// A copy of the `program` which runs as root, whoever starts it. Its path.
    pub fn owned_by_root_with_setuid(&self, program: &str) -> String {
        let found = Command::new("which").arg(program).output();
        let found = found.expect("which is there").stdout;
        let found = String::from_utf8(found).expect("a plain path");
        let copy = self.directory.path().join(program);
        fs::copy(found.trim(), &copy).expect("it is installed");
        fs::set_permissions(&copy, Permissions::from_mode(0o4755)).expect("it is ours");
        copy.display().to_string()
    }

    /// The binary as nobody runs it, with `wrapper` in front. This needs root.
    pub fn redlock<'a>(
        &self,
        wrapper: &str,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Redlock {
        let script = format!("exec {wrapper} \"$NOBODYS/redlock\" \"$@\"");
        let words = [
            "setpriv",
            "--reuid=65534",
            "--clear-groups",
            "sh",
            "-c",
            &script,
        ];
        Redlock::under(&words, arguments).env("NOBODYS", self.directory.path())
    }
}
