//! The last flows, in memory, for `observe --follow`.

use std::collections::VecDeque;

use sekisho_api::FlowPage;
use sekisho_model::Flow;

/// A ring of flows with a cursor that never repeats while the server runs.
#[derive(Debug)]
pub(crate) struct RecentFlows {
    flows: VecDeque<Flow>,
    /// Number of flows ever added; the cursor after the newest.
    added: u64,
    capacity: usize,
}

impl RecentFlows {
    /// Makes an empty ring of at most `capacity` flows.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { flows: VecDeque::new(), added: 0, capacity }
    }

    /// Appends, dropping the oldest beyond capacity.
    pub(crate) fn extend(&mut self, flows: &[Flow]) {
        for flow in flows {
            if self.flows.len() >= self.capacity {
                self.flows.pop_front();
            }
            self.flows.push_back(flow.clone());
            self.added += 1;
        }
    }

    /// Flows ever added.
    pub(crate) fn added(&self) -> u64 {
        self.added
    }

    /// At most `count` flows after `cursor`; a cursor of `u64::MAX` gives none and the newest one.
    pub(crate) fn page(&self, cursor: u64, count: usize) -> FlowPage {
        let oldest = self.added - self.flows.len() as u64;
        if cursor >= self.added {
            return FlowPage { cursor: self.added, missed: 0, flows: Vec::new() };
        }
        let from = cursor.max(oldest);
        let skip = usize::try_from(from - oldest).unwrap_or(usize::MAX);
        let flows: Vec<Flow> = self.flows.iter().skip(skip).take(count).cloned().collect();
        FlowPage { cursor: from + flows.len() as u64, missed: from - cursor, flows }
    }
}
