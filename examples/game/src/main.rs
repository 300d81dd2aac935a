//! A real-time arena: 20 ticks a second, each one binary frame to everybody. And bots to fill it.

mod arena;
mod bots;
mod frame;
mod random;
mod wire;
mod world;

use std::net::SocketAddr;
use std::path::Path;

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use actix_web::web::{self, Bytes, ServiceConfig};
use campanile::{Config, Server};
use clap::{Args, Parser, Subcommand};

use crate::arena::Arena;
use crate::world::World;

/// Errors end the program, which says them.
type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// The published SDK as npm installs it, unmodified.
const SDK: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/node_modules/centrifuge/dist/centrifuge.protobuf.js"
);

/// The pages' own files, which are a part of the program.
const PAGES: [(&str, &str, &str); 4] = [
    ("/", "text/html", include_str!("../page/index.html")),
    ("/style.css", "text/css", include_str!("../page/style.css")),
    (
        "/game.js",
        "text/javascript",
        include_str!("../page/game.js"),
    ),
    (
        "/picture.js",
        "text/javascript",
        include_str!("../page/picture.js"),
    ),
];

/// No history: positions of a moment ago are of no use to anybody. Who lost a connection without
/// closing it plays on until the ping that it does not answer.
const CONFIG: &str = r#"
[engine]
type = "memory"

[client]
allowed_origins = ["same-origin"]
allow_anonymous_connect_without_token = true
ping_interval = "5s"
pong_timeout = "3s"

[channel.namespaces.arena]
publication_data_format = "binary"
"#;

/// A real-time arena.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Command {
    /// Plays, and tells how regularly the ticks came.
    Load(bots::Load),
}

#[derive(Args)]
struct Serve {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8000")]
    address: SocketAddr,
    /// Players at a time.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..))]
    places: u16,
}

#[actix_web::main]
async fn main() -> Result<(), AnyError> {
    tracing_subscriber::fmt::init();
    let Cli { command, serve } = Cli::parse();
    match command {
        Some(Command::Load(load)) => Ok(load.run().await?),
        None => serve.run().await,
    }
}

impl Serve {
    async fn run(self) -> Result<(), AnyError> {
        let sdk = read_sdk(SDK.as_ref())?;
        let arena = Arena::new(World::new(self.places, 1));
        let server = Server::new(Config::from_toml(CONFIG)?)
            .routes(move |services| routes(services, &sdk))
            .handlers(arena.clone())
            .bind(self.address)
            .run()?;
        let ticking = actix_web::rt::spawn(arena.run(server.node().clone()));
        tracing::info!("http://{}/", server.local_addr());
        server.wait().await?;
        ticking.abort();
        Ok(())
    }
}

fn read_sdk(path: &Path) -> Result<Bytes, String> {
    let missing = |error| {
        format!(
            "{}: {error}; run npm ci in the example's directory",
            path.display()
        )
    };
    std::fs::read(path).map(Bytes::from).map_err(missing)
}

fn routes(services: &mut ServiceConfig, sdk: &Bytes) {
    let mut serve = |path, kind, content: Bytes| {
        let page = move || std::future::ready(page(kind, content.clone()));
        services.route(path, web::get().to(page));
    };
    serve("/centrifuge.js", "text/javascript", sdk.clone());
    for (path, kind, content) in PAGES {
        serve(path, kind, content.into());
    }
}

fn page(kind: &str, content: Bytes) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, format!("{kind}; charset=utf-8")))
        .insert_header((CONTENT_SECURITY_POLICY, "default-src 'self'; img-src data:"))
        .body(content)
}
