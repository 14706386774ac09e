//! Listens for NetFlow 5 and 9 and IPFIX over UDP (RFC 3954, RFC 7011 §10.3).
//!
//! Templates are those of the exporter (address and port) and its domain that sent them. Records that
//! come before their template can't be read, and are rejected and counted as lost: exporters send
//! templates again every few minutes. Numbers of messages tell what was lost on the way.

use ipnet::IpNet;
use sekisho_exchange::{Format, Import};
use tokio::net::UdpSocket;

use super::follow::Worker;
use super::intake::Intake;
use super::sockets::{Datagram, Datagrams, RECORD_PERIOD};
use crate::server::service::now;
use crate::signals::Stop;

/// Reads datagrams until `stop`.
pub(super) async fn run(socket: UdpSocket, senders: Vec<IpNet>, mut worker: Worker, stop: Stop) {
    let begin = |intake: &mut Intake| {
        if let Ok(import) = Import::listening(Format::Netflow, now()) {
            intake.read_with(import);
        }
        intake.shown.clone()
    };
    let Some(shown) = worker.run(begin).await else { return };
    let mut datagrams = Datagrams::new(socket, senders, shown.clone());
    let mut ticks = tokio::time::interval(RECORD_PERIOD);
    let mut stopped = std::pin::pin!(stop.wait());
    loop {
        let (batch, over): (Vec<Datagram>, bool) = tokio::select! {
            () = &mut stopped => (Vec::new(), true),
            _ = ticks.tick() => (Vec::new(), false),
            batch = datagrams.next() => (batch, false),
        };
        let due = batch.is_empty();
        let dropped = if due { datagrams.newly_dropped() } else { 0 };
        let read = worker.run(move |intake| {
            intake.lose(dropped);
            batch.iter().for_each(|(sender, payload)| intake.datagram(*sender, payload));
            intake.is_full()
        });
        let Some(full) = read.await else { return };
        if due || full || over {
            if worker.record(true, &stop).await.is_none() {
                return;
            }
            shown.say("listening", "");
        }
        if over {
            return;
        }
    }
}
