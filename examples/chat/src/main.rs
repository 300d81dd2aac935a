//! A chat: rooms with history, private messages, who is there, who is typing; for browsers and for
//! terminals.
//!
//! This file puts the server together. What may be said is in `words`, who is here in `people`,
//! what the chat can do in `chat`, how clients ask for it in `front` and `terminals`.

mod chat;
mod front;
mod page;
mod people;
mod terminals;
mod words;

use std::error::Error;
use std::net::IpAddr;

use campanile::{Config, Server};
use clap::Parser;

use crate::front::Front;

/// A chat on one port: pages, WebSockets for them, WebSockets for terminals.
#[derive(Parser)]
struct Options {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,
    /// Port to listen on.
    #[arg(long, default_value_t = 8000)]
    port: u16,
}

/// Two kinds of channels, kept in memory. Nothing here lets anybody do anything: that is decided in
/// `front`.
const CHANNELS: &str = r#"
[engine]
type = "memory"

[client]
# Pages that may connect: the one that is loaded from here.
allowed_origins = ["same-origin"]
user_connection_limit = 10

# A room: its last messages, who is in it, and nothing missed by who was away for a while.
[[channel.namespaces]]
name = "room"
history_size = 50
history_ttl = "24h"
force_recovery = true
presence = true
join_leave = true
force_push_join_leave = true
allow_history_for_subscriber = true

# The screen of a user's terminals. What is kept of it is the greeting, which is published just
# before a terminal subscribes and is brought to it when it has.
[[channel.namespaces]]
name = "terminal"
history_size = 1
history_ttl = "1m"
force_recovery = true
force_recovery_mode = "cache"
auto_cache_recover = true
# An empty line is answered like any other.
publication_data_format = "binary"
"#;

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    // Says where it listens.
    tracing_subscriber::fmt().init();

    let server = Server::new(Config::from_toml(CHANNELS)?)
        .routes(page::routes)
        .handlers(Front::default())
        .bind((options.address, options.port))
        .run()?;
    Ok(server.wait().await?)
}
