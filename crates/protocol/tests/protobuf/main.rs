//! The Protobuf codec against somebody else's: a general implementation that knows the messages from
//! `docs/client.proto` alone. What it writes must be read here as its JSON twin is, and what is
//! written here it must read as what was meant; so the file for writers of clients is held to the
//! truth as well.

mod properties;
mod replies;

use std::path::Path;
use std::sync::OnceLock;

use prost_reflect::{DescriptorPool, MessageDescriptor};

/// The description of a message.
fn descriptor(name: &str) -> MessageDescriptor {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    let pool = POOL.get_or_init(|| {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        let files = protox::compile([docs.join("client.proto")], [docs]).expect("it is correct");
        DescriptorPool::from_file_descriptor_set(files).expect("it is complete")
    });
    pool.get_message_by_name(&format!("campanile.client.{name}"))
        .expect("a message of the protocol")
}
