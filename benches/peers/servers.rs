//! Servers of our own, on ports and in directories of their own; each ends with its value, or with
//! us.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many keys are written at a time.
const FILL: usize = 20_000;

/// Commands that take so long are remembered, so many of them.
const SLOW: Duration = Duration::from_millis(1);
const SLOW_KEPT: usize = 100_000;

/// Commands that come from a client and not from a script of its.
const FROM_CLIENTS: [&str; 10] = [
    "eval",
    "evalsha",
    "hello",
    "subscribe",
    "unsubscribe",
    "psubscribe",
    "ssubscribe",
    "ping",
    "client",
    "auth",
];

/// A server that ends with this value.
pub struct Server {
    pub port: u16,
    process: Child,
    _directory: TempDir,
}

impl Server {
    /// An empty redis-server that keeps nothing.
    pub fn redis() -> Self {
        Self::redis_with(&[])
    }

    fn redis_with(arguments: &[&str]) -> Self {
        Self::start(|port, directory| {
            let mut command = Command::new("redis-server");
            command.args([
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
            ]);
            let port = port.to_string();
            command.arg(directory).args(if arguments.is_empty() {
                ["--port", &port].to_vec()
            } else {
                [&["--port", "0", "--tls-port", &port], arguments].concat()
            });
            command
        })
    }

    /// The etcd called `name`, which its `cluster` reaches at `peer`.
    fn etcd(name: &str, peer: &str, cluster: &str) -> Self {
        Self::begin(|port, directory| {
            let client = format!("http://127.0.0.1:{port}");
            let mut command = Command::new("etcd");
            command.arg("--data-dir").arg(directory.join("data"));
            command.args(["--name", name, "--initial-cluster", cluster]);
            command.args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ]);
            command.args([
                "--listen-peer-urls",
                peer,
                "--initial-advertise-peer-urls",
                peer,
            ]);
            command
        })
    }

    fn start(command: impl Fn(u16, &Path) -> Command) -> Self {
        let server = Self::begin(command);
        server.wait_until_it_listens();
        server
    }

    fn begin(command: impl Fn(u16, &Path) -> Command) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let server = command(port, directory.path());
        // Should we be killed, the kernel kills the server.
        let mut kept = Command::new("setpriv");
        kept.args(["--pdeathsig", "KILL"])
            .arg(server.get_program())
            .args(server.get_args());
        let process = kept
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self {
            port,
            process: process.expect("the server starts"),
            _directory: directory,
        }
    }

    fn wait_until_it_listens(&self) {
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(began.elapsed() < PATIENCE, "a server on port {}", self.port);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends `signal` to the server.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().cast_signed()), signal).expect("the server is ours");
    }

    /// Writes so many locks with their fencing counters, and so many other keys.
    pub fn fill(&self, locks: usize, others: usize) {
        const LOCKS: &str = "for i = ARGV[1], ARGV[2] do \
            local name = 'lock:job-' .. i \
            redis.call('SET', name, string.format('%032x', i) .. ' {\"host\":\"web-' .. i % 50 .. \
                '\",\"pid\":' .. i % 30000 .. ',\"user\":\"deploy\",\"command\":\"backup.sh\"}', \
                'PX', 86400000) \
            redis.call('SET', '{' .. name .. '}:fence', i, 'PX', 604800000) end";
        const OTHERS: &str = "for i = ARGV[1], ARGV[2] do \
            redis.call('SET', 'session:' .. i, 'of a user') end";
        for (script, count) in [(LOCKS, locks), (OTHERS, others)] {
            for first in (0..count).step_by(FILL) {
                let last = count.min(first + FILL) - 1;
                self.ask::<()>(redis::cmd("EVAL").arg(script).arg(0).arg(first).arg(last));
            }
        }
    }

    /// From now on every command that takes a millisecond is remembered, and none before.
    pub fn forget_slow_commands(&self) {
        let (name, limit) = ("slowlog-log-slower-than", SLOW.as_micros().to_string());
        self.ask::<()>(redis::cmd("CONFIG").arg("SET").arg(name).arg(limit));
        let length = "slowlog-max-len";
        self.ask::<()>(redis::cmd("CONFIG").arg("SET").arg(length).arg(SLOW_KEPT));
        self.ask::<()>(redis::cmd("SLOWLOG").arg("RESET"));
    }

    /// How long the longest of the commands took that were remembered; zero if there are none.
    pub fn slowest_command(&self) -> Duration {
        type Slow = (u64, u64, u64, redis::Value, redis::Value, redis::Value);
        let slow: Vec<Slow> = self.ask(redis::cmd("SLOWLOG").arg("GET").arg(SLOW_KEPT));
        let longest = slow.iter().map(|(_, _, micros, ..)| *micros).max();
        Duration::from_micros(longest.unwrap_or(0))
    }

    fn ask<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> T {
        let client = redis::Client::open(("127.0.0.1", self.port)).expect("an address");
        let mut connection = client.get_connection().expect("the server answers");
        command.query(&mut connection).expect("the server answers")
    }

    /// How many commands clients have sent so far.
    pub fn commands(&self) -> u64 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the server answers");
        stream
            .write_all(b"INFO commandstats\r\nQUIT\r\n")
            .expect("the server answers");
        let mut text = String::new();
        stream
            .read_to_string(&mut text)
            .expect("the server answers");
        let calls = |line: &str| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let name = name.split('|').next()?;
            FROM_CLIENTS
                .contains(&name)
                .then(|| rest.split(',').next()?.parse::<u64>().ok())?
        };
        text.lines().filter_map(calls).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGKILL also ends a process that is stopped.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `count` servers.
pub fn redis(count: usize) -> Vec<Server> {
    (0..count).map(|_| Server::redis()).collect()
}

/// `count` etcds that are one cluster.
pub fn etcd(count: usize) -> Vec<Server> {
    let members: Vec<(String, String)> = (0..count)
        .map(|number| {
            let peer = format!("http://127.0.0.1:{}", free_port());
            (format!("member-{number}"), peer)
        })
        .collect();
    let cluster: Vec<String> = members
        .iter()
        .map(|(name, peer)| format!("{name}={peer}"))
        .collect();
    let cluster = cluster.join(",");
    let servers: Vec<Server> = members
        .iter()
        .map(|(name, peer)| Server::etcd(name, peer, &cluster))
        .collect();
    // None of them listens before a majority has met.
    for server in &servers {
        server.wait_until_it_listens();
    }
    servers
}

/// `count` servers with TLS, and the certificate authority that redlock is to trust.
pub fn redis_with_tls(count: usize, directory: &Path) -> (Vec<Server>, PathBuf) {
    let (cert, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=bench",
    ]);
    openssl.args([
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]);
    openssl
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .stderr(Stdio::null());
    assert!(
        openssl.status().is_ok_and(|status| status.success()),
        "openssl makes a certificate"
    );
    let [cert_text, key_text] = [&cert, &key].map(|path| path.to_str().expect("a plain path"));
    let arguments = [
        "--tls-cert-file",
        cert_text,
        "--tls-key-file",
        key_text,
        "--tls-auth-clients",
        "no",
    ];
    (
        (0..count).map(|_| Server::redis_with(&arguments)).collect(),
        cert,
    )
}

/// A port that nobody listens on now.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}
