//! What a Campanile server does: channels, streams, sessions, presence, history, permissions.
//!
//! It owns the meaning of every command and the way of every publication. It refuses to know
//! sockets, HTTP, Redis, tokens, timers and runtimes: time is told to it, credentials come
//! verified, and bytes leave it in outboxes that somebody else writes.
//!
//! Start with [`shard`], which holds everything that belongs to one worker thread, and [`node`],
//! the one module that knows all others.

pub mod application;
pub mod ask;
pub mod authority;
pub mod broker;
pub mod budget;
#[doc(hidden)] // For brokers elsewhere, which spell the same things.
pub mod bytes;
pub mod channel;
pub mod cluster;
pub mod delivery;
pub mod flights;
pub mod headers;
pub mod hub;
pub mod limits;
pub mod node;
pub mod outbox;
pub mod presence;
pub mod recovery;
pub mod session;
pub mod settings;
pub mod shard;
pub mod store;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod throttle;
pub mod time;
mod turns;
pub mod upkeep;
pub mod wheel;
