//! Policies x history: what would break; the only maker of [`VerifiedPolicy`].
//!
//! Fails closed: whatever can't be decided is `uncertain`, and a [`VerifiedPolicy`] is made only if
//! no more connections would be blocked than the caller accepted.

mod cases;
mod classes;
mod hits;
mod identities;
mod judge;
mod render;
mod report;
mod rule_ports;
mod verified;
mod what_if;
mod words;

pub use hits::{EdgeHits, Hit, HitEdge, Hits, HitsRequest, SetHits, Word, hits};
pub use render::{json, table};
pub use report::{EdgeClass, EdgeReport, Summary, WhatIfReport};
pub use verified::{RestoreError, VerifiedPolicy, VerifiedRecord};
pub use what_if::{Limits, Request, UNCHANGED_ALL, WhatIf, what_if};
