//! Sockets: who may open them, and what happens to those of the dead and the living.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use sekisho_api::{ListenError, MetricsListenError, MetricsListener, UnixSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::memory::Memory;

#[tokio::test]
async fn only_the_owner_may_open_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a").join("b.sock");
    let _socket = UnixSocket::bind(&path).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_socket_file_of_a_dead_server_is_replaced_and_one_of_a_live_server_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "std leaves the file: that is the point");
    let live = UnixSocket::bind(&path).unwrap();
    assert!(matches!(UnixSocket::bind(&path), Err(ListenError::InUse(at)) if at == path));
    drop(live);
    assert!(!path.exists());
    UnixSocket::bind(&path).unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("precious");
    std::fs::write(&path, "data").unwrap();
    assert!(matches!(UnixSocket::bind(&path), Err(ListenError::Bind { .. })));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "data");
}

#[tokio::test]
async fn metrics_are_served_on_loopback_only() {
    for wrong in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9464"] {
        let refused = MetricsListener::bind(wrong).await;
        assert!(matches!(refused, Err(MetricsListenError::NotLoopback(_))), "{wrong}");
    }
    for wrong in ["", "localhost", "127.0.0.1", "127.0.0.1:99999"] {
        let refused = MetricsListener::bind(wrong).await;
        assert!(matches!(refused, Err(MetricsListenError::Address(_))), "{wrong}");
    }
    MetricsListener::bind("[::1]:0").await.unwrap();
}

#[tokio::test]
async fn the_metrics_listener_gives_nothing_but_metrics() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let listener = MetricsListener::bind(&address.to_string()).await.unwrap();
    let served = tokio::spawn(listener.serve(Arc::new(Memory::default()), std::future::pending()));
    let get = async |path: &str| {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    assert!(get("/metrics").await.ends_with("sekisho_flows_total 3\n"));
    assert!(get("/v1/status").await.starts_with("HTTP/1.1 404"));
    served.abort();
}
