//! Errors as RFC 9457 problems.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::Refusal;

/// What is wrong with a request, as `application/problem+json` (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// `urn:sekisho:problem:CODE`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words; the same for each of its kind.
    pub title: &'static str,
    /// HTTP status.
    pub status: u16,
    /// What is wrong this time, and what to do.
    pub detail: String,
    /// For programs.
    pub code: &'static str,
    /// Seconds to wait, with 429.
    #[serde(skip)]
    pub retry_after_s: Option<u64>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, title: &'static str, detail: String) -> Self {
        let kind = format!("urn:sekisho:problem:{code}");
        Self { kind, title, status: status.as_u16(), detail, code, retry_after_s: None }
    }

    /// Nobody is signed in.
    pub(crate) fn unauthorized(detail: &str) -> Self {
        let title = "Sign in first";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", title, detail.to_owned())
    }

    /// Somebody may not.
    pub(crate) fn forbidden(detail: String) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not permitted", detail)
    }

    /// There were too many wrong tokens.
    pub(crate) fn throttled(wait_s: u64) -> Self {
        let detail = format!("too many wrong tokens from this address: wait {wait_s} s");
        let title = "Too many wrong tokens";
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "throttled", title, detail);
        Self { retry_after_s: Some(wait_s), ..problem }
    }

    /// The path or the method is none.
    pub(crate) fn unknown_path(path: &str) -> Self {
        let detail = format!("there is no `{path}`: GET /api/v1/openapi.json says what there is");
        Self::new(StatusCode::NOT_FOUND, "unknown_path", "No such path", detail)
    }

    /// The path is there, and not by this method.
    pub(crate) fn method(method: &str, path: &str) -> Self {
        let detail = format!("`{path}` can't be asked by {method}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method", "No such method", detail)
    }

    /// The body is too large or took too long.
    pub(crate) fn body(detail: String) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body", "Body not taken", detail)
    }

    /// We failed.
    pub(crate) fn internal() -> Self {
        let detail = "the server failed; its log says more".to_owned();
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The server failed", detail)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, code, title) = match &refusal {
            Refusal::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid", "The request is wrong"),
            Refusal::Unknown(_) => (StatusCode::NOT_FOUND, "unknown", "There is no such thing"),
            Refusal::Denied(_) => (StatusCode::FORBIDDEN, "forbidden", "Not permitted"),
            Refusal::Unavailable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not possible now")
            }
        };
        Self::new(status, code, title, refusal.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait_s) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait_s));
        }
        response
    }
}
