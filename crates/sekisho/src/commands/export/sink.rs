//! Where records go: standard output, a file that appears whole or not at all, or a syslog collector.

use std::fs::{File, TryLockError};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use sekisho_exchange::{Stamp, Syslog};

use super::args::{Collector, ExportArgs};

const BUFFER_BYTES: usize = 256 << 10;
/// How long a collector may take to answer or to read on.
const COLLECTOR_PATIENCE: Duration = Duration::from_secs(30);
/// Largest payload of a UDP datagram over IPv4, bytes (RFC 768, RFC 791).
const DATAGRAM_BYTES_MAX: usize = 65_507;

/// A place that takes records.
pub(super) enum Sink {
    Stdout(BufWriter<io::Stdout>),
    File {
        part: PartFile,
        file: BufWriter<File>,
        path: PathBuf,
    },
    /// What is no regular file can't be replaced: a device, a pipe.
    Device {
        file: BufWriter<File>,
        path: PathBuf,
    },
    Stream {
        stream: BufWriter<TcpStream>,
        to: Collector,
        syslog: Syslog,
    },
    Datagrams {
        socket: UdpSocket,
        to: Collector,
        syslog: Syslog,
    },
}

impl Sink {
    /// Opens what `args` ask for.
    pub(super) fn open(args: &ExportArgs) -> anyhow::Result<Self> {
        if let Some(to) = &args.syslog {
            return connect(to, Syslog::new(&hostname(), args.format.name()));
        }
        match args.output.as_deref() {
            None => Ok(Self::Stdout(BufWriter::with_capacity(BUFFER_BYTES, io::stdout()))),
            Some(path) if path == Path::new("-") => {
                Ok(Self::Stdout(BufWriter::with_capacity(BUFFER_BYTES, io::stdout())))
            }
            Some(path) => open_file(path),
        }
    }

    /// Writes text that belongs to no record: a head.
    pub(super) fn write(&mut self, text: &str) -> anyhow::Result<()> {
        match self {
            Self::Stdout(out) => seen_enough(out.write_all(text.as_bytes())),
            Self::File { file, path, .. } | Self::Device { file, path } => {
                file.write_all(text.as_bytes()).with_context(|| writing(path))
            }
            Self::Stream { .. } | Self::Datagrams { .. } => Ok(()),
        }
    }

    /// Writes one record.
    pub(super) fn record(&mut self, stamp: Stamp, record: &str, end: &str) -> anyhow::Result<()> {
        match self {
            Self::Stdout(_) | Self::File { .. } | Self::Device { .. } => {
                self.write(record)?;
                self.write(end)
            }
            Self::Stream { stream, to, syslog } => {
                let framed = Syslog::framed(&syslog.message(stamp, record));
                stream.write_all(framed.as_bytes()).with_context(|| sending(to))
            }
            Self::Datagrams { socket, to, syslog } => {
                let message = syslog.message(stamp, record);
                if message.len() > DATAGRAM_BYTES_MAX {
                    bail!(
                        "{}: a record of {} bytes fits no datagram; use tcp://",
                        sending(to),
                        message.len()
                    );
                }
                socket.send(message.as_bytes()).map(drop).with_context(|| sending(to))
            }
        }
    }

    /// Ends it: only now a file appears under its name.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Stdout(mut out) => seen_enough(out.flush()),
            Self::File { part, file, path } => {
                let file = file.into_inner().map_err(io::IntoInnerError::into_error);
                let file = file.with_context(|| writing(&path))?;
                file.sync_all().with_context(|| writing(&path))?;
                // Locked until it has its name: nobody else empties it before.
                part.become_whole(&path)
            }
            Self::Device { mut file, path } => file.flush().with_context(|| writing(&path)),
            Self::Stream { mut stream, to, .. } => {
                stream.flush().with_context(|| sending(&to))?;
                stream.get_ref().shutdown(Shutdown::Write).with_context(|| sending(&to))
            }
            Self::Datagrams { .. } => Ok(()),
        }
    }
}

/// A reader that closes the pipe has seen enough: that is no failure.
fn seen_enough(done: io::Result<()>) -> anyhow::Result<()> {
    match done {
        Err(error) if error.kind() == ErrorKind::BrokenPipe =>
        {
            #[expect(clippy::exit, reason = "the reader has seen enough; that is no failure")]
            std::process::exit(0)
        }
        other => other.context("write the records"),
    }
}

fn writing(path: &Path) -> String {
    format!("write `{}`", path.display())
}

fn sending(to: &Collector) -> String {
    format!("send to {to}")
}

/// A file beside its final place, removed unless it becomes whole.
///
/// Its name is always the same, so that the next export takes away what a killed one left; a lock,
/// which ends with its process, keeps two exports at once apart.
pub(super) struct PartFile(Option<PathBuf>);

impl PartFile {
    fn open(path: &Path) -> anyhow::Result<(Self, File)> {
        let mut name = path.as_os_str().to_owned();
        name.push(".part");
        let part = PathBuf::from(name);
        let failed = || writing(path);
        loop {
            let file = File::options().write(true).create(true).truncate(false).open(&part);
            let file = file.with_context(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => bail!("{}: another export does now", failed()),
                Err(TryLockError::Error(error)) => return Err(error).with_context(failed),
            }
            // Another may have become whole, or gone, between the opening and the lock.
            let own = file.metadata().with_context(failed)?;
            let there = std::fs::symlink_metadata(&part);
            if there.is_ok_and(|there| (there.dev(), there.ino()) == (own.dev(), own.ino())) {
                file.set_len(0).with_context(failed)?;
                return Ok((Self(Some(part)), file));
            }
            if std::fs::symlink_metadata(&part).is_ok_and(|there| there.is_symlink()) {
                bail!("{}: `{}` is a link", failed(), part.display());
            }
        }
    }

    fn become_whole(mut self, path: &Path) -> anyhow::Result<()> {
        let Some(part) = self.0.take() else { return Ok(()) };
        let renamed = std::fs::rename(&part, path);
        if renamed.is_err() {
            self.0 = Some(part);
        }
        renamed.with_context(|| writing(path))
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if let Some(part) = &self.0 {
            // What is left is told by the error that brought us here.
            std::fs::remove_file(part).ok();
        }
    }
}

fn open_file(path: &Path) -> anyhow::Result<Sink> {
    // A link keeps its place: what it points to is replaced.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_absent| path.to_owned());
    let kind = std::fs::metadata(&path);
    if kind.as_ref().is_ok_and(std::fs::Metadata::is_dir) {
        bail!("{}: it is a folder", writing(&path));
    }
    if kind.is_ok_and(|kind| !kind.is_file()) {
        let file = File::options().write(true).open(&path).with_context(|| writing(&path))?;
        return Ok(Sink::Device { file: BufWriter::with_capacity(BUFFER_BYTES, file), path });
    }
    let (part, file) = PartFile::open(&path)?;
    Ok(Sink::File { part, file: BufWriter::with_capacity(BUFFER_BYTES, file), path })
}

fn connect(to: &Collector, syslog: Syslog) -> anyhow::Result<Sink> {
    let failed = || format!("connect to {to}");
    let addresses: Vec<_> = to.address.to_socket_addrs().with_context(failed)?.collect();
    let mut last = anyhow!("the name has no address");
    for address in addresses {
        let sink = if to.tcp {
            stream(address).map(|stream| Sink::Stream {
                stream: BufWriter::with_capacity(BUFFER_BYTES, stream),
                to: to.clone(),
                syslog: syslog.clone(),
            })
        } else {
            datagrams(address).map(|socket| Sink::Datagrams {
                socket,
                to: to.clone(),
                syslog: syslog.clone(),
            })
        };
        match sink {
            Ok(sink) => return Ok(sink),
            Err(error) => last = error.into(),
        }
    }
    Err(last).with_context(failed)
}

fn stream(address: std::net::SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, COLLECTOR_PATIENCE)?;
    stream.set_write_timeout(Some(COLLECTOR_PATIENCE))?;
    Ok(stream)
}

fn datagrams(address: std::net::SocketAddr) -> io::Result<UdpSocket> {
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    Ok(socket)
}

/// The machine's name (linux v6.18, /proc/sys/kernel/hostname); empty if it can't be read.
fn hostname() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    text.trim().to_owned()
}
