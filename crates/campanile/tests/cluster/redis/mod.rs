//! Redis as the broker.

mod cluster;
mod contract;
mod deaf;
mod faults;
mod lifetimes;
mod nodes;
mod sentinel;
mod tls;
