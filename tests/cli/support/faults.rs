//! Ways in which a server can be no good.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use super::server::free_port;
use super::{Server, eventually};

/// A node that cannot vote, kept in its state as long as this value lives.
pub struct BadNode {
    /// What is wrong with it, for the message of a test that fails.
    pub what: &'static str,
    /// How it is given to redlock.
    pub url: String,
    /// What our message says about it.
    pub said: &'static str,
    /// The server behind it, if there is one.
    _server: Option<Server>,
}

impl BadNode {
    /// How messages call it.
    pub fn name(&self) -> &str {
        self.url.trim_start_matches("redis://")
    }

    /// Nobody listens.
    pub fn refusing() -> Self {
        let url = format!("redis://127.0.0.1:{}", free_port());
        Self {
            what: "refuses connections",
            url,
            said: "connection refused",
            _server: None,
        }
    }

    /// The kernel accepts, and nobody answers.
    pub fn hanging() -> Self {
        let server = Server::start();
        server.hang();
        Self::of("hangs", server, "no answer within")
    }

    /// Something else listens there.
    pub fn babbling() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        thread::spawn(move || {
            for mut client in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || babble(&mut client));
            }
        });
        let url = format!("redis://127.0.0.1:{port}");
        Self {
            what: "answers garbage",
            url,
            said: "not Redis' protocol",
            _server: None,
        }
    }

    /// A replica, which takes no writes.
    pub fn replica() -> Self {
        let nobody = free_port().to_string();
        let server = Server::with(&["--replicaof", "127.0.0.1", &nobody]);
        Self::of("is a read-only replica", server, "READONLY")
    }

    /// Memory is full.
    pub fn full() -> Self {
        let server = Server::with(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]);
        let error = redis::cmd("SET")
            .arg("x")
            .arg("y")
            .exec(&mut server.client());
        assert!(
            error.is_err_and(|error| error.code() == Some("OOM")),
            "memory is full"
        );
        Self::of("is out of memory", server, "OOM")
    }

    /// It reads its data from disk, slowly.
    pub fn loading() -> Self {
        let mut server = Server::with(&["--key-load-delay", "0", "--dbfilename", "slow.rdb"]);
        let keys = "for i = 1, 100000 do redis.call('SET', 'filler:' .. i, i) end";
        let _: () = server.ask(&["EVAL", keys, "0"]);
        let _: () = server.ask(&["SAVE"]);
        server.kill();
        // 100,000 keys at half a millisecond each take longer than any test.
        server.restart_with(&[
            "--dbfilename",
            "slow.rdb",
            "--key-load-delay",
            "500",
            "--loading-process-events-interval-bytes",
            "1024",
        ]);
        eventually("a server that is loading", || {
            let error = redis::cmd("GET").arg("x").query::<()>(&mut server.client());
            error.is_err_and(|error| error.code() == Some("LOADING"))
        });
        Self::of("is loading", server, "LOADING")
    }

    /// The user may not run scripts.
    pub fn denying() -> Self {
        let server = Server::start();
        let _: () = server.ask(&["ACL", "SETUSER", "default", "-eval"]);
        Self::of("denies by ACL", server, "NOPERM")
    }

    /// It wants a password that it is not given.
    pub fn locked() -> Self {
        let server = Server::with(&["--requirepass", "open sesame"]);
        Self::of("wants a password", server, "NOAUTH")
    }

    /// Every kind that is an outage when a majority is like it.
    pub fn failing() -> Vec<fn() -> Self> {
        vec![
            Self::refusing,
            Self::hanging,
            Self::babbling,
            Self::replica,
            Self::full,
            Self::loading,
        ]
    }

    /// It would grant a lock that nobody could keep.
    pub fn unable_to_extend() -> Self {
        let server = Server::start();
        let _: () = server.ask(&["ACL", "SETUSER", "default", "-pexpire"]);
        Self::of("forbids to extend", server, "can't run this command")
    }

    /// Every kind that is a refusal when a majority is like it.
    pub fn refusals() -> Vec<fn() -> Self> {
        vec![Self::denying, Self::locked, Self::unable_to_extend]
    }

    fn of(what: &'static str, server: Server, said: &'static str) -> Self {
        Self {
            what,
            url: server.url(),
            said,
            _server: Some(server),
        }
    }
}

fn babble(client: &mut TcpStream) {
    let mut request = [0; 4096];
    while client.read(&mut request).is_ok_and(|length| length > 0) {
        if client
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .is_err()
        {
            return;
        }
    }
}

/// A fresh file with `text` that only we can read.
pub fn secret_file(directory: &std::path::Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, text).expect("the directory is ours");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&path, mode).expect("the file is ours");
    path.to_str().expect("a plain path").to_owned()
}
