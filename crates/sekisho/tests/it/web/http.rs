//! A plain HTTP client, and a server with some history to ask.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use sekisho_system::wait;
use serde_json::Value;

use crate::roles::halves::Pair;
use crate::roles::served::{Served, connections};

/// A server with a console, two agents by hand, and connections of eight clients to a database.
pub(crate) struct Web {
    pub(crate) served: Served,
    pub(crate) pair: Pair,
    address: String,
    /// An operator's token.
    pub(crate) token: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    /// The answer, which must have this status.
    #[track_caller]
    pub(crate) fn with_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

fn address_of(served: &Served) -> String {
    let url = wait::until(Duration::from_secs(30), || served.status().console);
    let url = url.expect("it serves the console");
    url.trim_start_matches("http://").trim_end_matches('/').to_owned()
}

impl Web {
    /// Starts it; returns when all connections are on the map.
    pub(crate) fn start() -> Self {
        let served = Served::start("web_listen = \"127.0.0.1:0\"");
        let mut pair = Pair::new();
        for batch in pair.batches(80) {
            served.send(&batch).unwrap();
        }
        let counted = || (connections(&served.map("0s")) == 80).then_some(());
        wait::until(Duration::from_secs(30), counted).expect("all are counted");
        let address = address_of(&served);
        let mut web = Self { served, pair, address, token: String::new() };
        web.token = web.make_token(&["root", "--role", "operator"]);
        web
    }

    /// Kills the server with SIGKILL and starts it again; its address is another one then.
    pub(crate) fn kill_and_restart(&mut self) {
        self.served.kill();
        self.served.up();
        self.address = address_of(&self.served);
    }

    /// Makes a token on the command line.
    pub(crate) fn make_token(&self, words: &[&str]) -> String {
        let words = [&["token", "create"], words].concat();
        self.served.ask(&words).with_code(0).out.trim().to_owned()
    }

    /// Asks with these header lines, and nothing else.
    pub(crate) fn raw(&self, (method, path): (&str, &str), headers: &[&str], body: &str) -> Reply {
        let mut stream = self.open((method, path), headers, body);
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Reply { status, head: head.to_owned(), body: body.to_owned() }
    }

    fn open(&self, (method, path): (&str, &str), headers: &[&str], body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: sekisho\r\nConnection: close\r\n\
             Content-Length: {}\r\n{lines}\r\n{body}",
            body.len()
        )
        .unwrap();
        stream
    }

    /// Asks as the owner of `token`.
    pub(crate) fn by(&self, token: &str, (method, path): (&str, &str), body: &str) -> Reply {
        let bearer = format!("Authorization: Bearer {token}");
        self.raw((method, &format!("/api/v1{path}")), &[&bearer], body)
    }

    /// Asks as an operator.
    pub(crate) fn get(&self, path: &str) -> Reply {
        self.by(&self.token, ("GET", path), "")
    }

    /// Asks as an operator.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        self.by(&self.token, ("POST", path), &body.to_string())
    }

    /// Lines of a stream, as they come.
    pub(crate) fn stream(&self, path: &str, more: &[&str]) -> impl Iterator<Item = String> {
        let bearer = format!("Authorization: Bearer {}", self.token);
        let headers = [&[bearer.as_str()], more].concat();
        let stream = self.open(("GET", &format!("/api/v1{path}")), &headers, "");
        BufReader::new(stream).lines().map_while(Result::ok)
    }
}
