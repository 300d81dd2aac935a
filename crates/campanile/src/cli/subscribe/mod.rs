//! `campanile subscribe`: the publications of some channels, one line each, until told to stop.
//!
//! Owns the flags and the life of the command: connections follow one another, each going on where
//! the last one ended. Publications go to standard output, everything about them to standard error.

mod backoff;
mod client;
mod connection;
mod credentials;
mod follower;
mod wire;

use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::remote::{Failure, TlsArgs, local_url, parse_websocket_url};
use super::{FileArgs, load};
use client::Client;
use connection::Target;
use credentials::Credentials;
use follower::Follower;

/// Flags of `subscribe`.
#[derive(Args, Debug)]
pub struct SubscribeArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the help text")]
    pub file: FileArgs,
    /// The channels
    #[arg(required = true, value_name = "CHANNEL")]
    pub channels: Vec<String>,
    /// Where the server's WebSocket is [default: the configured one's]
    #[arg(long, value_parser = parse_websocket_url)]
    pub url: Option<String>,
    /// Connect with this token
    #[arg(long)]
    pub token: Option<String>,
    /// Connect as this user, with a token signed with the configured secret
    #[arg(long, conflicts_with = "token")]
    pub user: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the help text")]
    pub tls: TlsArgs,
    /// Print whole pushes as the protocol has them, not only what was published
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(args: &SubscribeArgs) -> ExitCode {
    match subscribe(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

fn subscribe(args: &SubscribeArgs) -> Result<(), ExitCode> {
    let config = load(&args.file.sources())?.config;
    let url = args.url.clone().unwrap_or_else(|| {
        let path = &config.websocket.handler_prefix;
        local_url("ws", &config.http_server) + path
    });
    let rules = config.client.authentication.token;
    let credentials = Credentials::new(args.token.clone(), args.user.clone(), rules);
    let target = Target::new(url, &args.tls);
    let started = target.and_then(|target| {
        let follower = Follower::new(&args.channels, args.json);
        let client = Client::new(target, credentials?, follower);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| Failure::Refused(error.to_string()))?;
        runtime.block_on(until_told_to_stop(client))
    });
    started.map_err(Failure::tell)
}

async fn until_told_to_stop(mut client: Client) -> Result<(), Failure> {
    let signal = |kind| signal(kind).map_err(|error| Failure::Refused(error.to_string()));
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let ended = tokio::select! {
        ended = client.run() => ended,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    client.close().await;
    ended
}
