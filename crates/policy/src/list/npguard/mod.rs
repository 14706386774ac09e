//! Lists as np-guard/netpol-analyzer makes and prints them.
//!
//! What differs from our own lists: pods and their workload are listed apart if both are there; a
//! pod belongs to its direct owner; external ranges are IPv4 only, and cut at every range that a
//! policy names in that direction; an ingress controller is a pod of its own namespace; input that
//! makes answers ambiguous is refused.

mod cluster;
mod make;
mod print;
mod ranges;
mod refuse;

pub use cluster::cluster;
pub use make::list;
pub(crate) use print::quoted;
pub use print::{Form, connections, end_name, print};
pub(crate) use ranges::ranges;
pub use refuse::check;
