//! Who takes part, and how each is told to run a job under a lock.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::Bench;
use super::servers::Server;

/// A way to run a job under a lock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Contestant {
    /// The job without a lock.
    Bare,
    /// util-linux, on a file.
    Flock,
    /// The floor of a quorum, in C, on so many nodes.
    Floor(usize),
    /// redlock on so many nodes.
    Redlock(usize),
    /// redlock on files of this host.
    Local,
    /// redis-cli in a shell script, on so many nodes.
    RedisCli(usize),
    /// etcd on so many nodes, which are one cluster.
    Etcdctl(usize),
    /// No lock: a look through all keys of so many nodes, in C.
    Scan(usize),
    /// No lock: redlock's list of those on so many nodes.
    List(usize),
}

/// Whether to wait for a lock that is held.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    Yes,
    No,
}

/// The servers that are up.
pub struct World<'a> {
    pub bench: &'a Bench,
    pub redis: &'a [Server],
    /// Clusters, each of another size.
    pub etcd: &'a [Vec<Server>],
}

impl World<'_> {
    fn etcd_of(&self, nodes: usize) -> Option<&[Server]> {
        let mut clusters = self.etcd.iter().map(Vec::as_slice);
        clusters.find(|cluster| cluster.len() == nodes)
    }
}

impl Contestant {
    /// How a table calls it.
    pub fn name(self) -> String {
        match self {
            Self::Bare => "no lock".to_owned(),
            Self::Flock => "flock".to_owned(),
            Self::Floor(nodes) => format!("C floor, {nodes} nodes"),
            Self::Redlock(nodes) => format!("redlock, {nodes} nodes"),
            Self::Local => "redlock --local".to_owned(),
            Self::RedisCli(nodes) => format!("redis-cli script, {nodes} nodes"),
            Self::Etcdctl(1) => "etcdctl lock, 1 node".to_owned(),
            Self::Etcdctl(nodes) => format!("etcdctl lock, {nodes} nodes"),
            Self::Scan(nodes) => format!("SCAN COUNT 5000 in C, {nodes} nodes"),
            Self::List(nodes) => format!("redlock list, {nodes} nodes"),
        }
    }

    /// Whether what it needs is installed.
    pub fn is_there(self, world: &World) -> bool {
        match self {
            Self::Flock => is_installed("flock"),
            Self::RedisCli(_) => is_installed("redis-cli"),
            Self::Etcdctl(nodes) => world.etcd_of(nodes).is_some(),
            _ => true,
        }
    }

    fn program(self, world: &World, job: &[&str]) -> PathBuf {
        match self {
            Self::Bare => job[0].into(),
            Self::Flock => "flock".into(),
            Self::Floor(_) => world.bench.file("floor"),
            Self::Scan(_) => world.bench.file("scan"),
            Self::Redlock(_) | Self::Local | Self::List(_) => env!("CARGO_BIN_EXE_redlock").into(),
            Self::RedisCli(_) => {
                concat!(env!("CARGO_MANIFEST_DIR"), "/benches/redis-cli.sh").into()
            }
            Self::Etcdctl(_) => "etcdctl".into(),
        }
    }

    /// `job` under the lock.
    pub fn command(self, world: &World, waits: Waits, job: &[&str]) -> Command {
        let ports = |nodes| {
            world.redis[..nodes]
                .iter()
                .map(|server: &Server| server.port.to_string())
        };
        let urls = |nodes| {
            let urls: Vec<String> = ports(nodes)
                .map(|port| format!("redis://127.0.0.1:{port}"))
                .collect();
            urls.join(",")
        };
        let mut command = Command::new(self.program(world, job));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        match self {
            Self::Bare => return with(command, &job[1..]),
            Self::Scan(nodes) => {
                command.args(ports(nodes));
            }
            Self::List(nodes) => {
                command.arg("list").env("REDLOCK_SERVERS", urls(nodes));
            }
            Self::Flock => {
                command.args(if waits == Waits::Yes {
                    None
                } else {
                    Some("-n")
                });
                command.arg(world.bench.file("flock"));
            }
            Self::Floor(nodes) => {
                command.args((waits == Waits::Yes).then_some("-w"));
                command.args(ports(nodes)).arg("--");
            }
            Self::RedisCli(nodes) => {
                command.args(ports(nodes)).arg("--");
            }
            Self::Redlock(nodes) => {
                command.env("REDLOCK_SERVERS", urls(nodes));
                // The servers are a few seconds old: all of them young is a cold start, for which
                // redlock asks twice. With servers that have been up for a minute it does not, and
                // sends the same requests as with this.
                command.env("REDLOCK_RESTART_GUARD", "off");
                run(&mut command, waits);
            }
            Self::Local => {
                command.env("REDLOCK_LOCAL", world.bench.file("local"));
                run(&mut command, waits);
            }
            Self::Etcdctl(nodes) => {
                let members = world
                    .etcd_of(nodes)
                    .expect("etcd takes part only if it is there");
                let endpoints: Vec<String> = members
                    .iter()
                    .map(|member| format!("http://127.0.0.1:{}", member.port))
                    .collect();
                command.env("ETCDCTL_API", "3");
                command.args(["--endpoints", &endpoints.join(","), "lock", "bench", "--"]);
            }
        }
        with(command, job)
    }
}

fn run(command: &mut Command, waits: Waits) {
    command.args(["run", "-r", "bench"]);
    command
        .args((waits == Waits::Yes).then_some("-w"))
        .arg("--");
}

fn with(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    command
}

/// Whether `program` is in the usual places.
pub fn is_installed(program: &str) -> bool {
    ["/usr/bin", "/bin"]
        .iter()
        .any(|place| std::path::Path::new(place).join(program).exists())
}
