//! The loop of the subscriber: connect, pass lines to and fro, connect again.

use std::convert::Infallible;
use std::io;

use super::backoff::Backoff;
use super::connection::{Connection, End, Target};
use super::credentials::Credentials;
use super::follower::{Follower, Stop};
use crate::cli::remote::Failure;
use crate::cli::say;

/// Keeps a [`Follower`] supplied with lines.
pub(super) struct Client {
    target: Target,
    credentials: Credentials,
    follower: Follower,
    backoff: Backoff,
    /// Kept here and not in the future that uses it, so that leave can be taken when that is dropped.
    connection: Option<Connection>,
}

impl Client {
    pub(super) fn new(target: Target, credentials: Credentials, follower: Follower) -> Self {
        Self {
            target,
            credentials,
            follower,
            backoff: Backoff::default(),
            connection: None,
        }
    }

    /// Until there is no use in going on, or nobody reads any more.
    pub(super) async fn run(&mut self) -> Result<(), Failure> {
        loop {
            let Err(stop) = self.follow().await;
            let reason = match stop {
                Stop::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                Stop::Output(error) => {
                    return Err(Failure::Refused(format!("standard output: {error}")));
                }
                Stop::Connection(End::Fatal(failure)) => return Err(failure),
                Stop::Connection(End::NoWebSocket(status)) => {
                    let reason = format!("no WebSocket there: HTTP status {status}");
                    if !self.follower.is_acquainted() && status < 500 {
                        return Err(Failure::Refused(reason));
                    }
                    reason
                }
                Stop::Connection(End::Lost(reason)) => reason,
            };
            if !self.follower.is_acquainted() {
                let url = self.target.url.clone();
                return Err(Failure::Unreachable {
                    url,
                    reason,
                    is_late: false,
                });
            }
            let pause = self.backoff.next();
            let seconds = pause.as_secs_f32();
            say(&format!("{reason}; connecting again in {seconds:.1} s"));
            tokio::time::sleep(pause).await;
        }
    }

    /// Ends the connection, if there is one.
    pub(super) async fn close(self) {
        if let Some(connection) = self.connection {
            connection.close().await;
        }
    }

    /// Through one connection, until it ends.
    async fn follow(&mut self) -> Result<Infallible, Stop> {
        self.connection = None;
        let token = self.credentials.token().map_err(End::Fatal)?;
        let connection = Connection::open(&self.target).await?;
        let connection = self.connection.insert(connection);
        connection.send(self.follower.hello(&token)).await?;
        loop {
            let message = connection.receive(self.follower.patience()).await?;
            let mut output = io::stdout().lock();
            let mut answers = Vec::new();
            for line in message.lines() {
                answers.append(&mut self.follower.hear(line, &mut output)?);
            }
            drop(output);
            for answer in answers {
                connection.send(answer).await?;
            }
            if self.follower.is_up_to_date() {
                self.backoff.reset();
            }
        }
    }
}
