//! The control socket: one request a line, one answer a line.

use std::io::{self, BufReader};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::supervisor::Event;
use super::{Request, Response};
use crate::protocol::{receive, send};

/// Connections served at a time; more are closed at once.
const CONNECTIONS_MAX: usize = 32;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Listens at `path`, which only root may connect to.
///
/// # Errors
/// If the socket can't be made.
pub(super) fn serve(path: &Path, events: SyncSender<Event>) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    let open = Arc::new(AtomicUsize::new(0));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
                open.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let (events, open) = (events.clone(), Arc::clone(&open));
            thread::spawn(move || {
                if let Err(error) = converse(stream, &events) {
                    tracing::debug!(%error, "control connection");
                }
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    Ok(())
}

fn converse(stream: UnixStream, events: &SyncSender<Event>) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE_TIMEOUT))?;
    stream.set_write_timeout(Some(IDLE_TIMEOUT))?;
    let mut answers = stream.try_clone()?;
    let mut requests = BufReader::new(stream);
    loop {
        let request: Request = match receive(&mut requests) {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(error) => {
                let message = format!("read the request: {error}");
                return send(&mut answers, &Response::Failed { message });
            }
        };
        let (reply, answer) = sync_channel(1);
        let gone = || Response::Failed { message: "the lab is ending".to_owned() };
        let response = match events.send(Event::Request { request, reply }) {
            Ok(()) => answer.recv_timeout(ANSWER_TIMEOUT).unwrap_or_else(|_ended| gone()),
            Err(_) => gone(),
        };
        send(&mut answers, &response)?;
    }
}
