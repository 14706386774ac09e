//! Reads packets and bytes per rule.

use std::collections::BTreeMap;

use sekisho_model::DecidedBy;
use serde::Deserialize;

use crate::chains::STRAY;
use crate::executor::{Executor, NftError};

/// First packets of connections, by who decided, since the table was last replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleCounters {
    /// Decision -> (packets, bytes). Only the packets that were judged are counted: those that
    /// open a connection (for UDP, those before the first reply).
    pub rules: BTreeMap<DecidedBy, (u64, u64)>,
    /// Packets of isolated endpoints that belong to no connection and open none: dropped when
    /// enforcing, never logged.
    pub stray: (u64, u64),
}

/// Counters could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CountersError {
    /// nft failed.
    #[error("list counters")]
    List(#[source] NftError),
    /// nft printed something else than the JSON we know (libnftables-json(5)).
    #[error("read nft's counters")]
    Json(#[source] serde_json::Error),
}

#[derive(Deserialize)]
struct Listing {
    nftables: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    counter: Option<Counter>,
}

#[derive(Deserialize)]
struct Counter {
    name: String,
    packets: u64,
    bytes: u64,
}

/// Reads all counters of our table.
pub(crate) fn read(
    executor: &dyn Executor,
    table: &str,
    decisions: &BTreeMap<u32, DecidedBy>,
) -> Result<RuleCounters, CountersError> {
    let text = executor
        .nft(&["-j", "list", "counters", "table", "inet", table], "")
        .map_err(CountersError::List)?;
    let listing: Listing = serde_json::from_str(&text).map_err(CountersError::Json)?;
    let mut counters = RuleCounters::default();
    for counter in listing.nftables.into_iter().filter_map(|item| item.counter) {
        let counts = (counter.packets, counter.bytes);
        if counter.name == STRAY {
            counters.stray = counts;
        }
        let id = counter.name.get(2..).and_then(|hex| u32::from_str_radix(hex, 16).ok());
        if let Some(decided) = id.and_then(|id| decisions.get(&id)) {
            counters.rules.insert(decided.clone(), counts);
        }
    }
    Ok(counters)
}
