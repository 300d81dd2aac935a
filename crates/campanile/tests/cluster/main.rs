//! Brokers against real servers, which each test starts for itself and stops.

#[cfg(feature = "nats")]
mod nats;
mod support;
