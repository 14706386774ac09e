//! That something changed, as server-sent events: who looks at a map asks for it anew then.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use tokio::sync::OwnedSemaphorePermit;

use super::Problem;
use super::router::{Context, now};
use super::sign_in::Asker;
use crate::Refusal;

/// Between two looks.
const POLL: Duration = Duration::from_millis(200);
/// Looks after which who sees some namespaces only is told in any case, and never else: when flows come
/// that are none of theirs is none of their business.
const BLIND_LOOKS: u32 = 10;
/// Between two signs of life.
const ALIVE: Duration = Duration::from_secs(15);

/// A stream between two of its events.
struct Changes {
    context: Context,
    asker: Asker,
    /// What was told last; None = nothing yet.
    told: Option<u64>,
    _turn: OwnedSemaphorePermit,
}

/// Begins a stream; its first event comes at once.
pub(crate) fn begin(context: Context, asker: Asker) -> Response {
    let Ok(turn) = Arc::clone(&context.streams).try_acquire_owned() else {
        let text = "too many streams are open: close one, or ask again from time to time";
        return Problem::from(Refusal::Unavailable(text.to_owned())).into_response();
    };
    let changes = Changes { context, asker, told: None, _turn: turn };
    let events = futures_util::stream::unfold(changes, |mut changes| async move {
        let event = changes.next().await?;
        Some((Ok::<_, Infallible>(event), changes))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)).into_response()
}

impl Changes {
    /// The next event; None = who asked may no more.
    async fn next(&mut self) -> Option<Event> {
        let is_blind = self.asker.account.namespaces.is_some();
        let mut looks = 0;
        loop {
            let number = match (is_blind, self.told) {
                (false, _) => self.context.pulse().await,
                (true, told) if looks >= BLIND_LOOKS => told.unwrap_or(0) + 1,
                (true, told) => told.unwrap_or(0),
            };
            if self.told != Some(number) {
                self.told = Some(number);
                let data = serde_json::json!({ "number": number }).to_string();
                return Some(Event::default().event("change").data(data));
            }
            tokio::time::sleep(POLL).await;
            looks += 1;
            self.asker.is_good(&self.context, now()).then_some(())?;
        }
    }
}
