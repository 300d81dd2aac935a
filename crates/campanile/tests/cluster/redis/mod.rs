//! Redis as the broker.

mod contract;
