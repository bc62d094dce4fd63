//! Where a server is and how we identify ourselves to it. Plain data, made by `settings`; nothing
//! here opens a connection, and no formatting of it shows a password.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// A password. `Debug` shows stars; there is no `Display`.
#[derive(Clone)]
pub struct Secret {
    text: String,
    again: Option<Again>,
}

/// Reads a password from where it came from; the error says why it cannot.
type Again = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

impl Secret {
    /// Hides `text`.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self { text, again: None }
    }

    /// Hides `text`, of which there may be a newer one: `again` reads it, and may take its time.
    #[must_use]
    pub fn renewable(
        text: String,
        again: impl Fn() -> Result<String, String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            text,
            again: Some(Arc::new(again)),
        }
    }

    /// Looks for a newer one, which may take its time.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    pub fn newer(&self) -> Result<Option<Self>, String> {
        let Some(again) = &self.again else {
            return Ok(None);
        };
        let text = again()?;
        Ok((text != self.text).then(|| Self {
            text,
            again: self.again.clone(),
        }))
    }

    /// The password itself, for the server it belongs to and for nobody else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Who we are to a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The ACL user; the server's default user if there is none.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
}

/// Files for `rediss://`, all in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate authorities that replace the system's.
    pub ca: Option<TlsFile>,
    /// Our own certificate and its key.
    pub client: Option<(TlsFile, TlsFile)>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFile {
    /// Where it is.
    pub path: PathBuf,
    /// What messages call the setting that names it: `--tls-ca`, `REDLOCK_TLS_CA`.
    pub setting: String,
}

/// The way to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `redis://`
    Tcp {
        /// A name or an address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// `rediss://`
    Tls {
        /// A name or an address, without brackets.
        host: String,
        /// The port.
        port: u16,
        /// Whom we trust and who we are.
        files: TlsFiles,
    },
    /// `redis+unix://`
    Unix(PathBuf),
}

/// One configured server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The way to it.
    pub address: Address,
    /// The number of the database.
    pub database: u32,
    /// Who we are to it.
    pub credentials: Credentials,
}

impl Endpoint {
    /// Whether its host is a name, which has to be looked up, and not an IP address.
    #[must_use]
    pub fn has_a_name(&self) -> bool {
        match &self.address {
            Address::Tcp { host, .. } | Address::Tls { host, .. } => {
                host.parse::<IpAddr>().is_err()
            }
            Address::Unix(_) => false,
        }
    }
}

impl fmt::Display for Endpoint {
    /// `host:port`, `[v6]:port` or the path of the socket: what messages call the node.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Tcp { host, port } | Address::Tls { host, port, .. } if host.contains(':') => {
                write!(f, "[{host}]:{port}")
            }
            Address::Tcp { host, port } | Address::Tls { host, port, .. } => {
                write!(f, "{host}:{port}")
            }
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}
