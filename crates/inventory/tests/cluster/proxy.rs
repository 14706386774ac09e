//! A network between the watch and the API server that can be cut, or go silent.

use std::sync::Arc;

use kube::config::Kubeconfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Net {
    /// Carries.
    Up,
    /// Ends connections and takes no new ones.
    Cut,
    /// Keeps connections and carries nothing.
    Silent,
}

/// Forwards TCP to the API server.
pub(crate) struct Proxy {
    net: watch::Sender<Net>,
    _tasks: JoinSet<()>,
    folder: tempfile::TempDir,
}

impl Proxy {
    /// Starts, and writes a kubeconfig that leads through it.
    pub(crate) async fn start(mut kubeconfig: Kubeconfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cluster = kubeconfig.clusters[0].cluster.as_mut().unwrap();
        let server: http::Uri = cluster.server.clone().unwrap().parse().unwrap();
        let target = format!("{}:{}", server.host().unwrap(), server.port_u16().unwrap_or(443));
        cluster.server = Some(format!("https://127.0.0.1:{port}"));
        let folder = tempfile::tempdir().unwrap();
        let text = serde_json::to_string(&kubeconfig).unwrap();
        std::fs::write(folder.path().join("kubeconfig"), text).unwrap();
        let (net, state) = watch::channel(Net::Up);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::from(target), state));
        Self { net, _tasks: tasks, folder }
    }

    pub(crate) fn kubeconfig(&self) -> std::path::PathBuf {
        self.folder.path().join("kubeconfig")
    }

    pub(crate) fn set(&self, net: Net) {
        self.net.send_replace(net);
    }
}

async fn accept(listener: TcpListener, target: Arc<str>, state: watch::Receiver<Net>) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let (target, state) = (Arc::clone(&target), state.clone());
        connections.spawn(async move {
            if *state.borrow() == Net::Cut {
                return;
            }
            let Ok(server) = TcpStream::connect(&*target).await else { return };
            let (client_in, client_out) = client.into_split();
            let (server_in, server_out) = server.into_split();
            tokio::select! {
                () = carry(client_in, server_out, state.clone()) => {}
                () = carry(server_in, client_out, state) => {}
            }
        });
    }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut state: watch::Receiver<Net>,
) {
    let mut bytes = vec![0; 65_536];
    loop {
        let net = *state.borrow_and_update();
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            read = from.read(&mut bytes), if net == Net::Up => {
                let count = read.unwrap_or(0);
                if count == 0 || to.write_all(&bytes[..count]).await.is_err() {
                    return;
                }
            }
            () = std::future::ready(()), if net == Net::Cut => return,
        }
    }
}
