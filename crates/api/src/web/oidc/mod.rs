//! Sign-in by somebody else's word: OpenID Connect Core 1.0, the authorization code flow with PKCE
//! (RFC 7636).
//!
//! `begin` sends a browser to the provider; what must be the same when it comes back is [`Pending`].
//! [`Provider`] takes the code for an ID token, [`IdToken`] holds only if all of it is right, and
//! the settings' grants say what its holder may do. Nobody gets a session whom no grant names.

mod claims;
mod grants;
mod id_token;
mod pages;
mod pending;
mod provider;
mod settings;

pub(crate) use pages::{begin, end};
pub(crate) use pending::Pending;
pub(crate) use provider::Provider;
pub use settings::{OidcGrant, OidcSettings, OidcSettingsError};
