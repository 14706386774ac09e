//! Flows as they come, as server-sent events (WHATWG HTML, section 9.2).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use tokio::sync::OwnedSemaphorePermit;

use super::router::{Context, now};
use super::sign_in::Asker;
use super::{FlowsQuestion, Problem};
use crate::Refusal;

/// Between two looks for new flows.
const POLL: Duration = Duration::from_millis(250);
/// Between two signs of life.
const ALIVE: Duration = Duration::from_secs(15);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A stream between two of its events.
struct Stream {
    context: Context,
    asker: Asker,
    question: FlowsQuestion,
    cursor: u64,
    ready: VecDeque<Event>,
    _turn: OwnedSemaphorePermit,
}

/// Begins a stream after the flow that the client had last; else with what comes now.
pub(crate) async fn begin(
    context: Context,
    asker: Asker,
    question: FlowsQuestion,
    headers: &HeaderMap,
) -> Response {
    let Ok(turn) = Arc::clone(&context.streams).try_acquire_owned() else {
        let text = "too many streams are open: close one, or ask for pages";
        return Problem::from(Refusal::Unavailable(text.to_owned())).into_response();
    };
    let last = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()?.parse().ok());
    let mut stream = Stream {
        context,
        asker,
        question,
        cursor: last.unwrap_or(u64::MAX),
        ready: VecDeque::new(),
        _turn: turn,
    };
    // Wrong questions are told as an answer, not as a stream that ends.
    if let Err(problem) = stream.look().await {
        return problem.into_response();
    }
    let events = futures_util::stream::unfold(stream, |mut stream| async move {
        let event = stream.next().await?;
        Some((Ok::<_, Infallible>(event), stream))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)).into_response()
}

impl Stream {
    /// The next event; None = who asked may no more, or the cluster is gone.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            tokio::time::sleep(POLL).await;
            self.asker.is_good(&self.context, now()).then_some(())?;
            self.look().await.ok()?;
        }
    }

    /// Makes events of what came since.
    async fn look(&mut self) -> Result<(), Problem> {
        let (people, account) = (Arc::clone(&self.context.people), self.asker.account.clone());
        let (question, cursor) = (self.question.clone(), self.cursor);
        let asked = move || people.follow(&account, &question, cursor);
        let page = tokio::task::spawn_blocking(asked).await;
        let page = page.map_err(|_panicked| Problem::internal())?.map_err(Problem::from)?;
        let mut events: VecDeque<Event> = VecDeque::new();
        if page.missed > 0 && self.cursor != u64::MAX {
            events.push_back(Event::default().event("missed").data(page.missed.to_string()));
        }
        for flow in &page.flows {
            let data = serde_json::to_string(flow).map_err(|_cause| Problem::internal())?;
            events.push_back(Event::default().event("flow").data(data));
        }
        if page.cursor != self.cursor {
            // Without data it is no event: only what `Last-Event-ID` will say.
            events.push_back(Event::default().id(page.cursor.to_string()));
        }
        self.cursor = page.cursor;
        self.ready = events;
        Ok(())
    }
}
