//! Running the server.

use std::io;

use crate::cli::ServeArgs;
use crate::config::Config;

/// Serves until the process is told to stop.
///
/// # Errors
///
/// The first failure that serving cannot go on after.
pub fn run(config: &Config, args: &ServeArgs) -> io::Result<()> {
    tracing::info!(
        address = %config.http_server.listen,
        workers = config.http_server.workers,
        dev = args.dev,
        "configuration accepted"
    );
    Ok(())
}
