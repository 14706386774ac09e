//! Where the server is and how we prove who we are: flags, then environment, then configuration.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use clap::Args;
use sekisho_api::{Client, ServerAddress};

use super::tunnel::{Place, Service, Tunnel, is_plugin};
use crate::config::{ClientConfig, DEFAULT_SOCKET, TlsConfig};

/// The files of one end of a TLS connection.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct TlsArgs {
    /// Certificate of the authority that signed the other end's certificate (PEM).
    #[arg(long, env = "SEKISHO_TLS_CA", value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Our certificate (PEM).
    #[arg(long, env = "SEKISHO_TLS_CERT", value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The key of our certificate (PEM), which not everybody may read.
    #[arg(long, env = "SEKISHO_TLS_KEY", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
}

/// The server that a command asks. Complete once [`ServerArg::complete`] was called.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServerArg {
    /// The server: the path of its socket, https://HOST[:PORT], or kube://NAMESPACE/SERVICE through
    /// kubectl; /run/sekisho/server.sock if absent, as `kubectl sekisho` kube://sekisho/sekisho-server.
    #[arg(long, env = "SEKISHO_SERVER", value_name = "SOCKET|URL")]
    pub(crate) server: Option<Place>,
    /// Name in the server's certificate, where it is not the host in --server (a tunnel).
    #[arg(long, env = "SEKISHO_TLS_SERVER_NAME", value_name = "NAME")]
    pub(crate) tls_server_name: Option<String>,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    /// Flags and keys together.
    #[arg(skip)]
    settings: TlsConfig,
}

/// A client, with what must live as long as it does.
pub(crate) struct Connection {
    client: Client,
    _tunnel: Option<Tunnel>,
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl TlsArgs {
    /// Flags over keys.
    pub(crate) fn over(&self, keys: TlsConfig) -> TlsConfig {
        TlsConfig {
            ca: self.tls_ca.clone().or(keys.ca),
            cert: self.tls_cert.clone().or(keys.cert),
            key: self.tls_key.clone().or(keys.key),
            server_name: keys.server_name,
        }
    }
}

impl ServerArg {
    /// Takes what no flag said from the configuration.
    pub(crate) fn complete(&mut self, config: &ClientConfig) {
        self.server = self.server.take().or_else(|| config.server.clone());
        self.settings = self.tls.over(config.tls.clone());
        if self.tls_server_name.is_some() {
            self.settings.server_name.clone_from(&self.tls_server_name);
        }
    }

    /// Makes the client; connects with its first call.
    pub(crate) fn connect(&self) -> anyhow::Result<Connection> {
        let name = self.settings.server_name.as_deref();
        match self.server.clone().unwrap_or_else(default_place) {
            Place::Direct(address) => {
                let client = Client::at(address, self.settings.files()?, name)?;
                Ok(Connection { client, _tunnel: None })
            }
            Place::Cluster(service) => {
                let tunnel = Tunnel::open(&service)?;
                let files = self.settings.files()?.unwrap_or_else(|| tunnel.files());
                let own = service.dns_name();
                let client = Client::at(tunnel.address(), Some(files), Some(name.unwrap_or(&own)))?;
                Ok(Connection { client, _tunnel: Some(tunnel) })
            }
        }
    }
}

fn default_place() -> Place {
    if is_plugin() {
        return Place::Cluster(Service::default());
    }
    Place::Direct(ServerAddress::Socket(Path::new(DEFAULT_SOCKET).to_owned()))
}
