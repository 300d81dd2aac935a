//! Campanile as a library.

pub mod config;
