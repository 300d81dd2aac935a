//! What crosses the wire of a Campanile server.
pub mod ws;
