//! Where locks can be: on three servers, or in a directory of this host.

use tempfile::TempDir;

use super::{Cluster, Redlock};

/// One place for locks, empty at first.
pub enum Place {
    Servers(Cluster),
    Local(TempDir),
}

impl Place {
    /// One of each kind, for what must hold on both.
    pub fn each() -> [Self; 2] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        [Self::Servers(Cluster::start(3)), Self::Local(directory)]
    }

    /// The servers of a place that was made of servers.
    pub fn cluster(&self) -> &Cluster {
        match self {
            Self::Servers(cluster) => cluster,
            Self::Local(_) => unreachable!("there are no servers in a directory"),
        }
    }

    /// The binary with locks in this place, without any other setting.
    pub fn redlock<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Redlock {
        match self {
            Self::Servers(cluster) => cluster.redlock(arguments),
            Self::Local(directory) => {
                Redlock::new(arguments).env("REDLOCK_LOCAL", directory.path())
            }
        }
    }

    /// `redlock run -r job OPTIONS sh -c SCRIPT`, with options separated by blanks.
    pub fn run(&self, options: &str, script: &str) -> Redlock {
        let options = options.split_whitespace();
        let words = ["run", "-r", "job"].into_iter().chain(options);
        self.redlock(words.chain(["--", "sh", "-c", script]))
    }
}
