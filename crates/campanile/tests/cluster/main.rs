//! Brokers against real servers, which each test starts for itself and stops.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "what starts servers and breaks them may wait on its own thread, and fails where it stands"
)]

#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "redis")]
mod redis;
mod support;
