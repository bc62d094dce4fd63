//! Servers that are known by name, and a name server that is away.

use std::fs;
use std::net::UdpSocket;

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
            .env("REDLOCK_SERVERS", cluster.urls_by("r.example"))
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
