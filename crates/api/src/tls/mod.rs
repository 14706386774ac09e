//! Mutual TLS: who is at the other end of a connection, and the files that prove who we are. And TLS
//! of those who send by protocols of others ([`SenderTls`]).

mod authority;
mod identity;
mod listener;
mod material;
mod reason;
mod senders;
mod signer;
mod slots;

pub use authority::{Authority, AuthorityError, Issued};
pub use identity::{Identity, IdentityError, Peer, Role};
pub use listener::{ListenerFigures, ListenerStatus, TlsListenError, TlsListener};
pub use material::{Lifetime, MaterialError, TlsFiles};
pub use senders::{HandshakeError, SenderFiles, SenderTls};

pub(crate) use authority::request;
pub(crate) use material::{
    Material, Speech, client_of_strangers, nameless_client, server_of_people,
};
pub(crate) use reason::{Cause, explained};
pub(crate) use signer::{Signer, of_node};
pub(crate) use slots::{Slot, Slots};
