//! Readiness and liveness probes, issued from the node's network namespace as kubelets do
//! (Kubernetes v1.34, Probe).

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use sekisho_manifest::{Container, PortRef};
use sekisho_model::Protocol;

/// Enough for the status line.
const RESPONSE_BYTES: u64 = 1024;

/// Whether the server answers `GET path` with a status from 200 to 399 in time.
pub(crate) fn http(address: SocketAddr, path: &str, timeout: Duration) -> bool {
    http_status(address, path, timeout).is_ok_and(|status| (200..400).contains(&status))
}

fn http_status(address: SocketAddr, path: &str, timeout: Duration) -> io::Result<u16> {
    let mut stream = connect(address, timeout)?;
    // In one piece: a server that answers the first bytes and closes would reset the rest.
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: kube-probe/1.34\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    // The server may close late: what came until then is what counts.
    stream.take(RESPONSE_BYTES).read_to_end(&mut answer).ok();
    let text = String::from_utf8_lossy(&answer);
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok());
    status.filter(|_| text.starts_with("HTTP/1.")).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Whether a connection can be opened in time.
pub(crate) fn tcp(address: SocketAddr, timeout: Duration) -> bool {
    connect(address, timeout).is_ok()
}

fn connect(address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    Ok(stream)
}

/// The socket address of a probe's port; a name is one of the container's ports.
pub(crate) fn address(ip: IpAddr, port: &PortRef, container: &Container) -> Option<SocketAddr> {
    let number = match port {
        PortRef::Number(number) => *number,
        PortRef::Name(name) => {
            let mut ports = container.ports.iter();
            ports.find(|port| port.name == *name && port.protocol == Protocol::Tcp)?.port
        }
    };
    Some(SocketAddr::new(ip, number))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;

    use super::*;

    fn answered_with(answer: &'static str) -> bool {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            assert!(stream.read(&mut request).unwrap() > 0);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let well = http(address, "/healthz", Duration::from_secs(20));
        server.join().unwrap();
        well
    }

    #[test]
    fn a_status_from_200_to_399_is_success_and_nothing_else_is() {
        assert!(answered_with("HTTP/1.1 200 OK\r\n\r\n"));
        assert!(answered_with("HTTP/1.0 302 Found\r\n\r\n"));
        assert!(!answered_with("HTTP/1.1 503 Service Unavailable\r\n\r\n"));
        assert!(!answered_with("SSH-2.0 200 hello\r\n"));
    }

    #[test]
    fn a_named_port_is_the_containers() {
        let mut container = Container::default();
        container.ports.push(sekisho_manifest::ContainerPort {
            name: "web".to_owned(),
            port: 8080,
            protocol: Protocol::Tcp,
            host_port: None,
        });
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let web = address(ip, &PortRef::Name("web".to_owned()), &container);
        assert_eq!(web.unwrap().port(), 8080);
        assert!(address(ip, &PortRef::Name("other".to_owned()), &container).is_none());
    }
}
