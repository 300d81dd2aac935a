//! JSON Web Tokens of clients: signing them for tests and tools, verifying them for connections.
//!
//! Owns which claims mean what (client protocol, section 13), and whose signatures are believed. Does not know which channels exist,
//! does not read a clock, and does not decide what a failure costs the client.

mod claims;
mod compact;
mod jwks;
mod key;
mod sign;
#[cfg(test)]
mod tests;
mod verify;

pub use claims::{ChannelGrant, Overrides};
pub use jwks::{EndpointError, JwksEndpoint};
pub use key::{KeyError, VerifyingKey};
pub use sign::{NewToken, SignError, sign};
pub use verify::{ConnectionToken, Invalid, SubscriptionToken, TokenError, Verifier};
