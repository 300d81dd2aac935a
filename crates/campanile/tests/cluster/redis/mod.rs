//! Redis as the broker.

mod contract;
mod faults;
mod nodes;
