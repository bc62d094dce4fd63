//! How a connection to a server is opened.
//!
//! Everything that costs a round trip or hangs on somebody is decided here: no handshake where none
//! is needed, and no time limit of the library's own, since the caller's covers all of it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError, RedisResult,
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::names::Names;
use super::{failure, tls};
use crate::node::endpoint::{Address, Credentials, Secret};
use crate::node::{Answer, Endpoint, NodeError};

/// A firewall that forgets silent connections must not cost a lock.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// Why a node cannot even be described to the library: the configuration's fault.
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
    /// The library refuses the description.
    #[error("{0}")]
    Description(String),
    /// `rediss://` without the cargo feature `tls`.
    #[error("this redlock was built without TLS; use redis://, or build it with --features tls")]
    WithoutTls,
}

/// Opens connections to one server.
pub struct Connector {
    client: Client,
    endpoint: Endpoint,
    names: Names,
    /// The server has answered a command.
    has_answered: AtomicBool,
}

impl Connector {
    /// Describes `endpoint` to the library; reads the TLS files if there are any.
    pub fn new(endpoint: &Endpoint) -> Result<Self, SetupError> {
        let client = client(endpoint)?;
        Ok(Self {
            client,
            endpoint: endpoint.clone(),
            names: Names::default(),
            has_answered: AtomicBool::new(false),
        })
    }

    /// The password that must not show in any text.
    fn password(&self) -> Option<&str> {
        Some(self.endpoint.credentials.password.as_ref()?.reveal())
    }

    pub fn speaks_tls(&self) -> bool {
        matches!(self.endpoint.address, Address::Tls { .. })
    }

    /// See [`super::RedisNode::resolve`].
    pub async fn resolve(&self, limit: Duration) -> Answer<Vec<SocketAddr>> {
        let (Address::Tcp { host, port } | Address::Tls { host, port, .. }) =
            &self.endpoint.address
        else {
            return Ok(Vec::new());
        };
        self.names.resolve(host, *port, limit).await
    }

    /// Opens a connection that is told what is published on `channels`, beside the one for
    /// commands: that one speaks the older protocol, which needs no handshake. The caller bounds
    /// it by `limit`.
    pub async fn listen(
        &self,
        channels: &[String],
        limit: Duration,
    ) -> Answer<(MultiplexedConnection, UnboundedReceiver<PushInfo>)> {
        let failed = |error| self.failure(&error);
        let info = self.client.get_connection_info().clone();
        let identity = info.redis_settings().clone();
        let info = info.set_redis_settings(identity.set_protocol(ProtocolVersion::RESP3));
        let client = Client::open(info).map_err(failed)?;
        let (push, pushed) = unbounded_channel();
        let config = self.config(limit)?.set_push_sender(push);
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(failed)?;
        connection.subscribe(channels).await.map_err(failed)?;
        Ok((connection, pushed))
    }

    /// Opens a connection. The caller bounds it by `limit`.
    pub async fn connect(&self, limit: Duration) -> Answer<MultiplexedConnection> {
        let connection = self
            .client
            .get_multiplexed_async_connection_with_config(&self.config(limit)?)
            .await;
        match connection {
            Err(error) if error.kind() == ErrorKind::AuthenticationFailed => {
                let full = self.full(limit).await;
                Err(full.unwrap_or_else(|| self.failure(&error)))
            }
            connection => connection.map_err(|error| self.failure(&error)),
        }
    }

    /// What came of a command that the server was sent.
    pub fn judged<T>(&self, reply: RedisResult<T>) -> Answer<T> {
        match reply {
            Ok(answer) => {
                self.has_answered.store(true, Ordering::Relaxed);
                Ok(answer)
            }
            Err(error) => Err(self.failure(&error)),
        }
    }

    /// What `error` means. A port with TLS hangs up on who speaks without it.
    pub fn failure(&self, error: &RedisError) -> NodeError {
        let is_plain = matches!(self.endpoint.address, Address::Tcp { .. });
        let hung_up = error.is_connection_dropped() && !error.is_connection_refusal();
        match failure::of(error, self.password()) {
            NodeError::Unreachable(text)
                if is_plain && hung_up && !self.has_answered.load(Ordering::Relaxed) =>
            {
                NodeError::Unreachable(format!("{text}, as from a port with TLS (rediss://)"))
            }
            failure => failure,
        }
    }

    /// What a server says that has no room for one more client. The library keeps to itself what
    /// was answered to a password, and this is said to whoever comes, before any password.
    async fn full(&self, limit: Duration) -> Option<NodeError> {
        let info = self.client.get_connection_info().clone();
        let nobody = RedisConnectionInfo::default().set_skip_set_lib_name();
        let client = Client::open(info.set_redis_settings(nobody)).ok()?;
        let config = self.config(limit).ok()?;
        let asked = async {
            let mut connection = client
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            redis::cmd("TIME").query_async::<()>(&mut connection).await
        };
        let error = asked.await.err()?;
        let is_full = error.to_string().contains("max number of clients");
        is_full.then(|| self.failure(&error))
    }

    /// How a connection is opened within `limit`. No time limit of the library's own is in force:
    /// the caller's covers everything.
    fn config(&self, limit: Duration) -> Answer<AsyncConnectionConfig> {
        Ok(AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_dns_resolver(self.names.resolver(limit)?))
    }
}

fn client(endpoint: &Endpoint) -> Result<Client, SetupError> {
    let mut identity = RedisConnectionInfo::default()
        .set_db(i64::from(endpoint.database))
        // Naming ourselves would cost a round trip.
        .set_skip_set_lib_name();
    let Credentials { user, password } = &endpoint.credentials;
    if let Some(user) = user {
        identity = identity.set_username(user);
    }
    // The library tells no name without a password, and a user who needs none takes any.
    let any = user.as_ref().map(|_| "");
    if let Some(password) = password.as_ref().map(Secret::reveal).or(any) {
        identity = identity.set_password(password);
    }
    let tcp = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(TcpKeepalive::new().with_time(KEEPALIVE));
    let describe = |address: ConnectionAddr| -> Result<ConnectionInfo, SetupError> {
        let info = address
            .into_connection_info()
            .map_err(|error| description(&error))?;
        Ok(info.set_redis_settings(identity).set_tcp_settings(tcp))
    };
    match &endpoint.address {
        Address::Tcp { host, port } => {
            let info = describe(ConnectionAddr::Tcp(host.clone(), *port))?;
            Client::open(info).map_err(|error| description(&error))
        }
        Address::Unix(path) => {
            let info = describe(ConnectionAddr::Unix(path.clone()))?;
            Client::open(info).map_err(|error| description(&error))
        }
        Address::Tls { host, port, files } => {
            let address = ConnectionAddr::TcpTls {
                host: host.clone(),
                port: *port,
                insecure: false,
                tls_params: None,
            };
            tls::client(describe(address)?, files)
        }
    }
}

fn description(error: &RedisError) -> SetupError {
    SetupError::Description(failure::text(error))
}
