//! The smallest service: what comes over a WebSocket goes back as it came.
//!
//! The endpoint itself, `/connection/echo`, is part of every Campanile server. This program adds a
//! page to it, and lets that page connect.

use std::error::Error;

use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_SECURITY_POLICY;
use actix_web::web::{self, ServiceConfig};
use campanile::{Config, Server};
use clap::Parser;

/// An echo server with a page to try it.
#[derive(Parser)]
struct Options {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1")]
    address: String,
    /// On which port.
    #[arg(long, default_value_t = 8000)]
    port: u16,
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init();
    let Options { address, port } = Options::parse();
    // A browser says which page opens a WebSocket. Any page but ours is refused with 403.
    let config = Config::from_toml(
        "
        [client]
        allowed_origins = ['same-origin']

        [websocket]
        message_size_limit = 65536

        [engine]
        type = 'memory'
        ",
    )?;
    let server = Server::new(config)
        .routes(page)
        .bind((address, port))
        .run()?;
    Ok(server.wait().await?)
}

fn page(services: &mut ServiceConfig) {
    const FILES: [(&str, &str, &str); 3] = [
        (
            "/",
            "text/html; charset=utf-8",
            include_str!("../page/index.html"),
        ),
        (
            "/page.js",
            "text/javascript; charset=utf-8",
            include_str!("../page/page.js"),
        ),
        (
            "/style.css",
            "text/css; charset=utf-8",
            include_str!("../page/style.css"),
        ),
    ];
    for (path, kind, text) in FILES {
        let answer = move || async move {
            HttpResponse::Ok()
                .content_type(kind)
                .insert_header((CONTENT_SECURITY_POLICY, "default-src 'self'; img-src data:"))
                .body(text)
        };
        services.route(path, web::get().to(answer));
    }
}
