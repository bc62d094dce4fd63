//! Where locks are, as redlock is told it.

use super::{BadNode, Cluster, Redlock};

/// How redlock is told where locks are, whoever owns the place.
pub struct Address {
    pub what: &'static str,
    variable: (&'static str, String),
}

impl Address {
    /// The binary with this address, without any other setting.
    pub fn redlock<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Redlock {
        Redlock::new(arguments).env(self.variable.0, &self.variable.1)
    }

    /// The binary with `wrapper` in front.
    pub fn redlock_under<'a>(
        &self,
        wrapper: &[&str],
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Redlock {
        Redlock::under(wrapper, arguments).env(self.variable.0, &self.variable.1)
    }

    pub fn of(cluster: &Cluster) -> Self {
        Self {
            what: "three servers",
            variable: ("REDLOCK_SERVERS", cluster.urls()),
        }
    }

    /// Two good servers and one like `bad`.
    pub fn with_bad(cluster: &Cluster, bad: &BadNode) -> Self {
        let urls = format!("{},{}", cluster.urls(), bad.url);
        Self {
            what: bad.what,
            variable: ("REDLOCK_SERVERS", urls),
        }
    }

    pub fn local(directory: &std::path::Path) -> Self {
        Self {
            what: "the embedded node",
            variable: ("REDLOCK_LOCAL", directory.display().to_string()),
        }
    }

    /// The token of `name`, taken for `ttl`.
    #[track_caller]
    pub fn acquire(&self, name: &str, ttl: &str) -> String {
        let end = self.redlock(["acquire", "-r", name, "-t", ttl]).end();
        end.assert_code(0).assert_silent();
        end.stdout.trim_end().to_owned()
    }
}
