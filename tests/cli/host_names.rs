//! Servers that are known by name, and a name server that is away, or says that they are gone.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::thread;

use crate::support::{Cluster, Redlock};

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

/// What becomes of questions to a name server.
#[derive(Clone, Copy, Debug)]
enum Questions {
    /// Nobody is there.
    Refused,
    /// Nobody answers.
    Unheard,
    /// There is no such name.
    Denied,
}

/// Answers as said, at an address that nobody else asks: the port is always the same.
fn name_server(questions: Questions) -> Ipv4Addr {
    let [a, b, c, _] = fastrand::u32(..).to_be_bytes();
    let address = Ipv4Addr::new(127, 128 | a, b, 1 | c);
    if matches!(questions, Questions::Refused) {
        return address;
    }
    let socket = UdpSocket::bind((address, 53)).expect("this needs root");
    thread::spawn(move || {
        let mut message = [0; 512];
        while let Ok((length, asker)) = socket.recv_from(&mut message) {
            if matches!(questions, Questions::Denied) {
                // A response, to whatever it was: NXDOMAIN (RFC 1035, 4.1.1).
                message[2] |= 0x80;
                message[3] = 0x83;
                let _ = socket.send_to(&message[..length], asker);
            }
        }
    });
    address
}

/// The exit code of a job whose connections are all cut while its servers' name is not known by
/// anybody but a name server.
fn code_of_a_job_without_names(questions: Questions) -> Option<i32> {
    let cluster = Cluster::start(3);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let hosts = directory.path().join("hosts");
    let resolv = directory.path().join("resolv.conf");
    let name_server = format!("nameserver {}\n", name_server(questions));
    fs::write(&resolv, name_server).expect("it is ours");
    fs::write(&hosts, "127.0.0.1 r.example\n").expect("it is ours");
    // For longer than the TTL.
    let job = "echo ready; read _; sleep 5.5; exit 5";
    let words = ["run", "-q", "-t", "5s", "-r", "job", "sh", "-c", job];
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
    run.end().code()
}

#[test]
fn a_name_server_that_is_away_costs_no_lock_whose_servers_are_there() {
    thread::scope(|scope| {
        for (questions, code) in [
            (Questions::Refused, 5),
            (Questions::Unheard, 5),
            // Who has the address now may be somebody else.
            (Questions::Denied, 76),
        ] {
            scope.spawn(move || {
                let found = code_of_a_job_without_names(questions);
                assert_eq!(found, Some(code), "{questions:?}");
            });
        }
    });
}
