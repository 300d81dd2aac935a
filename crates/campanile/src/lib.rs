//! Campanile as a library.

pub mod api;
pub mod authority;
pub mod background;
#[cfg(target_os = "linux")]
pub mod bench;
pub mod cli;
pub mod config;
pub mod metrics;
pub mod operations;
mod overrides;
pub mod proxy;
pub mod serve;
pub mod token;
pub mod transport;
