//! Servers that are known by name: what a name server that is away does to a lock, and a system
//! that has no thread for asking one.

use std::fs::{self, Permissions};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Cluster, Redlock};

/// Nobody else's: a name server is always asked at port 53.
const NAME_SERVER: &str = "127.53.53.53";

/// The names in `/etc/hosts`, and whom to ask for others, as `HOSTS` and `RESOLV` say.
const OTHER_NAMES: [&str; 6] = [
    "unshare",
    "--map-root-user",
    "--mount",
    "sh",
    "-c",
    "mount --bind \"$HOSTS\" /etc/hosts && mount --bind \"$RESOLV\" /etc/resolv.conf && \
     exec \"$0\" \"$@\"",
];

fn named_urls(cluster: &Cluster, name: &str) -> String {
    let urls = cluster.servers.iter();
    let urls = urls.map(|server| format!("redis://{name}:{}", server.port()));
    urls.collect::<Vec<_>>().join(",")
}

#[test]
fn a_name_server_that_is_away_costs_no_lock_whose_servers_are_there() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let hosts = directory.path().join("hosts");
    let resolv = directory.path().join("resolv.conf");
    fs::write(&resolv, format!("nameserver {NAME_SERVER}\n")).expect("it is ours");
    for hangs in [false, true] {
        let cluster = Cluster::start(3);
        fs::write(&hosts, "127.0.0.1 r.example\n").expect("it is ours");
        let _silent = hangs.then(|| UdpSocket::bind((NAME_SERVER, 53)).expect("this needs root"));
        // For longer than the TTL.
        let job = "echo ready; read _; sleep 2.5; exit 5";
        let words = ["run", "-t", "2s", "-r", "job", "sh", "-c", job];
        let mut run = Redlock::under(&OTHER_NAMES, words)
            .env("REDLOCK_SERVERS", named_urls(&cluster, "r.example"))
            .env("HOSTS", &hosts)
            .env("RESOLV", &resolv)
            .start_ready();
        fs::write(&hosts, "").expect("it is ours");
        for server in &cluster.servers {
            let _: u32 = server.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        }
        run.write_line("");
        run.end().assert_code(5).assert_silent();
        assert_eq!(cluster.locks(), [""; 0]);
    }
}

#[test]
fn a_system_without_a_thread_for_a_name_is_an_outage_that_says_so() {
    let cluster = Cluster::start(3);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let binary = directory.path().join("redlock");
    let readable = || Permissions::from_mode(0o755);
    fs::set_permissions(directory.path(), readable()).expect("it is ours");
    fs::copy(env!("CARGO_BIN_EXE_redlock"), &binary).expect("there is room");
    // No limit binds root, so it becomes nobody, who may not be able to read what is built here.
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--clear-groups",
        "sh",
        "-c",
        "exec prlimit --nproc=0 \"$BINARY\" \"$@\"",
    ];
    let end = Redlock::under(&nobody, ["run", "-r", "job", "echo", "never"])
        .env("BINARY", &binary)
        .env("REDLOCK_SERVERS", named_urls(&cluster, "localhost"))
        .end();
    let why = "the name localhost was not resolved: resource temporarily unavailable";
    end.assert_code(69).assert_says(&[why]);
    assert_eq!(end.stdout, "");
}
