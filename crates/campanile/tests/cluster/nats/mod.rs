//! The broker of NATS: it keeps the contract of brokers as far as decision 18 says, and survives what
//! servers do.

mod contract;
mod faults;
mod lines;
mod nodes;
