//! A real-time messaging server, as a library: WebSocket sessions, channels with history, recovery,
//! presence, and your own Actix-Web routes beside them on the same port.
//!
//! * [`Server`] puts a server together and runs it: configuration, routes, handlers, TLS.
//! * [`handlers::Handlers`] is the application's own code that decides who may do what.
//! * [`Node`] is the way to everything that runs: publish, broadcast, subscribe, disconnect,
//!   presence, history; [`SessionHandle`](handlers::SessionHandle) is one session of a user.
//! * [`payload`] turns `serde` types into payloads and back.
//!
//! The program `campanile` is written on these. Clients are the published Centrifuge SDKs, or
//! anything that opens a WebSocket. A first server, which anybody may use:
//!
//! ```no_run
//! use campanile::{Config, Server};
//!
//! #[actix_web::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let config = Config::from_toml("
//!         [client]
//!         insecure = true
//!         allowed_origins = ['http://localhost:8000']
//!     ")?;
//!     let server = Server::new(config).bind("127.0.0.1:8000").run()?;
//!     let node = server.node().clone();
//!     node.publish("news", *br#"{"hello":"world"}"#).await?;
//!     Ok(server.wait().await?)
//! }
//! ```

pub mod api;
pub mod authority;
pub mod background;
#[cfg(target_os = "linux")]
pub mod bench;
pub mod cli;
pub mod config;
#[doc = include_str!("../docs/guide.md")]
pub mod guide {}
pub mod handlers;
pub mod metrics;
pub mod operations;
mod overrides;
pub mod payload;
pub mod proxy;
pub mod server;
pub mod token;
pub mod transport;
pub mod url;

pub use campanile_engine as engine;
pub use campanile_engine::node::Node;
pub use campanile_protocol as protocol;

pub use config::Config;
pub use handlers::Handlers;
pub use server::{RunningServer, ServeError, Server};
