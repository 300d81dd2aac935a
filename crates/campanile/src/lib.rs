//! Campanile as a library.

#[cfg(target_os = "linux")]
pub mod bench;
