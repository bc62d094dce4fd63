//! Servers with TLS: whom redlock trusts, who it is itself, and what it says when that fails.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::socket::{Backlog, listen};
use tempfile::TempDir;

use crate::support::faults::secret_file;
use crate::support::server::free_port;
use crate::support::{Redlock, Server};

/// A certificate authority and certificates of one key: a server's for `localhost` and 127.0.0.1, one
/// for another host, and one of the first version of X.509, which has no room for names; and an
/// authority that has signed nothing of it.
struct Certificates(TempDir);

impl Certificates {
    fn make() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let script = "set -e
            for name in ca other; do
                openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
                    -subj /CN=test-$name -keyout $name.key -out $name.crt
            done
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
            .current_dir(directory.path())
            .output();
        let made = made.expect("openssl is installed; tests/run does that");
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{said}");
        Self(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// A server that shows its certificate, and listens with TLS at this port.
    fn server(&self) -> (u16, Server) {
        let port = free_port();
        let server = Server::with(&[
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            &self.file("server.crt"),
            "--tls-key-file",
            &self.file("server.key"),
            "--tls-ca-cert-file",
            &self.file("ca.crt"),
            "--tls-auth-clients",
            "optional",
        ]);
        (port, server)
    }

    /// A run on three servers at `ports`, on a system that trusts the other authority alone.
    fn run_on(&self, ports: &[u16]) -> Redlock {
        let url = |port: &u16| format!("rediss://127.0.0.1:{port}");
        let urls = ports.iter().map(url).collect::<Vec<_>>().join(" ");
        Redlock::new(["run", "-v", "-r", "job", "echo", "ran"])
            .env("REDLOCK_SERVERS", urls)
            // A handshake of a debug build takes its time on a busy machine.
            .env("REDLOCK_NODE_TIMEOUT", "10s")
            .env("SSL_CERT_FILE", self.path("other.crt"))
    }
}

/// A run on one server at `url`, on a system that trusts somebody.
fn run_at(url: &str, certificates: &Certificates) -> Redlock {
    let run = ["run", "--any-quorum", "--server", url, "-r", "job", "true"];
    Redlock::new(run).env("SSL_CERT_FILE", certificates.path("other.crt"))
}

fn three(certificates: &Certificates) -> (Vec<u16>, Vec<Server>) {
    (0..3).map(|_| certificates.server()).collect()
}

fn configure(servers: &[Server], parameter: &str, value: &str) {
    for server in servers {
        let _: () = server.ask(&["CONFIG", "SET", parameter, value]);
    }
}

#[test]
fn a_server_is_checked_against_an_authority() {
    let certificates = Certificates::make();
    let (ports, servers) = three(&certificates);
    let run = || certificates.run_on(&ports);
    let ca = certificates.file("ca.crt");

    let unknown = run().end();
    let told = unknown.assert_code(77);
    told.assert_says(&["certificate", "--tls-ca"]);

    let end = run().env("REDLOCK_TLS_CA", &ca).end();
    assert_eq!(end.assert_code(0).stdout, "ran\n");
    let end = run().env("SSL_CERT_FILE", &ca).end();
    assert_eq!(end.assert_code(0).stdout, "ran\n");

    let elsewhere = certificates.file("elsewhere.crt");
    configure(&servers, "tls-cert-file", &elsewhere);
    let end = run().env("REDLOCK_TLS_CA", &ca).end();
    let advice = "name the server in its URL as its certificate does";
    end.assert_code(77).assert_says(&[advice]);
}

#[test]
fn a_server_may_want_a_certificate() {
    let certificates = Certificates::make();
    let (ports, servers) = three(&certificates);
    let run = || {
        let run = certificates.run_on(&ports);
        run.env("REDLOCK_TLS_CA", certificates.file("ca.crt"))
    };
    configure(&servers, "tls-auth-clients", "yes");
    let ours = run()
        .env("REDLOCK_TLS_CERT", certificates.file("server.crt"))
        .env("REDLOCK_TLS_KEY", certificates.file("server.key"))
        .end();
    assert_eq!(ours.assert_code(0).stdout, "ran\n");
    let nobody = run().end();
    nobody.assert_code(77).assert_says(&["--tls-cert"]);
    configure(&servers, "tls-protocols", "TLSv1.2");
    let nobody = run().end();
    assert!(nobody.assert_code(69).stderr.contains("--tls-cert"));
}

#[test]
fn a_file_that_makes_no_sense_is_told_before_anybody_is_asked() {
    let certificates = Certificates::make();
    let file = |name: &str| certificates.file(name);
    let nobody = [free_port(), free_port(), free_port()];
    let run = || certificates.run_on(&nobody);
    let (cert, key, missing) = (file("server.crt"), file("server.key"), file("nobody.crt"));

    let end = run().env("REDLOCK_TLS_CA", &missing).end();
    end.assert_code(78)
        .assert_says(&["REDLOCK_TLS_CA", &missing]);
    let text = secret_file(certificates.0.path(), "text", "no certificate");
    let end = run().env("REDLOCK_TLS_CA", &text).end();
    end.assert_code(78).assert_says(&[&text]);

    let ours = |cert: &str, key: &str| {
        let run = run().env("REDLOCK_TLS_CERT", cert);
        run.env("REDLOCK_TLS_KEY", key).end()
    };
    let other_key = file("ca.key");
    let end = ours(&cert, &other_key);
    end.assert_code(78)
        .assert_says(&["REDLOCK_TLS_KEY", &other_key, "not the key of", &cert]);
    let old = file("v1.crt");
    let end = ours(&old, &key);
    end.assert_code(78)
        .assert_says(&["REDLOCK_TLS_CERT", &old, "version 3"]);
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIF\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let encrypted = secret_file(certificates.0.path(), "encrypted.key", encrypted);
    let end = ours(&cert, &encrypted);
    end.assert_code(78)
        .assert_says(&["REDLOCK_TLS_KEY", &encrypted, "the key is encrypted"]);
}

#[test]
fn who_names_an_authority_needs_none_of_the_system() {
    let certificates = Certificates::make();
    let (ports, _servers) = three(&certificates);
    let without = || {
        let run = certificates.run_on(&ports);
        let run = run.env("SSL_CERT_FILE", certificates.path("nothing.crt"));
        run.env("SSL_CERT_DIR", certificates.path("nothing"))
    };
    let named = without().env("REDLOCK_TLS_CA", certificates.file("ca.crt"));
    assert_eq!(named.end().assert_code(0).stdout, "ran\n");
    let end = without().end();
    end.assert_code(78)
        .assert_says(&["no certificate authorities", "nothing", "--tls-ca"]);
}

#[test]
fn an_authority_of_the_system_that_cannot_be_read_is_in_nobodys_way() {
    let certificates = Certificates::make();
    let (ports, _servers) = three(&certificates);
    let system = tempfile::tempdir().expect("a temporary directory");
    std::fs::copy(certificates.path("ca.crt"), system.path().join("good.pem")).expect("a copy");
    let half = "-----BEGIN CERTIFICATE-----\nMIIC\n";
    std::fs::write(system.path().join("half.pem"), half).expect("a file");
    let run = certificates.run_on(&ports);
    let end = run.env("SSL_CERT_DIR", system.path()).end();
    assert_eq!(end.assert_code(0).stdout, "ran\n");
}

#[test]
fn a_port_without_tls_is_named_as_what_it_is_likely_to_be() {
    let server = Server::start();
    let url = server.url().replace("redis:", "rediss:");
    let end = run_at(&url, &Certificates::make()).end();
    let reason = "as from a server that hangs or a port without TLS";
    end.assert_code(69)
        .assert_says(&[&server.name(), "no TLS handshake within", reason]);
}

#[test]
fn a_server_that_cannot_be_reached_is_not_taken_for_one_without_tls() {
    let (_listener, _crowd, port) = deaf_listener();
    let url = format!("rediss://127.0.0.1:{port}");
    let end = run_at(&url, &Certificates::make()).end();
    end.assert_code(69).assert_says(&["no answer within"]);
    assert!(!end.stderr.contains("TLS"), "{end:?}");
}

#[test]
fn a_server_that_hangs_after_the_handshake_is_not_taken_for_one_without_tls() {
    let certificates = Certificates::make();
    let (port, _server) = mute_server(&certificates);
    let url = format!("rediss://:secret@127.0.0.1:{port}");
    let run = run_at(&url, &certificates).env("REDLOCK_TLS_CA", certificates.path("ca.crt"));
    // A handshake takes its time in a debug build; one attempt is enough.
    let run = run.env("REDLOCK_NODE_TIMEOUT", "2s");
    let end = run.env("REDLOCK_WAIT", "1ms").end();
    end.assert_code(69).assert_says(&["no answer within"]);
    assert!(!end.stderr.contains("TLS"), "{end:?}");
}

#[test]
fn a_port_with_tls_is_named_as_what_it_is_likely_to_be() {
    let certificates = Certificates::make();
    let (port, _server) = certificates.server();
    let reason = "as from a port with TLS (rediss://) or a proxy whose server is away";
    for identity in ["", ":secret@"] {
        let url = format!("redis://{identity}127.0.0.1:{port}");
        let end = run_at(&url, &certificates).end();
        end.assert_code(69).assert_says(&[reason]);
        let doctor = Redlock::new(["doctor", "--any-quorum", "--server", &url]).end();
        assert!(doctor.stdout.contains(reason), "{doctor:?}");
    }
    let nobody = format!("redis://127.0.0.1:{}", free_port());
    let end = run_at(&nobody, &certificates).end();
    end.assert_code(69).assert_says(&["connection refused"]);
    assert!(!end.stderr.contains("TLS"), "{end:?}");
}

/// A server that speaks TLS and nothing else.
fn mute_server(certificates: &Certificates) -> (u16, Started) {
    let port = free_port();
    let mut command = Command::new("openssl");
    let address = format!("127.0.0.1:{port}");
    command
        .args(["s_server", "-accept", &address])
        .args(["-cert", "server.crt", "-key", "server.key"])
        .current_dir(certificates.0.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut server = Started(command.spawn().expect("openssl is installed"));
    let said = server.0.stdout.as_mut().expect("it is piped");
    let mut lines = BufReader::new(said).lines();
    let listens = lines.any(|line| line.is_ok_and(|line| line == "ACCEPT"));
    assert!(listens, "it has left");
    (port, server)
}

/// A process that ends with this value.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A listener whose queue is full: who comes now is not answered at all, as by a host that is off.
fn deaf_listener() -> (TcpListener, Vec<TcpStream>, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listen(&listener, Backlog::new(0).expect("a short queue")).expect("a shorter queue");
    let address = listener.local_addr().expect("its address");
    let patience = Duration::from_millis(300);
    let crowd = std::iter::from_fn(|| TcpStream::connect_timeout(&address, patience).ok());
    let crowd = crowd.take(100).collect();
    (listener, crowd, address.port())
}
