//! Where ClickHouse is and how much is sent to it at once.

use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;

use super::ArchiveError;

/// Rows of one insert at most: ClickHouse takes as many as one block, which is in wholly or not.
const BATCH_ROWS_MAX: usize = 1_000_000;
/// Days of a TTL at most: 50 years. ClickHouse's times of a TTL end in 2106 and begin anew then, so
/// that rows with a longer one would be gone at once.
pub(crate) const TTL_DAYS_MAX: u32 = 18_250;
const TIMEOUT_S_MAX: u64 = 3_600;

/// Settings of the table `server.clickhouse`.
#[derive(Clone, Debug)]
pub struct ArchiveSettings {
    /// `http://HOST[:8123][/PATH]` or `https://HOST[:8443][/PATH]`.
    pub url: String,
    /// The database that holds our tables and nothing else; made if it is not there.
    pub database: String,
    /// Who we are there.
    pub user: String,
    /// File with the password; none = without one. Read anew for each request.
    pub password_file: Option<PathBuf>,
    /// PEM of the authorities that may have signed ClickHouse's certificate; needed for https.
    pub ca: Option<PathBuf>,
    /// Whether a password may go over plain HTTP to another machine.
    pub plaintext: bool,
    /// The cluster (in ClickHouse's sense) on which the tables are made, replicated and sharded;
    /// none = on the one server.
    pub cluster: Option<String>,
    /// Days after which ClickHouse deletes history.
    pub ttl_days: u32,
    /// Rows of one insert at most.
    pub batch_rows: usize,
    /// How long one request may take, seconds.
    pub timeout_s: u64,
}

/// Settings that were found to be usable.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) path: String,
    pub(crate) database: String,
    pub(crate) user: String,
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) cluster: Option<String>,
    pub(crate) ttl_days: u32,
    pub(crate) batch_rows: usize,
    pub(crate) timeout: Duration,
}

fn wrong(key: &'static str, text: impl Into<String>) -> ArchiveError {
    ArchiveError::Setting { key, text: text.into() }
}

/// Whether a name needs no quotes in SQL and no escapes in an address.
fn is_plain(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    first
        && name.len() <= 200
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl ArchiveSettings {
    /// Takes the settings apart.
    pub(crate) fn target(&self) -> Result<Target, ArchiveError> {
        let (tls, host, port, path) = self.place()?;
        if tls && self.ca.is_none() {
            let text = "needed for https: the PEM file of the authority that signed ClickHouse's \
                        certificate, such as /etc/ssl/certs/ca-certificates.crt";
            return Err(wrong("ca", text));
        }
        let is_local = host == "localhost"
            || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
        if !tls && !is_local && self.password_file.is_some() && !self.plaintext {
            let text = format!(
                "`{}` would carry the password in clear text: use https, or say `plaintext = true` \
                 if the network is to be trusted",
                self.url
            );
            return Err(wrong("url", text));
        }
        if !is_plain(&self.database) {
            let text = format!("`{}`: letters, digits and _ make a name", self.database);
            return Err(wrong("database", text));
        }
        if let Some(cluster) = self.cluster.as_ref().filter(|cluster| !is_plain(cluster)) {
            return Err(wrong(
                "cluster",
                format!("`{cluster}`: letters, digits and _ make a name"),
            ));
        }
        if self.user.is_empty() || !self.user.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong("user", format!("`{}` is no name of a user", self.user)));
        }
        let between = |key, value: u64, least: u64, most: u64| {
            let right = (least..=most).contains(&value);
            let text = || format!("{value} is not between {least} and {most}");
            if right { Ok(()) } else { Err(wrong(key, text())) }
        };
        between("ttl_days", self.ttl_days.into(), 1, TTL_DAYS_MAX.into())?;
        between("batch_rows", self.batch_rows as u64, 1, BATCH_ROWS_MAX as u64)?;
        between("timeout_s", self.timeout_s, 1, TIMEOUT_S_MAX)?;
        Ok(Target {
            tls,
            host,
            port,
            path,
            database: self.database.clone(),
            user: self.user.clone(),
            password_file: self.password_file.clone(),
            ca: self.ca.clone(),
            cluster: self.cluster.clone(),
            ttl_days: self.ttl_days,
            batch_rows: self.batch_rows,
            timeout: Duration::from_secs(self.timeout_s),
        })
    }

    /// TLS or not, host, port, path of `url`. The URL is shown in errors, so it may hold no secret.
    fn place(&self) -> Result<(bool, String, u16, String), ArchiveError> {
        let form = "http://HOST:8123 or https://HOST:8443 is the form";
        let uri: Uri = match self.url.parse() {
            Ok(uri) => uri,
            Err(_invalid) => return Err(wrong("url", format!("this is no URL: {form}"))),
        };
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') || uri.query().is_some() {
            let text = format!(
                "no user, password or query belongs into it: {form}; `user` and `password_file` are \
                 keys of their own"
            );
            return Err(wrong("url", text));
        }
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(wrong("url", format!("`{}`: {form}", self.url))),
        };
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(wrong("url", format!("`{}` names no host: {form}", self.url)));
        }
        let port = uri.port_u16().unwrap_or(if tls { 8443 } else { 8123 });
        Ok((tls, host, port, uri.path().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> ArchiveSettings {
        ArchiveSettings {
            url: url.to_owned(),
            database: "sekisho".to_owned(),
            user: "default".to_owned(),
            password_file: None,
            ca: None,
            plaintext: false,
            cluster: None,
            ttl_days: 400,
            batch_rows: 500_000,
            timeout_s: 60,
        }
    }

    fn refused(settings: &ArchiveSettings) -> String {
        settings.target().unwrap_err().to_string()
    }

    #[test]
    fn a_url_is_a_scheme_a_host_and_perhaps_a_port_and_a_path() {
        let parts = |url: &str| {
            let mut settings = settings(url);
            settings.ca = Some("/ca.pem".into());
            let target = settings.target().unwrap();
            (target.tls, target.host, target.port, target.path)
        };
        assert_eq!(parts("http://ch"), (false, "ch".to_owned(), 8123, "/".to_owned()));
        assert_eq!(parts("https://ch/x/"), (true, "ch".to_owned(), 8443, "/x/".to_owned()));
        assert_eq!(parts("http://[::1]:1"), (false, "::1".to_owned(), 1, "/".to_owned()));
        for url in ["ch:8123", "tcp://ch:9000", "http://", "", "http://a b"] {
            assert!(refused(&settings(url)).contains("http://HOST"), "{url}");
        }
    }

    #[test]
    fn a_password_in_the_url_is_refused_and_not_shown() {
        for url in ["http://me:secret@ch:8123", "http://ch:8123/?password=secret"] {
            let text = refused(&settings(url));
            assert!(text.contains("password_file") && !text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn a_password_goes_in_clear_text_to_this_machine_only_unless_it_is_allowed() {
        let with = |url: &str| {
            let password_file = Some("/password".into());
            ArchiveSettings { password_file, ..settings(url) }
        };
        assert!(refused(&with("http://ch")).contains("plaintext = true"));
        with("http://127.0.0.1").target().unwrap();
        with("http://localhost:8123").target().unwrap();
        ArchiveSettings { plaintext: true, ..with("http://ch") }.target().unwrap();
        assert!(refused(&settings("https://ch")).contains("ca-certificates.crt"));
    }

    #[test]
    fn names_and_numbers_out_of_bounds_are_refused_by_key() {
        let base = || settings("http://ch");
        let wrong = [
            ("database", ArchiveSettings { database: "a`b".to_owned(), ..base() }),
            ("cluster", ArchiveSettings { cluster: Some("a'b".to_owned()), ..base() }),
            ("user", ArchiveSettings { user: "a\nb".to_owned(), ..base() }),
            ("ttl_days", ArchiveSettings { ttl_days: 0, ..base() }),
            ("batch_rows", ArchiveSettings { batch_rows: 2_000_000, ..base() }),
            ("timeout_s", ArchiveSettings { timeout_s: 0, ..base() }),
        ];
        for (key, settings) in wrong {
            assert!(refused(&settings).starts_with(&format!("`{key}`: ")), "{key}");
        }
        base().target().unwrap();
    }
}
