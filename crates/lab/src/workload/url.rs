//! Upstreams: `[keep+]scheme://host:port[/path][@rate]`.

use std::fmt;
use std::time::Duration;

/// How an upstream is talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// GET, status 200 to 399.
    Http,
    /// A line there, a line back.
    Tcp,
    /// A datagram there, nothing back (statsd).
    Udp,
    /// PING.
    Redis,
    /// Log in without a password, `SELECT 1`.
    Postgres,
}

/// An upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) scheme: Scheme,
    pub(super) host: String,
    pub(super) port: u16,
    /// Path of HTTP, database of PostgreSQL; with a leading slash.
    pub(super) path: String,
    /// One connection for all calls.
    pub(super) keep: bool,
    /// Time from one call to the next.
    pub(super) every: Duration,
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Tcp => "tcp",
            Scheme::Udp => "udp",
            Scheme::Redis => "redis",
            Scheme::Postgres => "postgres",
        };
        let path = if self.scheme == Scheme::Http { self.path.as_str() } else { "" };
        write!(f, "{scheme}://{}:{}{path}", self.host, self.port)
    }
}

impl Url {
    /// Reads a URL with an optional rate.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{text}`: {why}");
        let (keep, rest) = match text.strip_prefix("keep+") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (scheme, rest) = rest.split_once("://").ok_or_else(|| wrong("no scheme"))?;
        let scheme = match scheme {
            "http" => Scheme::Http,
            "tcp" => Scheme::Tcp,
            "udp" => Scheme::Udp,
            "redis" => Scheme::Redis,
            "postgres" => Scheme::Postgres,
            _ => return Err(wrong("the scheme is none of http, tcp, udp, redis, postgres")),
        };
        let (rest, rate) = match rest.rsplit_once('@') {
            Some((rest, rate)) => (rest, rate),
            None => (rest, "1/s"),
        };
        let every = interval(rate).ok_or_else(|| wrong("the rate is not like 5/s or 10/m"))?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let default_port = match scheme {
            Scheme::Http => 80,
            Scheme::Redis => 6379,
            Scheme::Postgres => 5432,
            Scheme::Tcp | Scheme::Udp => 0,
        };
        let (host, port) =
            split_host(authority, default_port).ok_or_else(|| wrong("no host:port"))?;
        Ok(Self { scheme, host, port, path: path.to_owned(), keep, every })
    }
}

/// `host:port`, `[v6]:port`, or `host` if there is a default.
pub(super) fn split_host(text: &str, default_port: u16) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, default_port),
        Some((host, port)) => (host, port.strip_prefix(':')?.parse().ok()?),
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (text, default_port),
        },
    };
    (!host.is_empty() && port != 0).then(|| (host.to_owned(), port))
}

/// The time between calls at a rate like `5/s`, `10/m`, `4/h`; at most 1000/s.
fn interval(rate: &str) -> Option<Duration> {
    let (count, unit) = rate.split_once('/')?;
    let count: f64 = count.parse().ok()?;
    let seconds = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let every = Duration::try_from_secs_f64(seconds / count).ok()?;
    (every >= Duration::from_millis(1)).then_some(every)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_with_scheme_port_path_and_rate() {
        let url = Url::parse("keep+http://cart.shop:7070/api/cart@5/s").unwrap();
        assert_eq!(
            (url.host.as_str(), url.port, url.path.as_str()),
            ("cart.shop", 7070, "/api/cart")
        );
        assert!(url.keep && url.every == Duration::from_millis(200));
        assert_eq!(url.to_string(), "http://cart.shop:7070/api/cart");
        let url = Url::parse("udp://[fd00::1]:8125@30/m").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("fd00::1", 8125));
        assert_eq!(url.every, Duration::from_secs(2));
        assert_eq!(Url::parse("postgres://orders-db.data").unwrap().port, 5432);
    }

    #[test]
    fn what_is_no_url_says_why() {
        for text in
            ["", "cart:80", "ftp://x:1", "tcp://x", "http://x@fast", "http://x@0/s", "udp://:1"]
        {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }
}
