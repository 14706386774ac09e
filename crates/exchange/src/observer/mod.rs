//! Hubble's Observer API in values: its messages, our flows in them, its filters, and its flows as
//! records. Who serves or asks for them is not known here.

mod filter;
mod mask;
pub mod messages;
mod pattern;
mod read;
mod selector;
mod tell;
mod wire;

pub use filter::{Filters, RefusedFilter};
pub use mask::{Mask, UnknownPath};
pub use read::{digest, read, time};
pub use tell::{Stand, flow, instant, kernel_drop, lost, stand};
