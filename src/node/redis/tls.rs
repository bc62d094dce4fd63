//! TLS to a server: whom we trust, and who we are. All files are judged before anybody is asked.

use redis::{Client, ConnectionInfo};

use super::connection::SetupError;
use crate::node::endpoint::TlsFiles;

#[cfg(feature = "tls")]
pub(super) fn client(info: ConnectionInfo, files: &TlsFiles) -> Result<Client, SetupError> {
    use redis::TlsCertificates;

    // The library panics without a provider; an error here means that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let identity = files.client.as_ref();
    let certificates = TlsCertificates {
        client_tls: identity
            .map(|(cert, key)| with_tls::identity(cert, key))
            .transpose()?,
        root_cert: files.ca.as_ref().map(with_tls::authorities).transpose()?,
    };
    Client::build_with_tls(info, certificates)
        .map_err(|error| SetupError::Description(super::failure::text(&error)))
}

#[cfg(not(feature = "tls"))]
pub(super) fn client(_: ConnectionInfo, _: &TlsFiles) -> Result<Client, SetupError> {
    Err(SetupError::WithoutTls)
}

#[cfg(feature = "tls")]
mod with_tls {
    use redis::ClientTlsConfig;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    use rustls::{ClientConfig, Error, RootCertStore};

    use super::SetupError;
    use crate::errno;
    use crate::node::endpoint::TlsFile;

    /// The certificates in `file`. The library takes a file with none for one, and then trusts
    /// nobody.
    pub fn authorities(file: &TlsFile) -> Result<Vec<u8>, SetupError> {
        let pem = file.read()?;
        file.chain(&pem)?;
        Ok(pem)
    }

    /// The certificate that a server may ask for, and its key. The library looks at them when it
    /// connects, when it is too late for a mistake in the settings, and does not say at which.
    pub fn identity(cert: &TlsFile, key: &TlsFile) -> Result<ClientTlsConfig, SetupError> {
        let (client_cert, client_key) = (cert.read()?, key.read()?);
        let chain = cert.chain(&client_cert)?;
        let private = PrivateKeyDer::from_pem_slice(&client_key).map_err(|_| {
            let is_encrypted = String::from_utf8_lossy(&client_key).contains("ENCRYPTED");
            key.bad(if is_encrypted {
                "the key is encrypted, and nobody is there to type its passphrase; store it in the \
                 clear, for the user of redlock alone"
            } else {
                "no private key in PEM"
            })
        })?;
        ClientConfig::builder()
            .with_root_certificates(RootCertStore::empty())
            .with_client_auth_cert(chain, private)
            .map_err(|error| match error {
                Error::InvalidCertificate(_) => {
                    cert.bad("a certificate that TLS cannot use; it must be of X.509 version 3")
                }
                Error::InconsistentKeys(_) => {
                    key.bad(&format!("not the key of {}", cert.path.display()))
                }
                _ => key.bad("a private key that TLS cannot use"),
            })?;
        Ok(ClientTlsConfig {
            client_cert,
            client_key,
        })
    }

    impl TlsFile {
        fn read(&self) -> Result<Vec<u8>, SetupError> {
            std::fs::read(&self.path).map_err(|error| self.bad(&errno::reason(&error)))
        }

        fn chain(&self, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, SetupError> {
            match CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>() {
                Ok(chain) if !chain.is_empty() => Ok(chain),
                _ => Err(self.bad("no certificate in PEM")),
            }
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
