//! Several independent servers.

use super::{Redlock, Server, eventually};

/// Servers that are a quorum together.
pub struct Cluster {
    pub servers: Vec<Server>,
}

impl Cluster {
    /// `count` empty servers.
    pub fn start(count: usize) -> Self {
        Self {
            servers: (0..count).map(|_| Server::start()).collect(),
        }
    }

    /// What `REDLOCK_SERVERS` is set to.
    pub fn urls(&self) -> String {
        self.servers
            .iter()
            .map(Server::url)
            .collect::<Vec<_>>()
            .join(",")
    }

    /// The same, by the `name` of this host.
    pub fn urls_by(&self, name: &str) -> String {
        self.urls().replace("127.0.0.1", name)
    }

    /// The binary with these servers, without any other setting.
    pub fn redlock<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Redlock {
        Redlock::new(arguments).env("REDLOCK_SERVERS", self.urls())
    }

    /// The locks that are left on any server.
    pub fn locks(&self) -> Vec<String> {
        self.servers.iter().flat_map(Server::locks).collect()
    }

    /// The values under `key`, server by server.
    pub fn values(&self, key: &str) -> Vec<Option<Vec<u8>>> {
        self.servers.iter().map(|server| server.get(key)).collect()
    }

    /// `redlock run -r job OPTIONS sh -c SCRIPT` on these servers, with options separated by blanks.
    pub fn run(&self, options: &str, script: &str) -> Redlock {
        let options = options.split_whitespace();
        let words = ["run", "-r", "job"].into_iter().chain(options);
        self.redlock(words.chain(["--", "sh", "-c", script]))
    }

    /// The rest of the life of `key` in milliseconds, server by server, as `PTTL` tells it.
    pub fn pttls(&self, key: &str) -> Vec<i64> {
        self.servers
            .iter()
            .map(|server| server.ask(&["PTTL", key]))
            .collect()
    }

    /// Waits until so many listen for the release of the lock `job`, on every server.
    #[track_caller]
    pub fn wait_for_listeners(&self, count: usize) {
        eventually(&format!("{count} who listen"), || {
            self.servers.iter().all(|server| {
                let (_, listeners): (String, usize) =
                    server.ask(&["PUBSUB", "NUMSUB", "released:lock:job"]);
                listeners == count
            })
        });
    }
}
