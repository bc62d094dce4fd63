//! How a connection to a server is opened.
//!
//! Everything that costs a round trip or hangs on somebody is decided here: no handshake where none
//! is needed, and no time limit of the library's own, since the caller's covers all of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ErrorKind, ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError,
    RedisResult,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

use super::failure;
use super::password::Password;
use super::stream::Way;
use crate::node::endpoint::{Address, Secret};
use crate::node::{Answer, Endpoint, NodeError};

/// How long the name of a server may take that is asked why it hangs up. The caller's limit is in
/// force as well.
const GREETING_LIMIT: Duration = Duration::from_secs(1);

/// Why there cannot even be a way to a node: the configuration's fault.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A certificate or key cannot be read, or is none.
    #[error("{setting} {file}: {reason}")]
    TlsFile {
        /// What named it.
        setting: String,
        /// Which file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No certificate could be for a host of this name.
    #[error("'{0}' is no name of a host that a certificate could be for")]
    HostName(String),
    /// Nobody could be trusted.
    #[error(
        "this system has no certificate authorities{0}; install them (ca-certificates), or name one \
         with --tls-ca"
    )]
    NoAuthorities(String),
    /// `rediss://` without the cargo feature `tls`.
    #[error("this redlock was built without TLS; use redis://, or build it with --features tls")]
    WithoutTls,
}

/// A connection, which is closed when its last clone is dropped.
#[derive(Clone)]
pub struct Connection {
    line: MultiplexedConnection,
    _driver: Arc<Driver>,
}

impl Connection {
    /// Where commands are sent over. Not a public field: an `async` block that used it alone would
    /// leave the driver behind, whose end is the connection's.
    pub fn line(&mut self) -> &mut MultiplexedConnection {
        &mut self.line
    }
}

/// Who writes what is sent, and reads what is answered. Without an end by force it would wait for
/// an answer that may never come.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Opens connections to one server.
pub struct Connector {
    way: Way,
    endpoint: Endpoint,
    password: Password,
    /// The server has answered a command.
    has_answered: AtomicBool,
}

impl Connector {
    /// What opens connections to `endpoint`. Reads the TLS files if there are any.
    pub fn new(endpoint: &Endpoint) -> Result<Self, SetupError> {
        Ok(Self {
            way: Way::to(&endpoint.address)?,
            endpoint: endpoint.clone(),
            password: Password::new(endpoint.credentials.password.clone()),
            has_answered: AtomicBool::new(false),
        })
    }

    /// See [`super::RedisNode::resolve`].
    pub async fn resolve(&self, limit: Duration) -> Answer<Vec<SocketAddr>> {
        self.way.resolve(limit).await
    }

    /// Whether a connection that is being opened has got as far as a handshake of TLS.
    pub fn waits_for_a_handshake(&self) -> bool {
        self.way.waits_for_a_handshake()
    }

    /// Opens a connection that is told what is published on `channels`, beside the one for
    /// commands: that one speaks the older protocol, which needs no handshake. The caller bounds
    /// it by `limit`.
    pub async fn listen(
        &self,
        channels: &[String],
        limit: Duration,
    ) -> Answer<(Connection, UnboundedReceiver<PushInfo>)> {
        let failed = |error| self.failure(&error);
        let (push, pushed) = unbounded_channel();
        let config = config().set_push_sender(push);
        let opened = self.open(ProtocolVersion::RESP3, &config, limit).await?;
        let mut connection = opened.map_err(failed)?;
        let subscribed = connection.line().subscribe(channels).await;
        subscribed.map_err(failed)?;
        Ok((connection, pushed))
    }

    /// Opens a connection. The caller bounds it by `limit`.
    pub async fn connect(&self, limit: Duration) -> Answer<Connection> {
        match self.open(ProtocolVersion::RESP2, &config(), limit).await? {
            Ok(connection) => Ok(connection),
            Err(error) => Err(self.explained(&error).await),
        }
    }

    /// Opens a stream, and says on it who we are. The answer is the way's, the result the server's.
    async fn open(
        &self,
        protocol: ProtocolVersion,
        config: &AsyncConnectionConfig,
        limit: Duration,
    ) -> Answer<RedisResult<Connection>> {
        let password = self.password.secret();
        let opened = self.open_once(protocol, config, limit).await?;
        match (&opened, password) {
            (Err(error), Some(password))
                if is_denial(error) && self.password.is_newer_than(&password).await =>
            {
                self.open_once(protocol, config, limit).await
            }
            _ => Ok(opened),
        }
    }

    async fn open_once(
        &self,
        protocol: ProtocolVersion,
        config: &AsyncConnectionConfig,
        limit: Duration,
    ) -> Answer<RedisResult<Connection>> {
        let identity = self.identity().set_protocol(protocol);
        let stream = self.way.open(limit).await?;
        let opened =
            MultiplexedConnection::new_with_config(&identity, stream, config.clone()).await;
        Ok(opened.map(|(line, driver)| Connection {
            line,
            _driver: Arc::new(Driver(tokio::spawn(driver))),
        }))
    }

    /// Who we are, and which database we want.
    fn identity(&self) -> RedisConnectionInfo {
        let mut identity = RedisConnectionInfo::default()
            .set_db(i64::from(self.endpoint.database))
            // Naming ourselves would cost a round trip.
            .set_skip_set_lib_name();
        let user = self.endpoint.credentials.user.as_ref();
        if let Some(user) = user {
            identity = identity.set_username(user);
        }
        // The library tells no name without a password, and a user who needs none takes any.
        let any = user.map(|_| "");
        let password = self.password.secret();
        if let Some(password) = password.as_ref().map(Secret::reveal).or(any) {
            identity = identity.set_password(password);
        }
        identity
    }

    /// What came of a command that the server was sent.
    pub async fn judged<T>(&self, reply: RedisResult<T>) -> Answer<T> {
        match reply {
            Ok(answer) => {
                self.has_answered.store(true, Ordering::Relaxed);
                Ok(answer)
            }
            Err(error) => Err(self.explained(&error).await),
        }
    }

    /// What `error` means, if it is from a server that may not let us in at all. Also one that has
    /// let us in before may have no room by now, and then our password seems to be wrong.
    async fn explained(&self, error: &RedisError) -> NodeError {
        let is_stranger = !self.has_answered.load(Ordering::Relaxed);
        let greeting = if is_denial(error) || is_stranger && hung_up(error) {
            self.greeting().await
        } else {
            None
        };
        self.failure(greeting.as_ref().unwrap_or(error))
    }

    /// What `error` means. A port with TLS hangs up on who speaks without it, and a proxy on
    /// everybody while its server is away.
    pub fn failure(&self, error: &RedisError) -> NodeError {
        let is_plain = matches!(self.endpoint.address, Address::Tcp { .. });
        let password = self.password.secret();
        match failure::of(error, password.as_ref().map(Secret::reveal)) {
            NodeError::Refused(text) if is_denial(error) => {
                let trouble = self.password.trouble();
                let trouble = trouble.map(|it| format!("; its password was not read again: {it}"));
                NodeError::Refused(text + &trouble.unwrap_or_default())
            }
            NodeError::Unreachable(text)
                if is_plain && hung_up(error) && !self.has_answered.load(Ordering::Relaxed) =>
            {
                NodeError::Unreachable(format!(
                    "{text}, as from a port with TLS (rediss://) or a proxy whose server is away"
                ))
            }
            failure => failure,
        }
    }

    /// What a server says to whoever comes, and hangs up: it has no room for one more client, or is
    /// for those of its own host. The library keeps to itself what was answered to a password, and
    /// what came before anything was asked.
    async fn greeting(&self) -> Option<RedisError> {
        let mut stream = self.way.open(GREETING_LIMIT).await.ok()?;
        // Who lets us in answers this one instead. Who does not may be gone already.
        let _ = stream.write_all(b"PING\r\n").await;
        let mut said = [0; 1024];
        let length = stream.read(&mut said).await.ok()?;
        let said = redis::parse_redis_value(&said[..length]).ok()?;
        let error = said.extract_error().err()?;
        let is_greeting = error.code() == Some("DENIED") || failure::is_full(&error);
        is_greeting.then_some(error)
    }
}

/// Whether the server does not believe who we say we are. The library tells of the newer protocol's
/// greeting what the server said.
fn is_denial(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed || error.code() == Some("WRONGPASS")
}

/// Whether a connection was there, and the server has ended it.
fn hung_up(error: &RedisError) -> bool {
    error.is_connection_dropped() && !error.is_connection_refusal()
}

/// No time limit of the library's own is in force: the caller's covers everything.
fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
}
