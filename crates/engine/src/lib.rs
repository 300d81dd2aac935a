//! What a Campanile server does.
