//! TLS for those who send to us by protocols of others: syslog (RFC 5425).
//!
//! They are no holders of our certificates: who they are is asked of an authority of theirs, if it is
//! asked at all. Versions 1.2 and 1.3: network devices speak no more than the first.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::material::{MaterialError, server_of_senders};

/// Longest handshake.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);

/// Where the files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderFiles {
    /// Our certificate, then intermediate ones, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Authorities that signed the senders' certificates, PEM; None = senders need none.
    pub clients: Option<PathBuf>,
}

/// Ends TLS of senders.
#[derive(Clone, Debug)]
pub struct SenderTls {
    files: SenderFiles,
    config: Arc<ServerConfig>,
}

/// A connection did not get as far as its first byte.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// It is no TLS, or the sender's certificate is missing or none of a known authority.
    #[error("handshake")]
    Refused(#[source] io::Error),
    /// It took too long.
    #[error("no handshake within {0} s")]
    Timeout(u64),
}

impl SenderTls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`MaterialError`] if one of them can't be used.
    pub fn open(files: SenderFiles) -> Result<Self, MaterialError> {
        let config = server_of_senders(&files)?;
        Ok(Self { files, config })
    }

    /// Reads the files anew, as they may have been renewed; the old ones stay if these are bad.
    ///
    /// # Errors
    /// As of [`Self::open`].
    pub fn renew(&mut self) -> Result<(), MaterialError> {
        self.config = server_of_senders(&self.files)?;
        Ok(())
    }

    /// Shakes hands with who connected; gives what it sends. Shut it down at the end: senders want to
    /// be told (RFC 5425 §4.4).
    ///
    /// # Errors
    /// [`HandshakeError`]; the other end was told why, as TLS does.
    pub async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>, HandshakeError> {
        let shaking = TlsAcceptor::from(Arc::clone(&self.config)).accept(stream);
        match tokio::time::timeout(HANDSHAKE_WAIT, shaking).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(cause)) => Err(HandshakeError::Refused(cause)),
            Err(_elapsed) => Err(HandshakeError::Timeout(HANDSHAKE_WAIT.as_secs())),
        }
    }
}
