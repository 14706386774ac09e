//! The formats that can be read, by name and by their first bytes.

use std::fmt;
use std::str::FromStr;

use crate::formats::{
    aws_vpc, azure, calico, conntrack, envoy, gcp, hubble, netflow, netobserv, pcap, zeek,
};
use crate::frames::FrameReader;
use crate::reader::{ElementReader, LineReader, Reader};
use sekisho_model::Timestamp;

/// A format of flow records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// `hubble observe -o json|jsonpb` and the files of Hubble's exporter: one flow a line.
    Hubble,
    /// AWS VPC flow logs as text: version 2, or any fields that a first line names.
    AwsVpc,
    /// Zeek's conn.log: tab-separated or JSON lines.
    Zeek,
    /// `/proc/net/nf_conntrack` or `conntrack -L`: connections at one moment.
    Conntrack,
    /// Captures of packets: pcap and pcapng.
    Pcap,
    /// Google Cloud's VPC flow logs and firewall logs, as JSON of Cloud Logging.
    Gcp,
    /// Azure's flow logs of virtual networks and of network security groups.
    Azure,
    /// Calico's flows: Whisker's, and flow logs of Calico Enterprise.
    Calico,
    /// NetObserv's flows: JSON lines, or an answer of Loki.
    NetObserv,
    /// NetFlow 5 and 9, and IPFIX: messages one after the other, or in datagrams of a capture.
    Netflow,
    /// Access logs of Envoy and Istio: the default text, or JSON.
    Envoy,
}

/// All formats with their names, in the order in which content is tried.
const FORMATS: &[(Format, &str)] = &[
    (Format::Pcap, "pcap"),
    (Format::Netflow, "netflow"),
    (Format::Hubble, "hubble"),
    (Format::AwsVpc, "aws-vpc"),
    (Format::Zeek, "zeek"),
    (Format::Conntrack, "conntrack"),
    (Format::Gcp, "gcp"),
    (Format::Azure, "azure"),
    (Format::Calico, "calico"),
    (Format::NetObserv, "netobserv"),
    (Format::Envoy, "envoy"),
];

/// A name is no format, or content is of none that we know.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// No format has this name.
    #[error("`{name}` is no format; there are {}", names())]
    Name {
        /// What was asked for.
        name: String,
    },
    /// It does not come in datagrams.
    #[error("`{0}` does not come in datagrams; `netflow` does")]
    Datagrams(Format),
    /// No format begins like this.
    #[error("no known format begins like this; --format says which one it is: {}", names())]
    Content,
}

impl Format {
    /// All formats.
    pub fn all() -> impl Iterator<Item = Self> {
        FORMATS.iter().map(|(format, _)| *format)
    }

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        FORMATS.iter().find(|(format, _)| *format == self).map_or("", |(_, name)| name)
    }

    /// Finds the format of content that begins with `head`: a few lines at least, unless it is
    /// shorter.
    ///
    /// # Errors
    /// [`FormatError::Content`] if it is none.
    pub fn of_content(head: &[u8]) -> Result<Self, FormatError> {
        let is = |format: &Self| match format {
            Self::Hubble => hubble::looks_like(head),
            Self::AwsVpc => aws_vpc::looks_like(head),
            Self::Zeek => zeek::looks_like(head),
            Self::Conntrack => conntrack::looks_like(head),
            Self::Pcap => pcap::looks_like(head),
            Self::Netflow => netflow::looks_like(head),
            Self::Gcp => gcp::looks_like(head),
            Self::Azure => azure::looks_like(head),
            Self::Calico => calico::looks_like(head),
            Self::NetObserv => netobserv::looks_like(head),
            Self::Envoy => envoy::looks_like(head),
        };
        Self::all().find(is).ok_or(FormatError::Content)
    }

    /// Whether it is lines, each of which can be read by itself: what a syslog message can carry.
    #[must_use]
    pub fn is_lines(self) -> bool {
        match self {
            Self::Hubble | Self::AwsVpc | Self::Zeek | Self::Conntrack | Self::Envoy => true,
            // Objects of JSON, of which each stands in a line where a log is followed.
            Self::Gcp | Self::Azure | Self::Calico | Self::NetObserv => true,
            Self::Pcap | Self::Netflow => false,
        }
    }

    /// What reads its datagrams; None = it does not come in such.
    pub(crate) fn datagrams(self) -> Option<Box<dyn Reader>> {
        match self {
            Self::Netflow => Some(Box::new(netflow::Datagrams::default())),
            Self::Hubble
            | Self::AwsVpc
            | Self::Zeek
            | Self::Conntrack
            | Self::Pcap
            | Self::Gcp
            | Self::Azure
            | Self::Calico
            | Self::NetObserv
            | Self::Envoy => None,
        }
    }

    /// What reads it; `now` is when what has no time of its own was seen.
    pub(crate) fn reader(self, now: Timestamp) -> Box<dyn Reader> {
        match self {
            Self::Hubble => Box::new(LineReader::new(hubble::Hubble::default())),
            Self::AwsVpc => Box::new(LineReader::new(aws_vpc::AwsVpc::default())),
            Self::Zeek => Box::new(LineReader::new(zeek::Zeek::default())),
            Self::Conntrack => Box::new(LineReader::new(conntrack::Conntrack { now })),
            Self::Netflow => Box::new(FrameReader::new(netflow::Netflow::Start)),
            Self::Gcp => Box::new(ElementReader::new(gcp::Gcp)),
            Self::Azure => Box::new(ElementReader::new(azure::Azure)),
            Self::Calico => Box::new(ElementReader::new(calico::Calico)),
            Self::NetObserv => Box::new(ElementReader::new(netobserv::NetObserv)),
            Self::Envoy => Box::new(envoy::Envoy::default()),
            Self::Pcap => Box::new(FrameReader::new(pcap::Capture::connections(now))),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = FORMATS.iter().find(|(_, name)| *name == text);
        found.map(|(format, _)| *format).ok_or_else(|| FormatError::Name { name: text.to_owned() })
    }
}

fn names() -> String {
    FORMATS.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
}
