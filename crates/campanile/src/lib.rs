//! Campanile as a library.

pub mod authority;
pub mod cli;
pub mod config;
pub mod serve;
pub mod token;
pub mod transport;
