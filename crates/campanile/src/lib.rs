//! Campanile as a library.

pub mod api;
pub mod cli;
pub mod config;
pub mod serve;
pub mod token;
