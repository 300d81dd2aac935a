//! Placeholder of the benchmark comparison server.
fn main() {}
