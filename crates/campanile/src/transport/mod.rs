//! How bytes come in and go out: listening, TLS, the WebSocket handshake, sockets, and the loop
//! that drives a shard.
//!
//! It owns every socket of an upgraded connection and refuses to know what messages mean: frames
//! go into the engine's [`Shard`](campanile_engine::shard::Shard), and outboxes come out. Start
//! with `worker`; `upgrade` is how connections get there.

mod admission;
mod connection;
mod foreign;
mod forwarded;
mod handshake;
mod hang_up;
mod io;
mod line;
mod listen;
mod origin;
mod plain;
mod sockets;
mod streams;
mod upgrade;
mod worker;

pub use admission::Admission;
pub use forwarded::{Network, NotANetwork};
pub use handshake::HandshakeRules;
pub use io::Io;
pub use listen::{Listener, Routes, bind, listen};
pub use origin::Origins;
pub use streams::{BodyEndpoint, StreamEndpoints};
pub use worker::{Worker, WorkerPool};
