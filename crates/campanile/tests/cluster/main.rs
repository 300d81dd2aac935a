//! Brokers against real servers, which each test starts for itself and stops.

#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "redis")]
mod redis;
mod support;
