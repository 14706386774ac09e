//! A file on its way in.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use sekisho_api::{ImportStatus, Refusal, Upload};
use sekisho_base::harmless;
use sha2::{Digest, Sha256};

use crate::flow_file::FlowFile;
use crate::server::service::{ClusterServer, now};

/// Largest file, bytes.
const BYTES_MAX: u64 = 2 << 30;
/// Longest name that is told, characters.
const NAME_MAX: usize = 200;
/// Letters of its digest that are its id.
const ID_LETTERS: usize = 16;
/// Tells drafts apart.
static DRAFTS: AtomicU64 = AtomicU64::new(0);

/// A file that is being handed in.
pub(crate) struct Spooling {
    server: Arc<ClusterServer>,
    name: String,
    by: String,
    format: Option<sekisho_exchange::Format>,
    draft: PathBuf,
    file: File,
    digest: Sha256,
    bytes: u64,
    /// Whether the draft was moved to where it is read.
    taken: bool,
}

/// The disk refuses.
fn refused(error: &io::Error) -> Refusal {
    Refusal::Unavailable(format!("the file can't be written down: {error}"))
}

impl Spooling {
    /// Begins one.
    pub(crate) fn begin(
        server: Arc<ClusterServer>,
        (name, by): (&str, &str),
        format: Option<&str>,
    ) -> Result<Self, Refusal> {
        let format = format.map(str::parse).transpose();
        let format = format.map_err(|error| Refusal::Invalid(format!("`format`: {error}")))?;
        server.desk().has_room()?;
        let spool = server.desk().spool();
        let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
        let draft = spool.join(format!("{number}.draft"));
        let file = std::fs::create_dir_all(spool)
            .and_then(|()| File::create(&draft))
            .map_err(|error| refused(&error))?;
        let name: String = harmless(name).chars().take(NAME_MAX).collect();
        let (digest, by) = (Sha256::new(), by.to_owned());
        Ok(Self { server, name, by, format, draft, file, digest, bytes: 0, taken: false })
    }
}

impl Upload for Spooling {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.bytes += bytes.len() as u64;
        if self.bytes > BYTES_MAX {
            let text = format!(
                "it has more than {BYTES_MAX} bytes: import it with `sekisho import`, or in parts"
            );
            return Err(Refusal::Invalid(text));
        }
        self.digest.update(bytes);
        self.file.write_all(bytes).map_err(|error| refused(&error))
    }

    fn finish(mut self: Box<Self>) -> Result<Bytes, Refusal> {
        if self.bytes == 0 {
            return Err(Refusal::Invalid(format!("`{}` is empty", self.name)));
        }
        self.file.sync_all().map_err(|error| refused(&error))?;
        // What is no file of flows is said at once, and not kept.
        let opened = FlowFile::open(&self.draft, &self.name, self.format);
        let opened = opened.map_err(|error| Refusal::Invalid(format!("{error:#}")))?;
        let mut id = format!("{:x}", std::mem::take(&mut self.digest).finalize());
        id.truncate(ID_LETTERS);
        let fresh = ImportStatus {
            id,
            name: self.name.clone(),
            by: self.by.clone(),
            received: now(),
            bytes: self.bytes,
            format: opened.format.to_string(),
            ..ImportStatus::default()
        };
        let told = self.server.desk().add(&self.draft, fresh)?;
        self.taken = !self.draft.exists();
        let text = serde_json::to_vec(&told);
        text.map(Bytes::from).map_err(|error| Refusal::Unavailable(error.to_string()))
    }
}

impl Drop for Spooling {
    fn drop(&mut self) {
        if !self.taken {
            // What can't be removed now is removed when the server starts.
            std::fs::remove_file(&self.draft).ok();
        }
    }
}
