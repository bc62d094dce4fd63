//! One redis-server of a test's own.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redlock::node::endpoint::Address;
use redlock::node::{Credentials, Endpoint};
use tempfile::TempDir;

use super::{PATIENCE, Shim, eventually};

/// Ports are taken from here upwards, below those that the kernel gives to clients.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// A redis-server that ends with this value.
pub struct Server {
    port: u16,
    directory: TempDir,
    start: Start,
    process: Child,
}

/// What a server is started with, each time.
#[derive(Default)]
struct Start {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Server {
    /// An empty server that keeps nothing on disk.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// A server with more `arguments`, as in `&["--maxmemory", "1mb"]`.
    pub fn with(arguments: &[&str]) -> Self {
        Self::started(Start {
            arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
            ..Start::default()
        })
    }

    /// A server behind `shim`.
    pub fn behind(shim: &Shim) -> Self {
        let variables = shim.environment().into_iter();
        let environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self::started(Start {
            environment: environment.collect(),
            ..Start::default()
        })
    }

    fn started(start: Start) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        // Another test may take the port between our look and the server's: then the next one.
        loop {
            let port = free_port();
            let mut process = spawn(port, directory.path(), &start);
            if is_up(port, &mut process) {
                return Self {
                    port,
                    directory,
                    start,
                    process,
                };
            }
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id().cast_signed())
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The same for who uses the library.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            address: Address::Tcp {
                host: "127.0.0.1".to_owned(),
                port: self.port,
            },
            database: 0,
            credentials: Credentials::default(),
        }
    }

    /// How messages call it.
    pub fn name(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where it keeps its files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The Unix socket that every server listens on as well.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }

    /// A client of the default user.
    pub fn client(&self) -> redis::Connection {
        let client = redis::Client::open(self.url()).expect("a good URL");
        let connection = client.get_connection_with_timeout(PATIENCE / 3);
        let connection = connection.expect("the server answers");
        let bound = connection.set_read_timeout(Some(PATIENCE / 3));
        bound.expect("a bound that is not zero");
        connection
    }

    /// The answer to one command of the default user.
    #[track_caller]
    pub fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let (name, arguments) = words.split_first().expect("a command");
        let answer = redis::cmd(name).arg(arguments).query(&mut self.client());
        answer.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// The value under `key`, if there is one.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.ask(&["GET", key])
    }

    /// How often `command` was called, by scripts too.
    pub fn calls_of(&self, command: &str) -> u64 {
        let statistics: String = self.ask(&["INFO", "commandstats"]);
        let calls = statistics
            .split(&format!("cmdstat_{command}:calls="))
            .nth(1);
        let calls = calls.and_then(|calls| calls.split(',').next()?.parse().ok());
        calls.unwrap_or_default()
    }

    /// Every key that is a lock, and not a fencing counter or a history.
    pub fn locks(&self) -> Vec<String> {
        let keys: Vec<String> = self.ask(&["KEYS", "*"]);
        keys.into_iter()
            .filter(|key| !key.ends_with(":fence") && !key.ends_with(":history"))
            .collect()
    }

    /// SIGKILL: connections are reset, new ones refused, and nothing is kept.
    pub fn kill(&mut self) {
        self.process.kill().expect("the server is ours");
        self.process.wait().expect("the server is ours");
    }

    /// SIGSTOP: the kernel still accepts connections, and nobody answers.
    pub fn hang(&self) {
        kill(self.pid(), Signal::SIGSTOP).expect("the server is ours");
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        kill(self.pid(), Signal::SIGCONT).expect("the server is ours");
    }

    /// Starts it again on the same port, after [`Server::kill`]. Empty, unless its arguments keep
    /// data.
    pub fn restart(&mut self) {
        self.restart_with(&[]);
    }

    /// The same with more arguments.
    pub fn restart_with(&mut self, arguments: &[&str]) {
        self.start
            .arguments
            .extend(arguments.iter().map(|&argument| argument.to_owned()));
        self.process = spawn(self.port, self.directory.path(), &self.start);
        assert!(
            is_up(self.port, &mut self.process),
            "{} did not come back",
            self.name()
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGKILL also ends a process that is stopped. It may be dead already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        // Test programs that run side by side start in different places.
        let offset = std::process::id().wrapping_mul(97) % u32::from(PORTS.end - PORTS.start);
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start
            + (u16::try_from(offset)
                .expect("below the range's length")
                .wrapping_add(step))
                % (PORTS.end - PORTS.start);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn spawn(port: u16, directory: &Path, start: &Start) -> Child {
    let log = File::create(directory.join("log")).expect("the directory is ours");
    // Should the test be killed, the kernel kills the server.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "redis-server"]);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "-::1"]);
    command.arg("--dir").arg(directory);
    command
        .arg("--unixsocket")
        .arg(directory.join("redis.sock"));
    command.args(["--save", "", "--appendonly", "no", "--loglevel", "warning"]);
    command.args(&start.arguments);
    let environment = start.environment.iter().map(|(name, value)| (name, value));
    command.envs(environment);
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file can be cloned"))
        .stderr(log);
    command
        .spawn()
        .expect("redis-server is installed; tests/run does that")
}

/// Waits until the server answers anything at all; false if it ended instead.
fn is_up(port: u16, process: &mut Child) -> bool {
    let mut ended = false;
    eventually("a redis-server that starts", || {
        ended = process.try_wait().expect("the server is ours").is_some();
        ended || answers(port)
    });
    !ended
}

/// Whether somebody who speaks Redis is there: an error (NOAUTH, LOADING) is an answer, too.
fn answers(port: u16) -> bool {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).expect("a good URL");
    let bound = Duration::from_secs(1);
    let Ok(mut connection) = client.get_connection_with_timeout(bound) else {
        return false;
    };
    let bounded = connection.set_read_timeout(Some(bound));
    bounded.expect("a bound that is not zero");
    match redis::cmd("PING").query::<String>(&mut connection) {
        Ok(_) => true,
        Err(error) => !error.is_io_error(),
    }
}
