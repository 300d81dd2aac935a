//! The application before: an ordinary Actix-Web server.

mod app;

use std::path::PathBuf;

use actix_web::web::Data;
use actix_web::{App, HttpServer};
use clap::Parser;

use app::Desk;

/// An order desk.
#[derive(Parser)]
struct Options {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1")]
    address: String,
    /// On which port.
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Where orders are kept.
    #[arg(long, default_value = "data")]
    data: PathBuf,
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt().init();
    let Options {
        address,
        port,
        data,
    } = Options::parse();
    let desk = Data::new(Desk::open(&data)?);
    HttpServer::new(move || App::new().app_data(desk.clone()).configure(app::routes))
        .bind((address, port))?
        .run()
        .await
}
