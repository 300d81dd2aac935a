//! A real-time messaging server, as a library: WebSocket sessions, channels with history, recovery,
//! presence, and your own Actix-Web routes beside them on the same port.
//!
//! * [`Server`] puts a server together and runs it: configuration, routes, handlers, TLS.
//! * [`handlers::Handlers`] is the application's own code that decides who may do what.
//! * [`Node`] is the way to everything that runs: publish, broadcast, subscribe, disconnect,
//!   presence, history; [`SessionHandle`] is one session of a user.
//! * [`payload`] turns `serde` types into payloads and back.
//!
//! The program `campanile` is written on these. Clients are the published Centrifuge SDKs, or
//! anything that opens a WebSocket. [`guide`] leads from a tutorial's hub to all of it. A first
//! server, which anybody may use, and which keeps nothing on disk:
//!
//! ```no_run
//! use campanile::{Config, Server};
//!
//! #[actix_web::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let config = Config::from_toml("
//!         [client]
//!         allow_anonymous_connect_without_token = true
//!         allowed_origins = ['http://127.0.0.1:8000']
//!
//!         [channel.without_namespace]
//!         allow_subscribe_for_client = true
//!         allow_subscribe_for_anonymous = true
//!
//!         [engine]
//!         type = 'memory'
//!     ")?;
//!     let server = Server::new(config).bind("127.0.0.1:8000").run()?;
//!     let node = server.node().clone();
//!     node.publish("news", *br#"{"hello":"world"}"#).await?;
//!     Ok(server.wait().await?)
//! }
//! ```

pub mod config;
#[doc = include_str!("../docs/guide.md")]
pub mod guide {}
pub mod handlers;
pub mod payload;
pub mod proxy;
pub mod server;
pub mod token;

// What the server and the program are made of. It is public for their tests, and promises nothing.
#[doc(hidden)]
pub mod api;
#[doc(hidden)]
pub mod authority;
#[doc(hidden)]
pub mod background;
#[cfg(target_os = "linux")]
#[doc(hidden)]
pub mod bench;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod metrics;
#[cfg(feature = "nats")]
#[doc(hidden)]
pub mod nats;
#[doc(hidden)]
pub mod operations;
mod overrides;
#[cfg(feature = "redis")]
#[doc(hidden)]
pub mod redis;
mod tls;
#[doc(hidden)]
pub mod transport;
#[doc(hidden)]
pub mod url;
#[doc(hidden)]
pub mod vitals;

// Those whose types are in signatures here, so that applications need not find their versions.
pub use actix_web;
pub use rustls;

pub use campanile_engine as engine;
pub use campanile_engine::broker::Version;
pub use campanile_engine::node::{HistoryRequest, Node, PublishRequest, SessionHandle};
pub use campanile_engine::shard::Target;
pub use campanile_protocol as protocol;

pub use config::{Change, Config};
pub use handlers::Handlers;
pub use server::{Reloaded, RunningServer, ServeError, Server};
