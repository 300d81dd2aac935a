//! Channels: what their names mean and which rules apply to them.

pub mod options;
