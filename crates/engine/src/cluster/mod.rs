//! Nodes that know each other: who is there, what one has the others do, what it asks them.
//!
//! Whatever carries messages between nodes is a [`Bus`]; what it brings goes to a [`ClusterEar`].
//! Publications take another way, that of the broker. Nothing here knows sessions or shards, keeps
//! time by itself or opens a connection: the node beats and sweeps when it is told to.

mod bus;
mod id;

pub use bus::{Bus, ClusterEar, Recipient};
pub use id::NodeId;
