//! The application after: the same, on a Campanile server.

mod app;
mod live;

use std::error::Error;
use std::path::PathBuf;

use actix_web::web::Data;
use campanile::Server;
use clap::Parser;

use app::Desk;

/// An order desk in real time.
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
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init();
    let Options {
        address,
        port,
        data,
    } = Options::parse();
    let desk = Data::new(Desk::open(&data)?);
    let server = Server::new(live::config()?)
        .routes(live::routes(desk.clone())?)
        .handlers(live::Staff(desk.clone()))
        .bind((address, port))
        .run()?;
    // Pages that were open while another process served may have an older list.
    live::publish(server.node(), &desk).await;
    Ok(server.wait().await?)
}
