//! Every way to a server but TLS: TCP, Unix socket; users, passwords and databases. And no password
//! ever shows.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use crate::support::faults::secret_file;
use crate::support::server::free_port;
use crate::support::{Cluster, Redlock, Server, eventually};

const PASSWORD: &str = "s3cret/p@ss:word %";
/// The same in a URL.
const ENCODED: &str = "s3cret%2Fp%40ss%3Aword%20%25";

fn guarded() -> Vec<Server> {
    (0..3)
        .map(|_| Server::with(&["--requirepass", PASSWORD]))
        .collect()
}

fn urls(servers: &[Server], userinfo: &str, path: &str) -> String {
    let url = |server: &Server| format!("redis://{userinfo}127.0.0.1:{}{path}", server.port());
    servers.iter().map(url).collect::<Vec<_>>().join(" ")
}

fn run_on(urls: &str) -> Redlock {
    Redlock::new(["run", "-v", "-r", "job", "echo", "ran"]).env("REDLOCK_SERVERS", urls)
}

/// No quorum comes together without `server`, so that all the others have to be heard.
fn in_the_way(server: &Server) {
    let _: () = server.ask(&["SET", "lock:job", "in the way", "PX", "60000"]);
}

#[test]
fn a_server_that_has_answered_and_hangs_up_is_not_taken_for_one_with_tls() {
    let cluster = Cluster::start(3);
    let run = cluster.run("-v -t 2s", "echo ready; read _");
    let mut run = run.start_ready();
    // After the first round, so that the next one finds its connections gone.
    eventually("a round", || {
        cluster.pttls("lock:job").iter().all(|&rest| rest < 1_700)
    });
    for server in &cluster.servers[..2] {
        let killed: u32 = server.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
        assert!(killed > 0);
    }
    // The round in which that shows is told, and another extends.
    eventually("a round", || {
        cluster.pttls("lock:job").iter().all(|&rest| rest > 1_700)
    });
    run.write_line("");
    let end = run.end();
    end.assert_code(0);
    assert!(end.stderr.contains("extended on no quorum"), "{end:?}");
    assert!(!end.stderr.contains("TLS"), "{end:?}");
}

#[test]
fn a_firewall_that_forgets_silent_connections_hears_of_them_every_minute() {
    let cluster = Cluster::start(3);
    let run = cluster.run("-t 10m", "echo ready; read _");
    let mut run = run.start_ready();
    // Between two rounds, minutes apart, nothing else is sent.
    eventually("keepalive on every connection", || {
        cluster.servers.iter().all(|server| {
            let timers = timers_towards(server.port());
            let is_kept = |&(timer, rest)| timer == KEEPALIVE_TIMER && rest <= 60 * TICKS;
            !timers.is_empty() && timers.iter().all(is_kept)
        })
    });
    run.write_line("");
    run.end().assert_code(0);
}

/// What the kernel calls the timer of keepalive in `/proc/net/tcp`, and its ticks of a second.
const KEEPALIVE_TIMER: u64 = 2;
const TICKS: u64 = 100;

/// The timer of each open connection to `port` of this host, and what is left of it in ticks.
fn timers_towards(port: u16) -> Vec<(u64, u64)> {
    let number = |hex: &str| u64::from_str_radix(hex, 16).expect("a number");
    let text = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
    let mut timers = Vec::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, towards) = fields[2].split_once(':').expect("an address");
        let (timer, rest) = fields[5].split_once(':').expect("a timer");
        let is_open = fields[3] == "01";
        if is_open && number(towards) == u64::from(port) {
            timers.push((number(timer), number(rest)));
        }
    }
    timers
}

#[test]
fn passwords_come_from_the_url_or_from_a_file() {
    let servers = guarded();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = secret_file(directory.path(), "password", &format!("{PASSWORD}\n"));

    let end = run_on(&urls(&servers, &format!(":{ENCODED}@"), "")).end();
    assert_eq!(end.assert_code(0).stdout, "ran\n");
    let end = run_on(&urls(&servers, "", ""))
        .env("REDLOCK_PASSWORD_FILE", file)
        .end();
    assert_eq!(end.assert_code(0).stdout, "ran\n");
}

#[test]
fn a_password_that_is_changed_while_a_job_runs_is_read_again() {
    let cluster = Cluster::start(3);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let write = |password| secret_file(directory.path(), "password", password);
    let change = |password: &str| {
        let password = &format!(">{password}");
        for server in &cluster.servers {
            let user = ["ACL", "SETUSER", "app", "on", "resetpass", password];
            let rights = ["~*", "&*", "+@all"];
            let _: () = server.ask(&[&user[..], &rights].concat());
        }
    };
    let rotate = |password, clients: &[&str]| {
        write(password);
        change(password);
        for server in &cluster.servers {
            let kill = ["CLIENT", "KILL", "USER", "app"];
            let killed: u32 = server.ask(&[&kill[..], clients].concat());
            assert!(killed > 0);
        }
    };
    change("first");
    let file = write("first");
    let options = format!("-v -t 2s --user app --password-file {file}");
    let mut holder = cluster.run(&options, "echo ready; read _").start_ready();
    let waiter = cluster.run(&format!("{options} -w"), "true").start();
    cluster.wait_for_listeners(2);
    // Who only listens reads it again as well.
    rotate("second", &["TYPE", "pubsub"]);
    cluster.wait_for_listeners(2);
    rotate("third", &[]);
    let rests = |are: fn(i64) -> bool| cluster.pttls("lock:job").into_iter().all(are);
    for _ in 0..2 {
        eventually("a while after a round", || rests(|rest| rest < 1_500));
        eventually("a round", || rests(|rest| rest > 1_700));
    }
    holder.write_line("");
    holder.end().assert_code(0);
    waiter.end().assert_code(0);
}

#[test]
fn a_user_needs_no_more_than_the_rights_to_the_keys() {
    let servers: Vec<Server> = (0..3).map(|_| Server::start()).collect();
    for server in &servers {
        // No channels, no INFO: neither may stop a lock or its release.
        let rules = [
            "ACL",
            "SETUSER",
            "locker",
            "on",
            &format!(">{PASSWORD}"),
            "~lock:*",
            "~{lock:*",
            "+eval",
            "+type",
            "+get",
            "+set",
            "+del",
            "+pttl",
            "+pexpire",
            "+time",
        ];
        let _: () = server.ask(&rules);
    }
    let end = run_on(&urls(&servers, &format!("locker:{ENCODED}@"), "")).end();
    assert_eq!(end.assert_code(0).stdout, "ran\n");
    for server in &servers {
        assert_eq!(server.locks(), [""; 0]);
    }
}

#[test]
fn a_wrong_or_missing_password_is_a_refusal_and_never_shown() {
    let servers = guarded();
    let wrong = "wr0ng-and-never-seen";
    for userinfo in [format!(":{wrong}@"), format!("somebody:{wrong}@")] {
        let end = run_on(&urls(&servers, &userinfo, "")).end();
        end.assert_code(77).assert_says(&[
            "WRONGPASS wrong user or password",
            "check user, password, ACL and certificates",
        ]);
        assert!(!end.stderr.contains(wrong), "{end:?}");
    }
    run_on(&urls(&servers, "", ""))
        .end()
        .assert_code(77)
        .assert_says(&["NOAUTH", "check user, password"]);
    for format in ["text", "json"] {
        // Nobody is there, a bad scheme, a bad port: the URL is never repeated.
        for url in [
            format!("redis://:{wrong}@127.0.0.1:{}", free_port()),
            format!("http://:{wrong}@127.0.0.1:1"),
            format!("redis://:{wrong}@127.0.0.1:99999"),
            format!("redis://:{wrong}@/"),
            wrong.to_string(),
        ] {
            let end = run_on(&url)
                .env("REDLOCK_ANY_QUORUM", "1")
                .env("REDLOCK_LOG_FORMAT", format)
                .end();
            assert_ne!(end.code(), Some(0), "{end:?}");
            // What is no URL at all may be anything, also a password that was put in the wrong
            // place.
            assert!(!end.stderr.contains(wrong), "{end:?}");
        }
    }
}

#[test]
fn ps_does_not_show_a_password_of_file_or_environment() {
    let servers = guarded();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = secret_file(directory.path(), "password", PASSWORD);
    let job = [
        "run",
        "-r",
        "job",
        "sh",
        "-c",
        "ps -eo args; cat /proc/$PPID/cmdline",
    ];
    for (name, value, servers) in [
        (
            "REDLOCK_PASSWORD_FILE",
            file.as_str(),
            urls(&servers, "", ""),
        ),
        (
            "REDLOCK_NOTE",
            "",
            urls(&servers, &format!(":{ENCODED}@"), ""),
        ),
    ] {
        let end = Redlock::new(job)
            .env(name, value)
            .env("REDLOCK_SERVERS", servers)
            .end();
        end.assert_code(0);
        assert!(!end.stdout.contains("s3cret"), "{end:?}");
    }
}

#[test]
fn databases_are_places_of_their_own_and_no_servers_of_their_own() {
    let cluster = Cluster::start(3);
    let fourth = urls(&cluster.servers, "", "/4");
    let job = ["run", "-r", "job", "sh", "-c", "echo ready; read _"];
    let mut holder = Redlock::new(job)
        .env("REDLOCK_SERVERS", &fourth)
        .start_ready();
    assert_eq!(cluster.locks(), [""; 0], "nothing in database 0");
    run_on(&fourth).end().assert_code(75);
    assert_eq!(run_on(&cluster.urls()).end().assert_code(0).stdout, "ran\n");
    holder.write_line("");
    holder.end().assert_code(0);

    let port = cluster.servers[0].port();
    let twice = format!(
        "redis://127.0.0.1:{port}/0 redis://127.0.0.1:{port}/1 {}",
        cluster.servers[1].url()
    );
    let end = run_on(&twice).end();
    end.assert_code(78).assert_says(&[
        &format!("127.0.0.1:{port}"),
        "twice",
        "give each server once",
    ]);
}

#[test]
fn unix_sockets_are_servers_too() {
    let cluster = Cluster::start(3);
    let urls = cluster
        .servers
        .iter()
        .map(|s| format!("redis+unix://{}", s.socket().display()));
    let urls = urls.collect::<Vec<_>>().join(" ");
    assert_eq!(run_on(&urls).end().assert_code(0).stdout, "ran\n");
    // By its run id a server is known behind another address.
    let mixed = format!(
        "{} {} redis+unix://{}",
        cluster.servers[0].url(),
        cluster.servers[1].url(),
        cluster.servers[0].socket().display()
    );
    in_the_way(&cluster.servers[1]);
    run_on(&mixed)
        .end()
        .assert_code(78)
        .assert_says(&["are the same server; give each server once"]);
}

#[test]
fn a_server_with_two_names_has_one_vote_also_where_info_is_forbidden() {
    let cluster = Cluster::start(2);
    let user = [
        "ACL", "SETUSER", "me", "on", ">sesame", "~*", "&*", "+@all", "-info",
    ];
    for server in &cluster.servers {
        let _: () = server.ask(&user);
    }
    let socket = cluster.servers[0].socket().display().to_string();
    let urls = format!(
        "redis://me:sesame@127.0.0.1:{} redis+unix://{socket}?user=me&password=sesame redis://me:sesame@127.0.0.1:{}",
        cluster.servers[0].port(),
        cluster.servers[1].port(),
    );
    in_the_way(&cluster.servers[1]);
    run_on(&urls)
        .end()
        .assert_code(78)
        .assert_says(&[&socket, "are the same server; give each server once"]);
    assert_eq!(cluster.servers[0].locks(), [""; 0]);
}

#[test]
fn the_same_server_twice_is_refused_also_by_another_name() {
    let cluster = Cluster::start(2);
    let port = cluster.servers[0].port();
    for other in ["127.0.0.1", "localhost", "[::1]"] {
        let urls = format!(
            "redis://127.0.0.1:{port} redis://{other}:{port} {}",
            cluster.servers[1].url()
        );
        // ::1 is another address of the same server, as only its run id can tell.
        in_the_way(&cluster.servers[1]);
        run_on(&urls)
            .end()
            .assert_code(78)
            .assert_says(&["give each server once"]);
        assert_eq!(cluster.servers[0].locks(), [""; 0]);
    }
}

#[test]
fn an_answer_that_was_cut_off_is_told_as_that() {
    let listeners: Vec<TcpListener> = (0..3)
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"))
        .collect();
    let urls: Vec<String> = listeners
        .iter()
        .map(|listener| format!("redis://{}", listener.local_addr().expect("it is bound")))
        .collect();
    for listener in listeners {
        // It ends with the tests: nobody knows how often it is asked.
        thread::spawn(move || {
            for mut client in listener.incoming().map_while(Result::ok) {
                let _ = client.read(&mut [0; 8 * 1024]);
                let _ = client.write_all(b"*3\r\n$7\r\ngran");
            }
        });
    }
    let end = run_on(&urls.join(",")).end();
    end.assert_code(69);
    let told = "the connection was closed in the middle of an answer";
    assert!(end.stderr.contains(told), "{end:?}");
}
