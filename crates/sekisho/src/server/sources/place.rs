//! `[[server.sources]]`: where live flows come from, and what must hold for it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use ipnet::IpNet;
use sekisho_api::{Relay, RelayTls, SenderFiles};
use sekisho_exchange::Format;
use sekisho_model::ClusterName;
use serde::Deserialize;

use crate::config::TlsConfig;

/// Sources of one server: each has an importer with bounds of its own.
const SOURCES_MAX: usize = 32;
/// Longest name, bytes.
const NAME_BYTES_MAX: usize = 63;
/// Port of Hubble Relay where none is said.
const RELAY_PORT: u16 = 4_245;
/// Port of TLS where none is said (cilium's Service `hubble-relay`).
const RELAY_TLS_PORT: u16 = 443;

/// One source.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceConfig {
    /// What it is called in status, metrics and losses.
    pub(crate) name: String,
    /// Where flows come from.
    pub(crate) from: Place,
    /// The cluster whose flows they are.
    #[serde(default)]
    pub(crate) cluster: ClusterName,
    /// Format of a file's lines, or of the messages of syslog; absent: by content.
    #[serde(default)]
    pub(crate) format: Option<FormatName>,
    /// Networks that may send to a listener; needed where it is no loopback address.
    #[serde(default)]
    pub(crate) senders: Vec<IpNet>,
    /// Of a relay: `ca` of its certificate, `cert` and `key` of ours if it asks. Of `syslog+tls`: `cert`
    /// and `key` of ours, `ca` of the senders' certificates if they are asked.
    #[serde(default)]
    pub(crate) tls: TlsConfig,
}

/// A format by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(try_from = "String")]
#[cfg_attr(test, serde(into = "String"))]
pub(crate) struct FormatName(pub(crate) Format);

impl TryFrom<String> for FormatName {
    type Error = sekisho_exchange::FormatError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
impl From<FormatName> for String {
    fn from(name: FormatName) -> Self {
        name.0.to_string()
    }
}

/// Where flows come from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(try_from = "String")]
#[cfg_attr(test, serde(into = "String"))]
pub(crate) enum Place {
    /// `hubble-relay://HOST[:PORT]` and `hubble-relay+tls://HOST[:PORT]`.
    Relay {
        /// DNS name or address, without brackets.
        host: String,
        /// TCP port.
        port: u16,
        /// Whether over TLS.
        tls: bool,
    },
    /// `file:///PATH`.
    File(PathBuf),
    /// `syslog+udp://ADDRESS:PORT`.
    SyslogUdp(SocketAddr),
    /// `syslog+tcp://ADDRESS:PORT`.
    SyslogTcp(SocketAddr),
    /// `syslog+tls://ADDRESS:PORT`.
    SyslogTls(SocketAddr),
    /// `netflow://ADDRESS:PORT`.
    Netflow(SocketAddr),
}

/// Why a text is no place of a source.
fn wrong(text: &str) -> String {
    format!(
        "`{text}` is none of hubble-relay://HOST[:PORT], hubble-relay+tls://HOST[:PORT], \
         file:///PATH, syslog+udp://ADDRESS:PORT, syslog+tcp://ADDRESS:PORT, \
         syslog+tls://ADDRESS:PORT and netflow://ADDRESS:PORT"
    )
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || wrong(text);
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let address = || rest.parse::<SocketAddr>().map_err(|_cause| wrong());
        match scheme {
            "hubble-relay" => relay(rest, false).ok_or_else(wrong),
            "hubble-relay+tls" => relay(rest, true).ok_or_else(wrong),
            "file" if rest.len() > 1 && rest.starts_with('/') => Ok(Self::File(rest.into())),
            "syslog+udp" => address().map(Self::SyslogUdp),
            "syslog+tcp" => address().map(Self::SyslogTcp),
            "syslog+tls" => address().map(Self::SyslogTls),
            "netflow" => address().map(Self::Netflow),
            _ => Err(wrong()),
        }
    }
}

fn relay(text: &str, tls: bool) -> Option<Place> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, after) = bracketed.split_once(']')?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let usual = if tls { RELAY_TLS_PORT } else { RELAY_PORT };
    let port = port.map_or(Some(usual), |port| port.parse().ok().filter(|port| *port > 0))?;
    let is = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
    let sound = !host.is_empty() && host.chars().all(is);
    sound.then(|| Place::Relay { host: host.to_owned(), port, tls })
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relay { host, port, tls } => {
                let scheme = if *tls { "hubble-relay+tls" } else { "hubble-relay" };
                match host.contains(':') {
                    true => write!(f, "{scheme}://[{host}]:{port}"),
                    false => write!(f, "{scheme}://{host}:{port}"),
                }
            }
            Self::File(path) => write!(f, "file://{}", path.display()),
            Self::SyslogUdp(address) => write!(f, "syslog+udp://{address}"),
            Self::SyslogTcp(address) => write!(f, "syslog+tcp://{address}"),
            Self::SyslogTls(address) => write!(f, "syslog+tls://{address}"),
            Self::Netflow(address) => write!(f, "netflow://{address}"),
        }
    }
}

impl SourceConfig {
    /// The relay, if it is one.
    pub(crate) fn relay(&self) -> anyhow::Result<Option<Relay>> {
        let Place::Relay { host, port, tls } = &self.from else { return Ok(None) };
        let tls = match (tls, &self.tls.ca) {
            (false, _) => None,
            (true, None) => {
                bail!("`tls.ca` is missing: the authority that signed the relay's certificate")
            }
            (true, Some(ca)) => Some(RelayTls {
                ca: ca.clone(),
                own: match (&self.tls.cert, &self.tls.key) {
                    (None, None) => None,
                    (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
                    (Some(_), None) | (None, Some(_)) => {
                        bail!("`tls.cert` and `tls.key` belong together: give both or none")
                    }
                },
                server_name: self.tls.server_name.clone(),
            }),
        };
        Ok(Some(Relay { host: host.clone(), port: *port, tls }))
    }

    /// The files of a listener with TLS, if it is one.
    pub(crate) fn sender_files(&self) -> anyhow::Result<Option<SenderFiles>> {
        let Place::SyslogTls(_) = &self.from else { return Ok(None) };
        let (Some(certificate), Some(key)) = (self.tls.cert.clone(), self.tls.key.clone()) else {
            bail!("`tls.cert` and `tls.key` are missing: the certificate that senders see");
        };
        ensure!(
            self.tls.server_name.is_none(),
            "`tls.server_name` is for relays: senders know the name that they ask for"
        );
        Ok(Some(SenderFiles { certificate, key, clients: self.tls.ca.clone() }))
    }

    fn check(&self) -> anyhow::Result<()> {
        let is = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        ensure!(
            (1..=NAME_BYTES_MAX).contains(&self.name.len()) && self.name.chars().all(is),
            "`name` has 1 to {NAME_BYTES_MAX} letters, digits, - _ ."
        );
        self.relay()?;
        self.sender_files()?;
        let clear = !matches!(&self.from, Place::Relay { tls: true, .. } | Place::SyslogTls(_));
        ensure!(
            !clear || self.tls == TlsConfig::default(),
            "`tls` is only for hubble-relay+tls:// and syslog+tls://"
        );
        let formats = self.format.map(|FormatName(format)| format);
        match &self.from {
            Place::File(_) | Place::SyslogUdp(_) | Place::SyslogTcp(_) | Place::SyslogTls(_) => {
                ensure!(
                    formats.is_none_or(Format::is_lines),
                    "`format`: only formats of lines can be followed; a file of another one is read by \
                 `sekisho import`"
                )
            }
            Place::Relay { .. } | Place::Netflow(_) => {
                ensure!(formats.is_none(), "`format` is known already: leave it out");
            }
        }
        let proven = self.tls.ca.is_some();
        match &self.from {
            // Who may send is told by the authority.
            Place::SyslogTls(_) if proven => {}
            Place::SyslogUdp(at)
            | Place::SyslogTcp(at)
            | Place::SyslogTls(at)
            | Place::Netflow(at) => ensure!(
                at.ip().is_loopback() || !self.senders.is_empty(),
                "`senders` is missing: {at} is no loopback address, and who may send there writes \
                 history, from which policies are made. Name the networks of the exporters"
            ),
            Place::Relay { .. } | Place::File(_) => {
                ensure!(self.senders.is_empty(), "`senders` is only for listeners");
            }
        }
        Ok(())
    }
}

/// Checks all sources of a server of `clusters`.
pub(crate) fn check<'a>(
    sources: &[SourceConfig],
    clusters: impl Iterator<Item = &'a ClusterName> + Clone,
) -> anyhow::Result<()> {
    ensure!(
        sources.len() <= SOURCES_MAX,
        "{} sources are more than the {SOURCES_MAX} that one server follows",
        sources.len()
    );
    for (at, source) in sources.iter().enumerate() {
        let what = || format!("source `{}`", source.name);
        source.check().with_context(what)?;
        let twice = sources.iter().skip(at + 1).any(|other| other.name == source.name);
        ensure!(!twice, "two sources have the name `{}`", source.name);
        let cluster = &source.cluster;
        let known = clusters.clone().any(|known| known == cluster);
        ensure!(known, "source `{}`: there is no cluster `{cluster}` here", source.name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> anyhow::Result<()> {
        let source: SourceConfig = toml::from_str(text)?;
        check(&[source], [ClusterName::default()].iter())
    }

    #[test]
    fn each_place_is_read_and_written_alike() {
        for text in [
            "hubble-relay://relay.example:80",
            "hubble-relay+tls://[::1]:4245",
            "file:///var/log/flows.json",
            "syslog+udp://127.0.0.1:514",
            "syslog+tcp://[::1]:601",
            "syslog+tls://[::]:6514",
            "netflow://0.0.0.0:2055",
        ] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        let port = "hubble-relay://a".parse::<Place>().unwrap().to_string();
        assert_eq!(port, "hubble-relay://a:4245");
        for wrong in [
            "",
            "a",
            "http://a",
            "file://",
            "file://a",
            "netflow://a:1",
            "netflow://1.2.3.4",
            "hubble-relay://",
            "hubble-relay://a:0",
            "hubble-relay://a b",
            "hubble-relay://[::1",
        ] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_work_or_is_open_to_all_is_refused_by_key() {
        for (text, words) in [
            ("name = 'a b'\nfrom = 'file:///x'", "`name`"),
            ("name = 'a'\nfrom = 'hubble-relay+tls://x'", "tls.ca"),
            ("name = 'a'\nfrom = 'hubble-relay://x'\ntls.ca = 'c'", "`tls`"),
            ("name = 'a'\nfrom = 'hubble-relay+tls://x'\ntls = {ca='c', cert='d'}", "tls.key"),
            ("name = 'a'\nfrom = 'syslog+tls://127.0.0.1:6514'", "tls.cert"),
            ("name = 'a'\nfrom = 'syslog+tls://127.0.0.1:6514'\ntls.cert = 'c'", "tls.key"),
            ("name = 'a'\nfrom = 'syslog+tls://10.0.0.1:1'\ntls = {cert='c', key='k'}", "senders"),
            ("name = 'a'\nfrom = 'syslog+tcp://127.0.0.1:1'\ntls = {cert='c', key='k'}", "`tls`"),
            ("name = 'a'\nfrom = 'netflow://0.0.0.0:2055'", "senders"),
            ("name = 'a'\nfrom = 'file:///x'\nsenders = ['10.0.0.0/8']", "senders"),
            ("name = 'a'\nfrom = 'file:///x'\nformat = 'pcap'", "`format`"),
            ("name = 'a'\nfrom = 'file:///x'\nformat = 'what'", "no format"),
            ("name = 'a'\nfrom = 'netflow://[::1]:2055'\nformat = 'netflow'", "`format`"),
            ("name = 'a'\nfrom = 'file:///x'\ncluster = 'east'", "`east`"),
            ("name = 'a'\nfrom = 'file:///x'\nto = 'y'", "to"),
        ] {
            let error = format!("{:#}", source(text).unwrap_err());
            assert!(error.contains(words), "{text}: {error}");
        }
        for text in [
            "name = 'a'\nfrom = 'netflow://0.0.0.0:2055'\nsenders = ['10.0.0.0/8']",
            "name = 'a'\nfrom = 'syslog+tcp://127.0.0.1:601'\nformat = 'hubble'",
            "name = 'a'\nfrom = 'hubble-relay+tls://x'\ntls = {ca='c', cert='d', key='e'}",
            "name = 'a'\nfrom = 'file:///x'",
            "name = 'a'\nfrom = 'syslog+tls://127.0.0.1:6514'\ntls = {cert='c', key='k'}",
            "name = 'a'\nfrom = 'syslog+tls://[::]:6514'\ntls = {cert='c', key='k', ca='a'}",
        ] {
            source(text).unwrap();
        }
    }

    #[test]
    fn the_examples_of_the_manual_are_good_and_its_table_and_the_schema_have_every_key() {
        for text in [
            include_str!("../../../../../docs/sources.md"),
            include_str!("../../../../../docs/hubble.md"),
        ] {
            let example = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
            crate::config::parse(example).unwrap();
        }
        let schema = include_str!("../../../../../deploy/config.schema.json");
        let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
        let items = &schema["properties"]["server"]["properties"]["sources"]["items"];
        assert_eq!(items["additionalProperties"], false);
        let manual = include_str!("../../../../../docs/config.md");
        let manual = manual.split("\n## ").find(|part| part.starts_with("[[server.sources]]"));
        let source: SourceConfig = toml::from_str("name = 'a'\nfrom = 'file:///x'").unwrap();
        let keys = serde_json::to_value(&source).unwrap();
        let keys: Vec<&String> = keys.as_object().unwrap().keys().collect();
        for key in &keys {
            assert!(items["properties"][key.as_str()].is_object(), "{key} is not in the schema");
            assert!(manual.unwrap().contains(&format!("| `{key}` |")), "{key} is not in config.md");
        }
        assert_eq!(items["properties"].as_object().unwrap().len(), keys.len());
    }
}
