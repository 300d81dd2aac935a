//! Brokers against real servers, which each test starts for itself and stops.
#![expect(
    clippy::unwrap_used,
    reason = "what starts and breaks servers has nothing better to do than a test that fails"
)]

#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "redis")]
mod redis;
mod support;
