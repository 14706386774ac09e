//! Follows a Hubble Relay, a Cilium agent, or another Sekisho.
//!
//! A connection that breaks is made again after 1 s, then 2 s, up to a minute, and goes on a little
//! before the last flow: flows come ordered by time about as well as clocks agree. What came before is
//! known by its bytes. After a restart of the server it goes on right after the last flow in history.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sekisho_api::{Relay, RelayError, RelayFlows};
use sekisho_base::error_chain;
use sekisho_exchange::observer::messages::{GetFlowsResponse, Told};
use sekisho_exchange::observer::{digest, read, time};
use sekisho_exchange::{Format, Import};
use sekisho_model::Timestamp;

use super::follow::Worker;
use super::intake::Intake;
use super::resume::Position;
use crate::server::service::now;
use crate::signals::Stop;

/// Answers that are read at once.
const BATCH: usize = 512;
/// What was read is recorded so often.
const RECORD_PERIOD: Duration = Duration::from_millis(500);
/// Between two tries to connect: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// A connection that lasted so long was a good one: the next try comes soon.
const LASTED: Duration = Duration::from_secs(10);
/// How far before its last flow a connection goes on, seconds.
const OVERLAP_S: u64 = 5;
/// Flows that are known again.
const SEEN_MAX: usize = 65_536;

/// What came last.
#[derive(Default)]
struct Seen {
    /// Time of the latest flow.
    last: Option<Timestamp>,
    /// Those shortly before it.
    flows: BTreeSet<(Timestamp, u64)>,
    /// Up to this time, flows may come a second time.
    again_to: Option<Timestamp>,
    /// Up to this time there were too many to know them all again: they are not asked for.
    forgotten: Timestamp,
}

impl Seen {
    /// Where the next connection begins.
    fn since(&self) -> Timestamp {
        match self.last {
            None => Timestamp::EPOCH,
            Some(last) if self.flows.is_empty() => Timestamp::from_nanos(last.nanos() + 1),
            Some(last) => {
                let known = Timestamp::from_nanos(self.forgotten.nanos() + 1);
                last.minus_seconds(OVERLAP_S).max(known)
            }
        }
    }

    /// Whether `response` is new.
    fn is_new(&mut self, response: &GetFlowsResponse) -> bool {
        let Some(Told::Flow(flow)) = &response.told else { return true };
        let Some(at) = flow.time.as_ref().and_then(time) else { return true };
        let name = (at, digest(flow));
        if self.again_to.is_some_and(|to| at <= to) && self.flows.contains(&name) {
            return false;
        }
        // A clock that is ahead moves nothing.
        let at = at.min(now());
        let last = self.last.map_or(at, |last| last.max(at));
        self.last = Some(last);
        if at >= last.minus_seconds(OVERLAP_S) {
            self.flows.insert(name);
        }
        let horizon = last.minus_seconds(OVERLAP_S);
        while self.flows.len() > SEEN_MAX {
            self.forgotten = self.flows.pop_first().map_or(self.forgotten, |(oldest, _)| oldest);
        }
        while self.flows.first().is_some_and(|(oldest, _)| *oldest < horizon) {
            self.flows.pop_first();
        }
        true
    }
}

/// Follows `relay` until `stop`.
pub(super) async fn run(relay: Relay, mut worker: Worker, stop: Stop) {
    let begin = |intake: &mut Intake| {
        intake.read_with(Import::new(Format::Hubble, now()));
        (intake.resumes_at(), intake.shown.clone())
    };
    let Some((position, shown)) = worker.run(begin).await else { return };
    let mut seen = Seen::default();
    if let Some(Position::Time(last)) = position {
        seen.last = Some(last);
    }
    let mut pause = PAUSE_MIN;
    loop {
        seen.again_to = seen.last;
        let followed = tokio::select! {
            () = stop.wait() => return,
            followed = relay.follow(Some(seen.since())) => followed,
        };
        let begun = Instant::now();
        let ended = match followed {
            Ok(flows) => {
                shown.say("following", "");
                let (back, ended) = drain(flows, seen, &mut worker, &stop).await;
                seen = back;
                let Some(ended) = ended else { return };
                ended
            }
            Err(error) => Err(error),
        };
        let why = match ended {
            Ok(()) => format!("`{}` ended the stream", relay.place()),
            Err(error) => error_chain(&error),
        };
        shown.say("waiting", &why);
        shown.count_restart();
        if begun.elapsed() >= LASTED {
            pause = PAUSE_MIN;
        }
        tokio::select! {
            () = stop.wait() => return,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
        }
    }
}

/// Reads until the stream ends and says why; None = there is nothing more to do.
async fn drain(
    mut flows: RelayFlows,
    mut seen: Seen,
    worker: &mut Worker,
    stop: &Stop,
) -> (Seen, Option<Result<(), RelayError>>) {
    let mut ticks = tokio::time::interval(RECORD_PERIOD);
    let mut stopped = std::pin::pin!(stop.wait());
    let mut batch = Vec::new();
    loop {
        let (ended, due) = tokio::select! {
            () = &mut stopped => (Some(None), true),
            _ = ticks.tick() => (None, true),
            next = flows.next() => match next {
                Ok(Some(response)) => {
                    batch.push(response);
                    (None, false)
                }
                Ok(None) => (Some(Some(Ok(()))), true),
                Err(error) => (Some(Some(Err(error))), true),
            },
        };
        if due || batch.len() >= BATCH {
            let read = std::mem::take(&mut batch);
            let done = worker.run(move |intake| (take(intake, &mut seen, &read), seen)).await;
            let Some(((), back)) = done else { return (Seen::default(), None) };
            seen = back;
            if worker.record(true, stop).await.is_none() {
                return (seen, None);
            }
        }
        if let Some(ended) = ended {
            return (seen, ended);
        }
    }
}

fn take(intake: &mut Intake, seen: &mut Seen, batch: &[GetFlowsResponse]) {
    for response in batch {
        if seen.is_new(response) {
            let says = read(response);
            let sample = if says.is_err() { format!("{response:?}") } else { String::new() };
            intake.take(sample.as_bytes(), says);
        }
    }
    if let Some(last) = seen.last.filter(|_| !batch.is_empty()) {
        intake.reached(Position::Time(last));
    }
}

#[cfg(test)]
mod tests {
    use sekisho_exchange::observer::instant;
    use sekisho_exchange::observer::messages::Flow;

    use super::*;

    fn response(nanos: u64, uuid: u64) -> GetFlowsResponse {
        let time = Some(instant(Timestamp::from_nanos(nanos)));
        let flow = Flow { time, uuid: uuid.to_string(), ..Flow::default() };
        let told = Some(Told::Flow(Box::new(flow)));
        GetFlowsResponse { told, ..GetFlowsResponse::default() }
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn what_came_shortly_before_a_connection_broke_is_known_again_and_what_is_new_is_not() {
        let mut seen = Seen::default();
        assert_eq!(seen.since(), Timestamp::EPOCH);
        assert!(seen.is_new(&response(100 * SECOND, 1)) && seen.is_new(&response(103 * SECOND, 2)));
        // On the same connection, a second one is another one.
        assert!(seen.is_new(&response(103 * SECOND, 2)));
        seen.again_to = seen.last;
        assert_eq!(seen.since(), Timestamp::from_seconds(98));
        assert!(
            !seen.is_new(&response(100 * SECOND, 1)) && !seen.is_new(&response(103 * SECOND, 2))
        );
        assert!(seen.is_new(&response(101 * SECOND, 3)) && seen.is_new(&response(104 * SECOND, 4)));
    }

    #[test]
    fn what_can_not_be_known_again_is_not_asked_for_again_nor_is_the_future() {
        let mut seen = Seen::default();
        let begin = 100 * SECOND;
        for number in 0..SEEN_MAX as u64 + 10 {
            seen.is_new(&response(begin + number, number));
        }
        assert_eq!(seen.flows.len(), SEEN_MAX);
        assert_eq!(seen.since(), Timestamp::from_nanos(begin + 10));
        let restarted = Seen { last: Some(Timestamp::from_nanos(begin)), ..Seen::default() };
        assert_eq!(restarted.since(), Timestamp::from_nanos(begin + 1));
        let late = now().plus_seconds(10_000).nanos();
        seen.is_new(&response(late, 1));
        assert!(seen.last.unwrap() <= now());
    }
}
