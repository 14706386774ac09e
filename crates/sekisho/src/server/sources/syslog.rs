//! Listens for flow logs in syslog messages, over UDP (RFC 5426), TCP (RFC 6587) and TLS (RFC 5425).

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use sekisho_api::SenderTls;
use sekisho_base::error_chain;
use sekisho_exchange::{Format, Import};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::follow::Worker;
use super::intake::{Intake, Shown};
use super::sockets::{Datagrams, RECORD_PERIOD, may_send};
use super::syslog_message::{Framed, Messages, payload};
use crate::server::service::now;
use crate::signals::Stop;

/// Connections at one time, and of one address.
const CONNECTIONS_MAX: usize = 64;
/// Pieces of all connections that wait to be read; then connections wait.
const PIECES_MAX: usize = 64;
const PIECE_BYTES: usize = 64 << 10;
/// A connection that says nothing for so long is ended.
const IDLE_MAX: Duration = Duration::from_secs(3_600);
/// How often renewed files are looked for.
const RENEW_PERIOD: Duration = Duration::from_secs(30);
/// Pause after a failed accept: out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who may send, and what.
type Terms = (Vec<IpNet>, Option<Format>);

/// Reads datagrams, each a message, until `stop`.
pub(super) async fn run_udp(socket: UdpSocket, terms: Terms, mut worker: Worker, stop: Stop) {
    let (senders, format) = terms;
    let Some(shown) = worker.run(|intake| intake.shown.clone()).await else { return };
    let mut datagrams = Datagrams::new(socket, senders, shown.clone());
    let mut ticks = tokio::time::interval(RECORD_PERIOD);
    let mut stopped = std::pin::pin!(stop.wait());
    loop {
        let (batch, over) = tokio::select! {
            () = &mut stopped => (Vec::new(), true),
            _ = ticks.tick() => (Vec::new(), false),
            batch = datagrams.next() => (batch, false),
        };
        let due = over || batch.is_empty();
        let dropped = if due { datagrams.newly_dropped() } else { 0 };
        if worker.run(move |intake| intake.lose(dropped)).await.is_none() {
            return;
        }
        let messages = batch.into_iter().map(|(_sender, message)| Ok(message)).collect();
        if work(&mut worker, (messages, format), due, &stop).await.is_none() || over {
            return;
        }
        shown.say("listening", "");
    }
}

/// A listener of streams, and who is let in.
pub(super) struct Door {
    listener: TcpListener,
    /// None: in the clear.
    tls: Option<SenderTls>,
    senders: Vec<IpNet>,
    /// Why the last was not let in, so that a log tells it once.
    last: Arc<Mutex<String>>,
}

impl Door {
    pub(super) fn new(listener: TcpListener, tls: Option<SenderTls>, senders: Vec<IpNet>) -> Self {
        Self { listener, tls, senders, last: Arc::default() }
    }

    fn is_taken(&self, from: IpAddr, connections: usize) -> bool {
        connections < CONNECTIONS_MAX && may_send(&self.senders, from)
    }

    /// Takes renewed files, if they are good.
    fn renew(&mut self) {
        if let Some(Err(error)) = self.tls.as_mut().map(SenderTls::renew) {
            tell(&self.last, &format!("renewed files can't be used: {}", error_chain(&error)));
        }
    }

    /// Reads a connection to its end, once it is let in.
    fn guest(
        &self,
        stream: TcpStream,
        shown: &Shown,
        pieces: &mpsc::Sender<Vec<Framed>>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (tls, last) = (self.tls.clone(), Arc::clone(&self.last));
        let (shown, pieces) = (shown.clone(), pieces.clone());
        async move {
            let Some(tls) = tls else { return read(stream, pieces).await };
            match tls.accept(stream).await {
                Ok(mut stream) => {
                    read(&mut stream, pieces).await;
                    // Who has gone needs no farewell.
                    stream.shutdown().await.ok();
                }
                Err(error) => {
                    shown.count_refused();
                    tell(&last, &error_chain(&error));
                }
            }
        }
    }
}

/// Logs what was not logged the last time: who is refused comes again and again.
fn tell(last: &Mutex<String>, what: &str) {
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    if *last != what {
        tracing::warn!(why = what, "a sender of syslog over TLS is not let in");
        what.clone_into(&mut last);
    }
}

/// Takes connections until `stop`; then what came already is read.
pub(super) async fn run_stream(
    mut door: Door,
    format: Option<Format>,
    mut worker: Worker,
    stop: Stop,
) {
    let Some(shown) = worker.run(|intake| intake.shown.clone()).await else { return };
    let (sender, mut pieces) = mpsc::channel(PIECES_MAX);
    let mut connections = JoinSet::new();
    let mut ticks = tokio::time::interval(RECORD_PERIOD);
    let mut files = tokio::time::interval(RENEW_PERIOD);
    let mut stopped = std::pin::pin!(stop.wait());
    loop {
        let (batch, due, over) = tokio::select! {
            () = &mut stopped => (Vec::new(), true, true),
            _ = ticks.tick() => (Vec::new(), true, false),
            Some(batch) = pieces.recv() => (batch, false, false),
            Some(_ended) = connections.join_next() => continue,
            _ = files.tick() => {
                door.renew();
                continue;
            }
            accepted = door.listener.accept() => {
                match accepted {
                    Ok((stream, from)) if door.is_taken(from.ip(), connections.len()) => {
                        connections.spawn(door.guest(stream, &shown, &sender));
                    }
                    Ok(_) => shown.count_refused(),
                    Err(error) => accept_failed(&shown, &error).await,
                }
                continue;
            }
        };
        if work(&mut worker, (batch, format), due, &stop).await.is_none() || over {
            return;
        }
        shown.say("listening", "");
    }
}

async fn accept_failed(shown: &Shown, error: &std::io::Error) {
    shown.say("waiting", &format!("accept a connection: {error}"));
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// Reads a connection to its end.
async fn read(mut stream: impl AsyncRead + Unpin, pieces: mpsc::Sender<Vec<Framed>>) {
    let mut messages = Messages::default();
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let read = tokio::time::timeout(IDLE_MAX, stream.read(&mut buffer)).await;
        let Ok(Ok(length @ 1..)) = read else { break };
        let framed = messages.feed(buffer.get(..length).unwrap_or_default());
        if pieces.send(framed).await.is_err() {
            return;
        }
    }
    // Nobody takes it only if the server ends.
    pieces.send(messages.end().into_iter().collect()).await.ok();
}

/// Reads messages, and records if it is time; None = it is over.
async fn work(
    worker: &mut Worker,
    (messages, format): (Vec<Framed>, Option<Format>),
    due: bool,
    stop: &Stop,
) -> Option<()> {
    let read = worker.run(move |intake| {
        messages.into_iter().for_each(|framed| take(intake, framed, format));
        intake.is_full()
    });
    let full = read.await?;
    if due || full { worker.record(true, stop).await } else { Some(()) }
}

fn take(intake: &mut Intake, framed: Framed, format: Option<Format>) {
    let message = match framed {
        Ok(message) => message,
        Err((sample, why)) => return intake.reject(&sample, why),
    };
    let line = match payload(&message) {
        Ok(line) => line,
        Err(why) => return intake.reject(&message, why),
    };
    if !intake.has_format() {
        let found = format.or_else(|| Format::of_content(line).ok().filter(|it| it.is_lines()));
        let Some(found) = found else {
            return intake.reject(line, "a syslog message that carries no known flow log");
        };
        intake.read_with(Import::new(found, now()));
    }
    intake.piece(&[line, b"\n"].concat());
}
