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

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use sekisho_model::{EdgeKey, EdgeStats, Party, Protocol, Timestamp, Verdict};

    use super::*;

    fn flows(numbers: std::ops::Range<u64>) -> Vec<Flow> {
        numbers.map(flow).collect()
    }

    fn flow(number: u64) -> Flow {
        let address = IpAddr::from([10, 244, 0, 1]);
        let party = Arc::new(Party::external(address, None));
        let key = EdgeKey {
            source: Arc::clone(&party),
            source_process: None,
            destination: party,
            destination_process: None,
            protocol: Protocol::Tcp,
            port: 80,
            service: None,
            verdict: Verdict::Allowed,
            decided_by: None,
            direction_inferred: false,
        };
        let stats = EdgeStats { bytes_sent: number, ..EdgeStats::default() };
        let at = (address, 80).into();
        Flow { key, source: at, destination: at, opened: Timestamp::EPOCH, stats }
    }

    fn sent(page: &FlowPage) -> Vec<u64> {
        page.flows.iter().map(|flow| flow.stats.bytes_sent).collect()
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let mut recent = RecentFlows::new(10);
        recent.extend(&flows(0..5));
        let first = recent.page(0, 3);
        assert_eq!((sent(&first), first.cursor, first.missed), (vec![0, 1, 2], 3, 0));
        let second = recent.page(first.cursor, 3);
        assert_eq!((sent(&second), second.cursor, second.missed), (vec![3, 4], 5, 0));
        assert_eq!(recent.page(second.cursor, 3), FlowPage { cursor: 5, ..FlowPage::default() });
        assert_eq!(recent.page(u64::MAX, 3), FlowPage { cursor: 5, ..FlowPage::default() });
    }

    #[test]
    fn the_oldest_give_way_and_a_reader_is_told_how_many_it_missed() {
        let mut recent = RecentFlows::new(3);
        recent.extend(&flows(0..2));
        recent.extend(&flows(2..7));
        let page = recent.page(1, 9);
        assert_eq!((sent(&page), page.cursor, page.missed), (vec![4, 5, 6], 7, 3));
        assert_eq!(recent.added(), 7);
    }
}
