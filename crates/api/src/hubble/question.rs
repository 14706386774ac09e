//! What a client of GetFlows asks for.

use sekisho_exchange::observer::messages::{Flow, GetFlowsRequest, Time};
use sekisho_exchange::observer::{Filters, Mask, time};
use sekisho_model::Timestamp;
use tonic::Status;

/// A question that can be answered.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) filters: Filters,
    /// Flows at most; of a client that follows, those that it begins with.
    pub(super) number: Option<usize>,
    pub(super) first: bool,
    pub(super) follow: bool,
    pub(super) since: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
    pub(super) mask: Option<Mask>,
}

impl Question {
    /// Reads a request; what can't be answered is refused by name.
    pub(super) fn read(request: &GetFlowsRequest) -> Result<Self, Status> {
        let invalid = |text: &str| Status::invalid_argument(text);
        if request.first && request.follow {
            return Err(invalid("first cannot be specified with follow"));
        }
        if !request.experimental.is_empty() || !request.extensions.is_empty() {
            return Err(invalid("`experimental` and `extensions` are not known to this server"));
        }
        let filters = Filters::read(&request.whitelist, &request.blacklist)
            .map_err(|refused| invalid(&refused.to_string()))?;
        let mask = request.field_mask.as_ref().map(Mask::read).transpose();
        let mask = mask.map_err(|unknown| invalid(&unknown.to_string()))?.flatten();
        let moment = |field: &str, given: Option<&Time>| match given {
            None => Ok(None),
            Some(given) => match time(given) {
                Some(at) => Ok(Some(at)),
                None => Err(invalid(&format!("`{field}` is no time after 1970"))),
            },
        };
        Ok(Self {
            filters,
            number: match request.number {
                0 => None,
                number => Some(usize::try_from(number).unwrap_or(usize::MAX)),
            },
            first: request.first,
            follow: request.follow,
            since: moment("since", request.since.as_ref())?,
            until: moment("until", request.until.as_ref())?,
            mask,
        })
    }

    /// Whether a flow of `at` is asked for.
    pub(super) fn takes(&self, at: Timestamp, flow: &Flow) -> bool {
        self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at <= until)
            && self.filters.take(flow)
    }
}
