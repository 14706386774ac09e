//! Hubble's Observer API: served from our flows ([`HubbleListener`], [`hubble_router`]), and followed
//! where another server has it ([`Relay`]).

mod answers;
mod flows;
mod listen;
mod question;
mod relay;
mod routes;

pub use listen::{HubbleListenError, HubbleListener};
pub use relay::{Relay, RelayError, RelayFlows, RelayTls};
pub use routes::hubble_router;
