//! All allowed connections of a cluster as a list, between workloads and with the outside.
//!
//! [`Listing`] is the list as data. [`PolicyDiff`] compares two lists. Both print themselves in
//! the forms of `policy list` and `policy diff`; [`npguard`] prints them word for word as
//! np-guard/netpol-analyzer does, so that answers can be compared line by line.

mod build;
mod diff;
mod diff_text;
mod end;
mod exposed;
mod externals;
mod focus;
pub(crate) mod gateway;
pub mod npguard;
mod text;
pub(crate) mod units;

pub use build::{ListError, Listing, ROWS_MAX, Row, Scope};
pub use diff::{ChangeKind, PairChange, PolicyDiff};
pub use diff_text::DiffForm;
pub use end::End;
pub use exposed::Exposed;
pub use focus::{Focus, FocusDirection};
pub use text::ListForm;
