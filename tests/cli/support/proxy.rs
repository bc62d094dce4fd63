//! A TCP proxy in front of one server: delays, counts, and drops.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::{Cluster, Server};

/// What happens to a piece of bytes on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is passed on.
    Pass,
    /// It is passed on later.
    Delay(Duration),
    /// It is thrown away, and the connection stays open.
    Drop,
    /// The connection is closed instead.
    Close,
}

/// Decides the fates of requests and replies. A piece is what one read gives: one command or reply
/// of ours, which are small.
struct Rules {
    requests: Fate,
    /// That of the requests that say this.
    of_words: Option<(&'static [u8], Fate)>,
    replies: Fate,
    /// How many replies are to come before a connection is closed instead of the next one.
    until_close: Option<usize>,
}

impl Rules {
    fn of_request(&self, piece: &[u8]) -> Fate {
        match self.of_words {
            Some((words, fate)) if piece.windows(words.len()).any(|part| part == words) => fate,
            _ => self.requests,
        }
    }

    fn of_reply(&mut self) -> Fate {
        if self.until_close == Some(0) {
            self.until_close = None;
            return Fate::Close;
        }
        self.until_close = self.until_close.map(|rest| rest - 1);
        self.replies
    }
}

/// The proxy; its threads end when both sides of their connections are closed.
pub struct Proxy {
    port: u16,
    target: Arc<AtomicU16>,
    rules: Arc<Mutex<Rules>>,
    requests: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    /// How many of the first connections lead nowhere any more.
    forgotten: Arc<AtomicUsize>,
}

/// A proxy in front of each server of `cluster`, and what `REDLOCK_SERVERS` is set to.
pub fn before_each(cluster: &Cluster) -> (Vec<Proxy>, String) {
    let proxies: Vec<Proxy> = cluster.servers.iter().map(Proxy::before).collect();
    let urls: Vec<String> = proxies.iter().map(Proxy::url).collect();
    (proxies, urls.join(","))
}

impl Proxy {
    /// In front of `server`, passing everything on.
    pub fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let proxy = Self {
            port,
            target: Arc::new(AtomicU16::new(server.port())),
            rules: Arc::new(Mutex::new(Rules {
                requests: Fate::Pass,
                of_words: None,
                replies: Fate::Pass,
                until_close: None,
            })),
            requests: Arc::default(),
            connections: Arc::default(),
            forgotten: Arc::default(),
        };
        let (rules, requests) = (Arc::clone(&proxy.rules), Arc::clone(&proxy.requests));
        let connections = Arc::clone(&proxy.connections);
        let forgotten = Arc::clone(&proxy.forgotten);
        let target = Arc::clone(&proxy.target);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let serial = connections.fetch_add(1, Ordering::SeqCst);
                let old = Arc::clone(&forgotten);
                let target = ("127.0.0.1", target.load(Ordering::SeqCst));
                let Ok(upstream) = TcpStream::connect(target) else {
                    continue;
                };
                let _ = client.set_nodelay(true);
                let _ = upstream.set_nodelay(true);
                let (from, to) = (clone(&client), clone(&upstream));
                let (rules_in, requests) = (Arc::clone(&rules), Arc::clone(&requests));
                thread::spawn(move || {
                    pump(from, to, |piece| {
                        requests.fetch_add(1, Ordering::SeqCst);
                        if serial < old.load(Ordering::SeqCst) {
                            return Fate::Drop;
                        }
                        let rules = rules_in.lock().expect("no test panics with it");
                        rules.of_request(piece)
                    });
                });
                let rules_out = Arc::clone(&rules);
                thread::spawn(move || {
                    pump(upstream, client, |_| {
                        rules_out.lock().expect("no test panics with it").of_reply()
                    });
                });
            }
        });
        proxy
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn set_requests(&self, fate: Fate) {
        self.rules.lock().expect("no test panics with it").requests = fate;
    }

    /// The fate of those requests alone that say `words`.
    pub fn set_requests_that_say(&self, words: &'static str, fate: Fate) {
        let of_words = Some((words.as_bytes(), fate));
        self.rules.lock().expect("no test panics with it").of_words = of_words;
    }

    pub fn set_replies(&self, fate: Fate) {
        self.rules.lock().expect("no test panics with it").replies = fate;
    }

    /// The connection with the reply after the next `replies` is closed instead; only this one.
    pub fn close_after(&self, replies: usize) {
        self.rules
            .lock()
            .expect("no test panics with it")
            .until_close = Some(replies);
    }

    /// From the next connection on the address is that of `server`.
    pub fn lead_to(&self, server: &Server) {
        self.target.store(server.port(), Ordering::SeqCst);
    }

    /// As a firewall that forgets the connections which are open: nobody is told.
    pub fn forget(&self) {
        self.forgotten.store(self.connections(), Ordering::SeqCst);
    }

    /// How many pieces went from clients to the server.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// How many connections were opened.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn clone(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a socket can be cloned")
}

fn pump(mut from: TcpStream, mut to: TcpStream, fate: impl Fn(&[u8]) -> Fate) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length) = from.read(&mut piece) {
        if length == 0 {
            break;
        }
        match fate(&piece[..length]) {
            Fate::Pass => {}
            Fate::Delay(delay) => thread::sleep(delay),
            Fate::Drop => continue,
            Fate::Close => break,
        }
        if to.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
