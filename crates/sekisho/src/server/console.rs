//! The console's files, as they were built into this program.

use sekisho_api::{Asset, Assets};

/// What is shown where the console was not built.
const ABSENT: &[u8] = b"<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Sekisho</title>\
<h1>Sekisho</h1><p>This program was built without the console: <code>cargo xtask console</code>, then \
build again. The HTTP API is at <a href=\"/api/v1/openapi.json\">/api/v1</a>.</p></html>\n";

/// The files.
#[derive(Debug)]
pub(crate) struct Console;

impl Assets for Console {
    fn get(&self, path: &str) -> Option<Asset> {
        let content_type = "text/html; charset=utf-8";
        (path == "index.html").then_some(Asset {
            content_type,
            body: ABSENT,
            gzip: None,
            immutable: false,
        })
    }
}
