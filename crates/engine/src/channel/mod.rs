//! Channels: what their names mean and which rules apply to them.

pub mod name;
pub mod namespaces;
pub mod options;
pub mod permission;

pub use name::ChannelName;
pub use namespaces::{Namespaces, Resolved};
