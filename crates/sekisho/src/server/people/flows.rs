//! Flows in memory: pages of them, and what came since.

use sekisho_api::{Account, FlowPage, FlowsQuestion, Refusal};
use sekisho_model::Flow;
use serde::Serialize;

use crate::server::fleet::Fleet;

/// Flows looked at for one look of a stream.
const LOOK_MAX: usize = 5_000;

/// A page of flows.
#[derive(Debug, Serialize)]
pub(super) struct Flows {
    /// Newest first.
    flows: Vec<Numbered>,
    /// Ask with `before=` this for older ones; None = these are the last in memory.
    next: Option<u64>,
}

/// A flow with its number, which ascends with each flow since the server started.
#[derive(Debug, Serialize)]
struct Numbered {
    number: u64,
    #[serde(flatten)]
    flow: Flow,
}

impl Fleet {
    /// A page, newest first.
    pub(super) fn page(&self, account: &Account, of: &FlowsQuestion) -> Result<Flows, Refusal> {
        let core = self.pick(of.cluster.as_ref())?.core();
        let mut flows: Vec<Numbered> = Vec::new();
        let mut next = None;
        for (number, flow) in core.recent.before(of.before.unwrap_or(u64::MAX)) {
            if !account.sees(&flow.key) || !of.filter.takes(flow) {
                continue;
            }
            if flows.len() == of.limit {
                next = flows.last().map(|last| last.number);
                break;
            }
            flows.push(Numbered { number, flow: flow.clone() });
        }
        Ok(Flows { flows, next })
    }

    /// What came after `cursor`.
    pub(super) fn flows_after(
        &self,
        account: &Account,
        of: &FlowsQuestion,
        cursor: u64,
    ) -> Result<FlowPage, Refusal> {
        let core = self.pick(of.cluster.as_ref())?.core();
        let page = core.recent.page(cursor, LOOK_MAX);
        let taken =
            page.items.into_iter().filter(|flow| account.sees(&flow.key) && of.filter.takes(flow));
        Ok(FlowPage { cursor: page.cursor, missed: page.missed, flows: taken.cloned().collect() })
    }
}
