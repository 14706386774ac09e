//! The console of an installed product, reached as docs/install.md says.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use sekisho_system::{terminate, wait};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::install::command;

const NAMESPACE: &str = "sekisho";
const SERVER: &str = "deployment/sekisho-server";

/// Makes a token in the server's pod, and reads the map with it through `kubectl port-forward`.
pub(crate) fn map(cluster: &Cluster) -> Value {
    let create = ["token", "create", "story", "--role", "viewer"];
    let words = [&["-n", NAMESPACE, "exec", SERVER, "--", "sekisho"], &create[..]].concat();
    let token = cluster.kubectl(&words).trim().to_owned();
    let mut forward = command(cluster.file("bin/kubectl").as_ref())
        .args(["--kubeconfig", &cluster.file("admin.kubeconfig")])
        .args(["-n", NAMESPACE, "port-forward", SERVER, ":8484"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    // Kept to the end: kubectl prints a line for each connection, and dies if nobody reads.
    let mut told = BufReader::new(forward.stdout.take().unwrap());
    told.read_line(&mut line).unwrap();
    let address = line.split_whitespace().find(|word| word.starts_with("127.0.0.1:"));
    let address = address.unwrap_or_else(|| panic!("no address in {line:?}"));
    // What kubectl forwards may end with a reset; who asks again gets an answer.
    let get = |path: &str, head: &str| {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{head}\r\n");
        let mut last = String::new();
        let answer = wait::until(Duration::from_secs(30), || match ask(address, &request) {
            Ok(answer) => Some(answer),
            Err(error) => {
                last = error.to_string();
                None
            }
        });
        answer.unwrap_or_else(|| panic!("{path}: {last}"))
    };
    let page = get("/", "");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<title>Sekisho"), "{page}");
    let closed = get("/api/v1/map", "");
    assert!(closed.starts_with("HTTP/1.1 401"), "{closed}");
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let answer = get("/api/v1/map?since=1h", &bearer);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    terminate(&mut forward, Duration::from_secs(5));
    drop(told);
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

fn ask(address: &str, request: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(request.as_bytes())?;
    let mut answer = BufReader::new(stream);
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        if answer.read_line(&mut text)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    answer.read_exact(&mut body)?;
    Ok(text + &String::from_utf8(body).unwrap())
}
