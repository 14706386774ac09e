//! The console's files, as the HTTP API serves them.

use sekisho_api::{Asset, Assets};
use sekisho_console::{File, file};

/// The files.
#[derive(Debug)]
pub(crate) struct Console;

impl Assets for Console {
    fn get(&self, path: &str) -> Option<Asset> {
        let File { content_type, body, gzip, immutable } = file(path)?;
        Some(Asset { content_type, body, gzip, immutable })
    }
}
