//! TLS to a server: whom we trust, and who we are. All files are judged before anybody is asked.

#[cfg(feature = "tls")]
pub use self::with_tls::Tls;
#[cfg(not(feature = "tls"))]
pub use self::without_tls::Tls;

#[cfg(feature = "tls")]
mod with_tls {
    use std::io;
    use std::sync::{Arc, OnceLock};

    use rustls::client::Resumption;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
    use rustls::{ClientConfig, Error, RootCertStore};
    use rustls_native_certs::ErrorKind;
    use tokio::net::TcpStream;
    use tokio_rustls::TlsConnector;

    use super::super::connection::SetupError;
    use super::super::stream::{Stream, boxed};
    use crate::errno;
    use crate::node::endpoint::{TlsFile, TlsFiles};

    /// TLS to one host.
    pub struct Tls {
        connector: TlsConnector,
        host: ServerName<'static>,
    }

    impl Tls {
        /// TLS to `host` with these `files`.
        pub fn to(host: &str, files: &TlsFiles) -> Result<Self, SetupError> {
            let name = || SetupError::HostName(host.to_owned());
            let host = ServerName::try_from(host.to_owned()).map_err(|_| name())?;
            // An error here means that there is a provider already.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let trusted = match &files.ca {
                Some(file) => Arc::new(authorities(file)?),
                None => authorities_of_the_system()?,
            };
            let config = ClientConfig::builder().with_root_certificates(trusted);
            let mut config = match &files.client {
                Some((cert, key)) => {
                    let (chain, private) = (chain(cert)?, private(key)?);
                    let config = config.with_client_auth_cert(chain, private);
                    config.map_err(|error| unusable(&error, cert, key))?
                }
                None => config.with_no_client_auth(),
            };
            // A server that wants a certificate may refuse to resume, and we hardly ever could.
            config.resumption = Resumption::disabled();
            Ok(Self {
                connector: Arc::new(config).into(),
                host,
            })
        }

        /// TLS over `stream`, once the server has shown who it is.
        pub async fn over(&self, stream: TcpStream) -> io::Result<Box<dyn Stream>> {
            let stream = self.connector.connect(self.host.clone(), stream).await?;
            Ok(boxed(stream))
        }
    }

    /// The certificates in `file`, whose owners are trusted to sign those of servers.
    fn authorities(file: &TlsFile) -> Result<RootCertStore, SetupError> {
        let mut trusted = RootCertStore::empty();
        for certificate in chain(file)? {
            let added = trusted.add(certificate);
            added.map_err(|_| file.bad("a certificate that TLS cannot use"))?;
        }
        Ok(trusted)
    }

    /// Those that the system trusts, read once for all servers. Who keeps them cares for all
    /// programs: one that cannot be read or used is left out.
    fn authorities_of_the_system() -> Result<Arc<RootCertStore>, SetupError> {
        static TRUSTED: OnceLock<Arc<RootCertStore>> = OnceLock::new();
        if let Some(trusted) = TRUSTED.get() {
            return Ok(Arc::clone(trusted));
        }
        let found = rustls_native_certs::load_native_certs();
        let mut trusted = RootCertStore::empty();
        trusted.add_parsable_certificates(found.certs);
        if trusted.is_empty() {
            return Err(SetupError::NoAuthorities(why_there_are_none(&found.errors)));
        }
        Ok(Arc::clone(TRUSTED.get_or_init(|| Arc::new(trusted))))
    }

    fn why_there_are_none(errors: &[rustls_native_certs::Error]) -> String {
        match errors.first().map(|error| &error.kind) {
            Some(ErrorKind::Io { inner, path }) => {
                format!(" ({}: {})", path.display(), errno::reason(inner))
            }
            Some(_) => format!(" ({})", errors[0]),
            None => String::new(),
        }
    }

    fn chain(file: &TlsFile) -> Result<Vec<CertificateDer<'static>>, SetupError> {
        let pem = file.read()?;
        match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
            Ok(chain) if !chain.is_empty() => Ok(chain),
            _ => Err(file.bad("no certificate in PEM")),
        }
    }

    fn private(file: &TlsFile) -> Result<PrivateKeyDer<'static>, SetupError> {
        let pem = file.read()?;
        PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
            let is_encrypted = String::from_utf8_lossy(&pem).contains("ENCRYPTED");
            file.bad(if is_encrypted {
                "the key is encrypted, and nobody is there to type its passphrase; store it in the \
                 clear, for the user of redlock alone"
            } else {
                "no private key in PEM"
            })
        })
    }

    fn unusable(error: &Error, cert: &TlsFile, key: &TlsFile) -> SetupError {
        match error {
            Error::InvalidCertificate(_) => {
                cert.bad("a certificate that TLS cannot use; it must be of X.509 version 3")
            }
            Error::InconsistentKeys(_) => {
                key.bad(&format!("not the key of {}", cert.path.display()))
            }
            _ => key.bad("a private key that TLS cannot use"),
        }
    }

    impl TlsFile {
        fn read(&self) -> Result<Vec<u8>, SetupError> {
            std::fs::read(&self.path).map_err(|error| self.bad(&errno::reason(&error)))
        }

        fn bad(&self, reason: &str) -> SetupError {
            SetupError::TlsFile {
                setting: self.setting.clone(),
                file: self.path.display().to_string(),
                reason: reason.to_owned(),
            }
        }
    }
}

#[cfg(not(feature = "tls"))]
mod without_tls {
    use std::convert::Infallible;
    use std::future::Ready;
    use std::io;

    use tokio::net::TcpStream;

    use super::super::connection::SetupError;
    use super::super::stream::Stream;
    use crate::node::endpoint::TlsFiles;

    /// What there is none of in this build.
    pub struct Tls(Infallible);

    impl Tls {
        /// Refuses.
        pub fn to(_: &str, _: &TlsFiles) -> Result<Self, SetupError> {
            Err(SetupError::WithoutTls)
        }

        /// Never called.
        pub fn over(&self, _: TcpStream) -> Ready<io::Result<Box<dyn Stream>>> {
            match self.0 {}
        }
    }
}
