//! The questions of people, asked by who may open the socket or has an operator's certificate.

use bytes::Bytes;

use super::{AuditPage, ReportFormat, ReportKind};
use crate::client::json_answer;
use crate::{CallError, Client};

impl Client {
    /// Asks for at most `limit` entries of the audit log before number `before`, newest first.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn audit(&self, before: Option<u64>, limit: usize) -> Result<AuditPage, CallError> {
        let before = before.map(|before| format!("&before={before}")).unwrap_or_default();
        let path = format!("/v1/audit?limit={limit}{before}");
        json_answer(&self.call("GET", &path, Bytes::new()).await?)
    }

    /// Asks for a report in the name of `operator`; `query` are the parameters of
    /// `GET /api/v1/reports/{kind}` but for its format.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn report_of(
        &self,
        kind: ReportKind,
        format: ReportFormat,
        query: &[(&str, String)],
        operator: &str,
    ) -> Result<Bytes, CallError> {
        let mut path = format!("/v1/reports/{kind}?format={}", format.as_str());
        for (name, value) in query.iter().chain(&[("operator", operator.to_owned())]) {
            path.push_str(&format!("&{name}={}", encoded(value)));
        }
        self.call("GET", &path, Bytes::new()).await
    }
}

/// Percent-encoded, but for unreserved characters (RFC 3986 §2.3).
fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_in_an_address_as_what_they_are() {
        assert_eq!(
            encoded("shop/cart[Deployment]&x=1 é"),
            "shop%2Fcart%5BDeployment%5D%26x%3D1%20%C3%A9"
        );
        assert_eq!(encoded("2026-01-01T00:00:00Z"), "2026-01-01T00%3A00%3A00Z");
    }
}
