//! What the host name of a server is resolved to.
//!
//! The system is asked anew for every connection, since a server may have moved. But a name server
//! that is away must not cost a lock whose servers are all there: then the addresses of before
//! count, unless it has said that there is no such name any more. A thread is started for nothing
//! but a name, and it may be refused: that is an answer like any other.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{blocking, failure};
use crate::errno;
use crate::node::{Answer, NodeError};

/// What is known of one server's name.
#[derive(Clone, Default)]
pub struct Lookup(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// What was answered to [`Lookup::resolve`], until a connection has used it.
    fresh: Option<Answer<Vec<SocketAddr>>>,
    /// The addresses that were found last.
    last: Vec<SocketAddr>,
}

impl Lookup {
    /// The addresses of `host`, and for the next connection as well.
    ///
    /// # Errors
    ///
    /// If it has none, or none was found within `limit`.
    pub async fn resolve(&self, host: &str, port: u16, limit: Duration) -> Answer<Vec<SocketAddr>> {
        if let Some(address) = literal(host, port) {
            return Ok(vec![address]);
        }
        let found = match tokio::time::timeout(limit, self.ask(host, port)).await {
            Err(_) => Err(NodeError::TimedOut(limit)),
            Ok(found) => found.map_err(|error| NodeError::Unreachable(error.to_string())),
        };
        self.known().fresh = Some(found.clone());
        found
    }

    /// The addresses for one connection: of now, if they are found within half of the `limit` on
    /// connecting, else of before.
    ///
    /// # Errors
    ///
    /// If there are none, or what [`Lookup::resolve`] has just said.
    pub async fn addresses(
        &self,
        host: &str,
        port: u16,
        limit: Duration,
    ) -> Answer<Vec<SocketAddr>> {
        if let Some(address) = literal(host, port) {
            return Ok(vec![address]);
        }
        let fresh = self.known().fresh.take();
        if let Some(fresh) = fresh {
            return fresh;
        }
        let asking = self.ask(host, port);
        let found = if self.known().last.is_empty() {
            asking.await
        } else {
            let asked = tokio::time::timeout(limit / 2, asking).await;
            asked.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
        };
        let last = self.known().last.clone();
        match found {
            Err(_) if !last.is_empty() => Ok(last),
            found => found.map_err(|error| failure::of(&error.into(), None)),
        }
    }

    /// Asks the system. What it answers too late for us is known the next time.
    async fn ask(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let (lookup, name) = (self.clone(), host.to_owned());
        let ask = move || {
            let found = (name.as_str(), port).to_socket_addrs();
            let found = found.map(Iterator::collect::<Vec<_>>);
            match &found {
                Ok(found) => lookup.known().last.clone_from(found),
                // Who has its address now may be somebody else.
                Err(error) if is_denial(error) => lookup.known().last.clear(),
                Err(_) => {}
            }
            found
        };
        let found = blocking::answer(ask).await.flatten();
        found.map_err(|error| {
            let reason = errno::reason(&error);
            let text = format!("the name {host} was not resolved: {reason}");
            io::Error::new(error.kind(), text)
        })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether somebody who knows says that there is no such name, or no address of it: in glibc's
/// words and musl's, since the number is not told.
fn is_denial(error: &io::Error) -> bool {
    let text = error.to_string();
    let denials = ["not known", "No address associated", "does not resolve"];
    denials.iter().any(|denial| text.contains(denial))
}

/// The address that `host` is, if it is no name.
fn literal(host: &str, port: u16) -> Option<SocketAddr> {
    Some(SocketAddr::new(host.parse::<IpAddr>().ok()?, port))
}
