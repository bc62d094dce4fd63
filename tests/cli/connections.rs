//! Every way to a server: TCP, TLS, Unix socket; users, passwords and databases. And no password
//! ever shows.

use std::path::Path;
use std::process::Command;

use crate::support::faults::secret_file;
use crate::support::server::free_port;
use crate::support::{Cluster, Redlock, Server};

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

/// A certificate authority and certificates of one key: a server's for `localhost` and 127.0.0.1, one
/// for another host, and one of the first version of X.509, which has no room for names.
fn certificates(directory: &Path) {
    let script = "set -e
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test-ca \
            -keyout ca.key -out ca.crt
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
            -keyout server.key -out server.csr
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' >names
        openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 \
            -extfile names -out server.crt
        printf 'subjectAltName=DNS:elsewhere' >names
        openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -days 2 \
            -extfile names -out elsewhere.crt
        openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -days 2 -out v1.crt";
    let made = Command::new("sh")
        .args(["-c", script])
        .current_dir(directory)
        .output();
    let made = made.expect("openssl is installed; tests/run does that");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}

/// A server that has its certificate in `directory`, and listens with TLS at this port.
fn server_with_tls(directory: &Path) -> (u16, Server) {
    let file = |name: &str| directory.join(name).display().to_string();
    let (cert, key, ca) = (file("server.crt"), file("server.key"), file("ca.crt"));
    let port = free_port();
    let server = Server::with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "optional",
    ]);
    (port, server)
}

#[test]
fn tls_servers_are_checked_against_an_authority() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    certificates(directory.path());
    let file = |name: &str| directory.path().join(name).display().to_string();
    let (cert, key, ca) = (file("server.crt"), file("server.key"), file("ca.crt"));
    let (ports, servers): (Vec<u16>, Vec<Server>) =
        (0..3).map(|_| server_with_tls(directory.path())).collect();
    let urls = ports
        .iter()
        .map(|port| format!("rediss://127.0.0.1:{port}"))
        .collect::<Vec<_>>()
        .join(" ");

    // A handshake of a debug build takes its time on a busy machine.
    let run = || run_on(&urls).env("REDLOCK_NODE_TIMEOUT", "10s");

    let unknown = run().end();
    unknown
        .assert_code(77)
        .assert_says(&["certificate", "--tls-ca"]);

    let end = run().env("REDLOCK_TLS_CA", &ca).end();
    assert_eq!(end.assert_code(0).stdout, "ran\n");
    // With a certificate of our own.
    let end = run()
        .env("REDLOCK_TLS_CA", &ca)
        .env("REDLOCK_TLS_CERT", &cert)
        .env("REDLOCK_TLS_KEY", &key);
    assert_eq!(end.end().assert_code(0).stdout, "ran\n");

    let missing = file("nobody.crt");
    run()
        .env("REDLOCK_TLS_CA", &missing)
        .end()
        .assert_code(78)
        .assert_says(&["REDLOCK_TLS_CA", &missing]);
    let no_certificate = secret_file(directory.path(), "text", "no certificate");
    let end = run().env("REDLOCK_TLS_CA", &no_certificate).end();
    end.assert_code(78).assert_says(&[&no_certificate]);
    let other_key = file("ca.key");
    run()
        .env("REDLOCK_TLS_CA", &ca)
        .env("REDLOCK_TLS_CERT", &cert)
        .env("REDLOCK_TLS_KEY", &other_key)
        .end()
        .assert_code(78)
        .assert_says(&["REDLOCK_TLS_KEY", &other_key, "not the key of", &cert]);
    let old = file("v1.crt");
    run()
        .env("REDLOCK_TLS_CA", &ca)
        .env("REDLOCK_TLS_CERT", &old)
        .env("REDLOCK_TLS_KEY", &key)
        .end()
        .assert_code(78)
        .assert_says(&["REDLOCK_TLS_CERT", &old, "version 3"]);

    for server in &servers {
        let _: () = server.ask(&["CONFIG", "SET", "tls-auth-clients", "yes"]);
    }
    let nobody = run().env("REDLOCK_TLS_CA", &ca).end();
    nobody.assert_code(77).assert_says(&["--tls-cert"]);
    for server in &servers {
        let _: () = server.ask(&["CONFIG", "SET", "tls-protocols", "TLSv1.2"]);
    }
    let nobody = run().env("REDLOCK_TLS_CA", &ca).end();
    assert!(nobody.assert_code(69).stderr.contains("--tls-cert"));
    for server in &servers {
        let _: () = server.ask(&["CONFIG", "SET", "tls-protocols", "TLSv1.2 TLSv1.3"]);
    }

    for server in &servers {
        let certificate = ["CONFIG", "SET", "tls-cert-file", &file("elsewhere.crt")];
        let _: () = server.ask(&certificate);
    }
    let elsewhere = run().env("REDLOCK_TLS_CA", &ca).end();
    let advice = "name the server in its URL as its certificate does";
    elsewhere.assert_code(77).assert_says(&[advice]);
}

#[test]
fn an_encrypted_key_is_named_as_what_it_is() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    certificates(directory.path());
    let key = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIF\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let key = secret_file(directory.path(), "encrypted.key", key);
    let cert = directory.path().join("ca.crt").display().to_string();
    run_on("rediss://a rediss://b rediss://c")
        .env("REDLOCK_TLS_CERT", &cert)
        .env("REDLOCK_TLS_KEY", &key)
        .end()
        .assert_code(78)
        .assert_says(&["REDLOCK_TLS_KEY", &key, "the key is encrypted"]);
}

#[test]
fn a_port_without_tls_is_named_as_what_it_is_likely_to_be() {
    let server = Server::start();
    let url = server.url().replace("redis:", "rediss:");
    let run = ["run", "--any-quorum", "--server", &url, "-r", "job", "true"];
    let end = Redlock::new(run).end();
    let reason = "as from a port without TLS";
    end.assert_code(69)
        .assert_says(&[&server.name(), "no TLS handshake within", reason]);
}

#[test]
fn a_port_with_tls_is_named_as_what_it_is_likely_to_be() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    certificates(directory.path());
    let (port, _server) = server_with_tls(directory.path());
    let reason = "as from a port with TLS (rediss://)";
    for identity in ["", ":secret@"] {
        let url = format!("redis://{identity}127.0.0.1:{port}");
        let run = ["run", "--any-quorum", "--server", &url, "-r", "job", "true"];
        let end = Redlock::new(run).end();
        end.assert_code(69).assert_says(&[reason]);
        let doctor = Redlock::new(["doctor", "--any-quorum", "--server", &url]).end();
        assert!(doctor.stdout.contains(reason), "{doctor:?}");
    }
    let nobody = format!("redis://127.0.0.1:{}", free_port());
    let run = [
        "run",
        "--any-quorum",
        "--server",
        &nobody,
        "-r",
        "job",
        "true",
    ];
    let end = Redlock::new(run).end();
    end.assert_code(69).assert_says(&["connection refused"]);
    assert!(!end.stderr.contains("TLS"), "{end:?}");
}
