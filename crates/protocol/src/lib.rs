//! What crosses the wire of a Campanile server: messages, codes, codecs and WebSocket frames.
//!
//! The messages are those of the Centrifuge client protocol, version 2, so that its SDKs work
//! unmodified. This crate owns their meaning and their bytes. It refuses to know sockets, runtimes,
//! clocks and everything a server decides: it never awaits, never reads the time, never does I/O.
//!
//! Start with [`command`] (what a client asks), [`reply`] and [`push`] (what a server says), then
//! [`wire`], which turns them into bytes for one transport.

pub mod codec;
pub mod codes;
pub mod command;
pub mod delta;
pub mod ids;
pub mod position;
pub mod publication;
pub mod push;
pub mod reply;
pub mod wire;
pub mod ws;

pub use codes::{Disconnect, Refusal, Unsubscribed};
pub use command::Command;
pub use ids::{ClientId, UserId};
pub use position::{Epoch, Position};
pub use publication::{ClientInfo, Payload, Publication, Tags};
pub use push::Push;
pub use reply::{Reply, ReplyBody};
pub use wire::{Encoder, Wire};
