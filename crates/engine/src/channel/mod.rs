//! Channels: what their names mean and which rules apply to them.

mod decimal;
pub mod filter;
pub mod name;
pub mod namespaces;
pub mod options;
pub mod permission;

pub use filter::{FilterError, TagsFilter};
pub use name::ChannelName;
pub use namespaces::{Namespaces, Resolved};
