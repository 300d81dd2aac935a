//! Servers to test against.

#[cfg(feature = "nats")]
pub(crate) mod nats;
