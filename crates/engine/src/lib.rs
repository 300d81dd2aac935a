//! What a Campanile server does.

pub mod channel;
