//! What a Hubble server tells, as the importer of Hubble's JSON reads it: one meaning for both forms.

use std::hash::BuildHasher as _;

use prost::Message as _;
use sekisho_model::Timestamp;

use super::messages::{Flow, GetFlowsResponse, Time, Told};
use crate::formats::hubble;
use crate::record::{Item, Reject};

/// Reads one answer; None = it says nothing.
///
/// # Errors
/// [`Reject`] if it can't be understood.
pub fn read(response: &GetFlowsResponse) -> Result<Option<Item>, Reject> {
    match &response.told {
        Some(Told::Flow(flow)) => {
            hubble::Flow::of_message(flow).item(&mut hubble::Ends::default()).map(Some)
        }
        Some(Told::Lost(lost)) => {
            let at = response.time.as_ref().and_then(time);
            Ok(Some(Item::Lost { at, records: lost.num_events_lost.max(1) }))
        }
        Some(Told::NodeStatus(_)) => Ok(Some(Item::Skipped("the state of a node"))),
        // A kind of answer that is newer than we are is one that is missing.
        None => Err(Reject::new("neither flow nor lost_events nor node_status")),
    }
}

/// A time of protobuf's; None = before 1970, or none at all.
#[must_use]
pub fn time(time: &Time) -> Option<Timestamp> {
    let seconds = u64::try_from(time.seconds).ok()?;
    let nanos = u64::try_from(time.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    let all = seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?;
    Some(Timestamp::from_nanos(all)).filter(|at| *at <= Timestamp::MAX)
}

/// A number by which a flow is known again: equal flows have the same, others most likely another.
#[must_use]
pub fn digest(flow: &Flow) -> u64 {
    foldhash::quality::FixedState::default().hash_one(flow.encode_to_vec())
}
