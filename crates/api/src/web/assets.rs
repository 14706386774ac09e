//! The console's files.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// A file of the console.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Its media type.
    pub content_type: &'static str,
    /// Its bytes.
    pub body: &'static [u8],
    /// The same, compressed with gzip, where that is shorter.
    pub gzip: Option<&'static [u8]>,
    /// True if another content would have another name, so that it may be kept for ever.
    pub immutable: bool,
}

/// Where the console's files are.
pub trait Assets: Send + Sync + 'static {
    /// The file at `path`, which does not begin with a slash.
    fn get(&self, path: &str) -> Option<Asset>;
}

/// Answers with the file at `path`. What has no extension is a page of the console: its address is
/// read in the browser.
pub(crate) fn respond(assets: &dyn Assets, path: &str, headers: &HeaderMap) -> Response {
    let path = path.trim_start_matches('/');
    let is_page = !path.rsplit('/').next().unwrap_or_default().contains('.');
    let wanted = if is_page { "index.html" } else { path };
    let Some(asset) = assets.get(wanted) else {
        return (StatusCode::NOT_FOUND, "there is no such file\n").into_response();
    };
    let takes_gzip = headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            name.trim() == "gzip" && weight.trim().trim_start_matches("q=") != "0"
        });
    let packed = asset.gzip.filter(|_| takes_gzip);
    let mut response = Body::from(packed.unwrap_or(asset.body)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if packed.is_some() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let kept = if asset.immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
    response
}
