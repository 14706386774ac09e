//! Records as syslog messages (RFC 5424), and their framing in a stream (RFC 6587).

use sekisho_model::{EdgeDay, Timestamp, Verdict};

use super::finding::{Finding, Severity};

/// Facility local0 (RFC 5424 §6.2.1).
const FACILITY: u8 = 16;
/// Longest HOSTNAME, bytes (RFC 5424 §6).
const HOST_BYTES_MAX: usize = 255;

/// What a message's head tells of its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    time: Timestamp,
    /// RFC 5424 §6.2.1.
    severity: u8,
}

impl From<&EdgeDay> for Stamp {
    fn from(row: &EdgeDay) -> Self {
        Self { time: row.stats.last_seen, severity: severity(row.key.verdict) }
    }
}

impl From<&Finding> for Stamp {
    fn from(finding: &Finding) -> Self {
        // Error, warning and notice.
        let severity = match finding.severity {
            Severity::High => 3,
            Severity::Medium => 4,
            Severity::Low => 5,
        };
        Self { time: finding.last_seen, severity }
    }
}

/// What stands before each record.
#[derive(Clone, Debug)]
pub struct Syslog {
    host: String,
    id: &'static str,
}

impl Syslog {
    /// Makes it: the machine's name, and what kind of record the messages carry (MSGID). A host that
    /// is no name of printable ASCII becomes `-`, the nil value.
    #[must_use]
    pub fn new(host: &str, id: &'static str) -> Self {
        let fits = !host.is_empty()
            && host.len() <= HOST_BYTES_MAX
            && host.bytes().all(|byte| byte.is_ascii_graphic());
        Self { host: if fits { host.to_owned() } else { "-".to_owned() }, id }
    }

    /// The message of a record: `<PRI>1 TIME HOST sekisho - ID - record`.
    ///
    /// No byte order mark stands before the record: readers of CEF and LEEF look for their first
    /// letters there (RFC 5424 §6.4 calls it MSG-ANY).
    #[must_use]
    pub fn message(&self, stamp: impl Into<Stamp>, record: &str) -> String {
        let Stamp { time, severity } = stamp.into();
        let priority = FACILITY * 8 + severity;
        let Self { host, id } = self;
        format!("<{priority}>1 {time} {host} sekisho - {id} - {record}")
    }

    /// A message in a stream, by octet counting (RFC 6587 §3.4.1): nothing in it can end it early.
    #[must_use]
    pub fn framed(message: &str) -> String {
        format!("{} {message}", message.len())
    }
}

/// Severity (RFC 5424 §6.2.1): warning, notice or informational.
fn severity(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Denied => 4,
        Verdict::WouldDeny => 5,
        Verdict::Allowed | Verdict::Unknown => 6,
    }
}
