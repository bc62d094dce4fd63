//! Opens the stream that a connection runs over: TCP, TLS over TCP, or a Unix socket.
//!
//! Ours, though the library has one: for each connection with TLS that reads all certificates of
//! the system, also where others are named, and it gives up if it cannot read one of them. Nothing
//! has a time limit here; the caller's covers all of it.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::select_ok;
use redis::io::tcp::socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::connection::SetupError;
use super::failure;
use super::lookup::Lookup;
use super::tls::Tls;
use crate::node::Answer;
use crate::node::endpoint::Address;

/// A firewall that forgets silent connections must not cost a lock.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// What a connection runs over.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// The way to one server.
pub struct Way {
    address: Address,
    tls: Option<Tls>,
    lookup: Lookup,
    /// The last time, somebody was reached who has not shown yet who he is.
    is_in_handshake: AtomicBool,
}

impl Way {
    /// The way to `address`. Reads the TLS files if there are any.
    pub fn to(address: &Address) -> Result<Self, SetupError> {
        let tls = match address {
            Address::Tls { host, files, .. } => Some(Tls::to(host, files)?),
            Address::Tcp { .. } | Address::Unix(_) => None,
        };
        Ok(Self {
            address: address.clone(),
            tls,
            lookup: Lookup::default(),
            is_in_handshake: AtomicBool::new(false),
        })
    }

    /// See [`super::RedisNode::resolve`].
    pub async fn resolve(&self, limit: Duration) -> Answer<Vec<SocketAddr>> {
        match &self.address {
            Address::Tcp { host, port } | Address::Tls { host, port, .. } => {
                self.lookup.resolve(host, *port, limit).await
            }
            Address::Unix(_) => Ok(Vec::new()),
        }
    }

    /// Opens a stream. The caller bounds it by `limit`.
    pub async fn open(&self, limit: Duration) -> Answer<Box<dyn Stream>> {
        self.is_in_handshake.store(false, Ordering::Relaxed);
        let stream = match &self.address {
            Address::Tcp { host, port } | Address::Tls { host, port, .. } => {
                let addresses = self.lookup.addresses(host, *port, limit).await?;
                self.reach_one_of(addresses).await
            }
            Address::Unix(path) => UnixStream::connect(path).await.map(boxed),
        };
        stream.map_err(|error| failure::of(&error.into(), None))
    }

    /// Whether somebody was reached who has not shown by TLS who he is.
    pub fn waits_for_a_handshake(&self) -> bool {
        self.is_in_handshake.load(Ordering::Relaxed)
    }

    /// Whoever is the first to answer.
    async fn reach_one_of(&self, addresses: Vec<SocketAddr>) -> io::Result<Box<dyn Stream>> {
        if addresses.is_empty() {
            return Err(io::Error::other("its name has no address"));
        }
        let attempts = addresses.into_iter().map(|one| Box::pin(self.reach(one)));
        let (stream, _) = select_ok(attempts).await?;
        Ok(stream)
    }

    async fn reach(&self, address: SocketAddr) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(address).await?;
        // It serves without these two as well.
        let _ = stream.set_nodelay(true);
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        match &self.tls {
            None => Ok(boxed(stream)),
            Some(tls) => {
                self.is_in_handshake.store(true, Ordering::Relaxed);
                let stream = tls.over(stream).await?;
                self.is_in_handshake.store(false, Ordering::Relaxed);
                Ok(stream)
            }
        }
    }
}

pub fn boxed(stream: impl Stream + 'static) -> Box<dyn Stream> {
    Box::new(stream)
}
