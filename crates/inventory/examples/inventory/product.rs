//! The server that is measured.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use sekisho_system::{process, terminate};
use serde_json::Value;
use tempfile::TempDir;

use crate::Fault;

const MIB: f64 = 1_048_576.0;

/// A running server, its folder, and how much of its journal was read.
pub(crate) struct Product {
    child: Child,
    folder: TempDir,
    read: u64,
    /// The last line, while its end is not written.
    rest: Vec<u8>,
}

/// What a process has in memory, bytes.
pub(crate) struct Memory {
    pub(crate) resident: u64,
    peak: u64,
    anonymous: u64,
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "megabytes for people")]
        let mib = |bytes: u64| bytes as f64 / MIB;
        write!(
            f,
            "{:.0} MiB, of which {:.0} MiB are its own and not the program's; at most {:.0} MiB",
            mib(self.resident),
            mib(self.anonymous),
            mib(self.peak)
        )
    }
}

impl Product {
    pub(crate) fn start(kubeconfig: &Path) -> Result<Self, Fault> {
        let own = process::own_program()?;
        // target/<profile>/examples/inventory -> target/<profile>/sekisho
        let program = own.parent().and_then(Path::parent).map(|folder| folder.join("sekisho"));
        let program = program.filter(|path| path.exists()).ok_or("build the binary first")?;
        let folder = tempfile::tempdir()?;
        let log = File::create(folder.path().join("log"))?;
        let child = process::prepare(program)
            .args(["server", "--die-with-parent", "--socket"])
            .arg(folder.path().join("socket"))
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .arg(format!("--kubernetes={}", kubeconfig.display()))
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .stdout(log)
            .spawn()?;
        Ok(Self { child, folder, read: 0, rest: Vec::new() })
    }

    /// Changes of pods and Services that were not told before: `ADDED name`, `MODIFIED name` or
    /// `DELETED name`.
    pub(crate) fn news(&mut self) -> Result<Vec<String>, Fault> {
        let path: PathBuf = self.folder.path().join("data/inventory.jsonl");
        let Ok(mut file) = File::open(path) else { return Ok(Vec::new()) };
        file.seek(SeekFrom::Start(self.read))?;
        self.read += u64::try_from(file.read_to_end(&mut self.rest)?)?;
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        let mut news = Vec::new();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: Value = serde_json::from_slice(line)?;
            let text = |pointer: &str| line.pointer(pointer).and_then(Value::as_str);
            // Of one that is gone the line has only the name.
            let name = text("/object/metadata/name").or_else(|| text("/object/name"));
            if let (Some("Pod" | "Service"), Some(change), Some(name)) =
                (text("/object/kind"), text("/type"), name)
            {
                news.push(format!("{change} {name}"));
            }
        }
        Ok(news)
    }

    pub(crate) fn memory(&self) -> Result<Memory, Fault> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let figure = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            kib.map_or_else(|| Err(format!("/proc tells no {name}")), |kib| Ok(kib * 1_024))
        };
        let (resident, peak, anonymous) = (figure("VmRSS")?, figure("VmHWM")?, figure("RssAnon")?);
        Ok(Memory { resident, peak, anonymous })
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        terminate(&mut self.child, Duration::from_secs(10));
    }
}
