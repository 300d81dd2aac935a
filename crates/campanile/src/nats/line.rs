//! The connection to the servers: saying, asking, and knowing whether anything comes back.
//!
//! The client library connects again by itself, subscribes again to what was subscribed to, and
//! keeps what it is given until then. Nothing is given to it while it is not connected, so that a
//! publisher has its error at once, and nothing is said minutes late.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_nats::client::{PublishErrorKind, RequestErrorKind};
use async_nats::connection::State;
use async_nats::{Client, HeaderMap, Message, Request, StatusCode, Subscriber};
use bytes::Bytes;
use campanile_engine::broker::BrokerError;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::{SetOnce, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// See the [module](self).
pub(super) struct Line {
    /// Set once, soon after the start.
    client: SetOnce<Client>,
    /// Whether the servers answer.
    up: watch::Sender<bool>,
    /// Where this connection speaks to itself.
    probe: Box<str>,
    said: AtomicU64,
    heard: watch::Sender<u64>,
    /// How long an answer may take.
    patience: Duration,
}

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mute {
    /// It was not asked: there is no connection.
    Down,
    /// It was not asked: there is more waiting than may be.
    Busy,
    /// It was not asked: the question is longer than the server lets messages be.
    TooLong,
    /// Nobody there takes such questions.
    Nobody,
    /// None has come in time, or the connection was lost meanwhile.
    Silent,
}

impl From<Mute> for BrokerError {
    fn from(mute: Mute) -> Self {
        match mute {
            Mute::Down | Mute::Nobody => Self::Unreachable,
            Mute::Busy => Self::Busy,
            Mute::TooLong => Self::StorageFailed,
            Mute::Silent => Self::Unanswered,
        }
    }
}

impl Line {
    /// One without a connection. `probe` is a subject that no other connection uses.
    pub(super) fn new(probe: String, patience: Duration) -> Self {
        Self {
            client: SetOnce::new(),
            up: watch::Sender::new(false),
            probe: probe.into(),
            said: AtomicU64::new(0),
            heard: watch::Sender::new(0),
            patience,
        }
    }

    /// Gives it its client, once.
    pub(super) fn begin(&self, client: Client) {
        let _ = self.client.set(client);
    }

    /// Notes whether the servers answer.
    pub(super) fn set_up(&self, is_up: bool) {
        self.up
            .send_if_modified(|now| std::mem::replace(now, is_up) != is_up);
    }

    /// Whether it is of use to ask.
    pub(super) fn is_up(&self) -> bool {
        *self.up.borrow() && self.is_connected()
    }

    /// Whether there is a connection, of whatever use.
    pub(super) fn is_connected(&self) -> bool {
        let client = self.client.get();
        client.is_some_and(|client| client.connection_state() == State::Connected)
    }

    /// How long an answer may take.
    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }

    /// The client, while it is of use.
    pub(super) fn client(&self) -> Result<&Client, Mute> {
        match self.is_up() {
            true => self.connected(),
            false => Err(Mute::Down),
        }
    }

    /// The client while there is a connection.
    pub(super) fn connected(&self) -> Result<&Client, Mute> {
        let client = self.client.get().filter(|_| self.is_connected());
        client.ok_or(Mute::Down)
    }

    /// Says something to whoever listens; never waits. That it was given to the connection is all
    /// that is known then.
    pub(super) fn say(&self, subject: String, payload: Vec<u8>) -> Result<(), Mute> {
        give(self.client()?, subject, payload)
    }

    /// Asks, and waits for the answer.
    pub(super) async fn ask(
        &self,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, Mute> {
        let client = self.connected()?;
        let mut request = Request::new().payload(payload).timeout(Some(self.patience));
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        let mut up = self.up.subscribe();
        let was_up = *up.borrow_and_update();
        tokio::select! {
            answer = client.send_request(subject, request) => answer.map_err(|error| match error.kind() {
                RequestErrorKind::NoResponders => Mute::Nobody,
                RequestErrorKind::MaxPayloadExceeded | RequestErrorKind::InvalidSubject => Mute::TooLong,
                RequestErrorKind::TimedOut | RequestErrorKind::Other => Mute::Silent,
            }),
            // Its answer went to a connection that is no more.
            _ = up.wait_for(|up| was_up && !up) => Err(Mute::Silent),
        }
    }

    /// Asks what has several answers, and waits for all: at most `count`, up to one that is empty.
    pub(super) async fn ask_for_many(
        &self,
        subject: String,
        payload: Vec<u8>,
        count: usize,
    ) -> Result<Vec<Message>, Mute> {
        let client = self.client()?;
        let inbox = client.new_inbox();
        let deadline = Instant::now() + self.patience;
        let ask = async {
            let answers = client
                .subscribe(inbox.clone())
                .await
                .map_err(|_| Mute::Busy)?;
            let asked = client
                .publish_with_reply(subject, inbox, payload.into())
                .await;
            asked.map_err(|_| Mute::Busy)?;
            Ok(answers.take(count + 1))
        };
        let mut answers = timeout_at(deadline, ask).await.map_err(|_| Mute::Busy)??;
        let mut all = Vec::new();
        loop {
            match timeout_at(deadline, answers.next()).await {
                Ok(Some(answer)) if answer.status == Some(StatusCode::NO_RESPONDERS) => {
                    return Err(Mute::Nobody);
                }
                Ok(Some(answer)) if answer.status.is_none() => all.push(answer),
                Ok(_) => return Ok(all),
                Err(_) => return Err(Mute::Silent),
            }
        }
    }

    /// Returns when the server has taken everything that this connection said before, and has shown
    /// so by sending something back.
    pub(super) async fn settle(&self) -> Result<(), Mute> {
        let number = self.said.fetch_add(1, Relaxed) + 1;
        let mut heard = self.heard.subscribe();
        give(
            self.connected()?,
            self.probe.to_string(),
            number.to_be_bytes().to_vec(),
        )?;
        let back = heard.wait_for(|heard| *heard >= number);
        match timeout(self.patience, back).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Mute::Silent),
        }
    }

    /// Listens to a subject from the first connection on, and through all that follow.
    pub(super) async fn listen_always(&self, subject: String) -> Result<Subscriber, Mute> {
        let subscribed = self.client.wait().await.subscribe(subject).await;
        subscribed.map_err(|_| Mute::TooLong)
    }

    /// Hears what [`Line::settle`] says. Ends with the client.
    pub(super) async fn hear_probes(&self) {
        let Ok(mut probes) = self.listen_always(self.probe.to_string()).await else {
            return;
        };
        while let Some(message) = probes.next().await {
            if let Ok(number) = <[u8; 8]>::try_from(&*message.payload) {
                let number = u64::from_be_bytes(number);
                self.heard.send_if_modified(|heard| {
                    let is_newer = *heard < number;
                    *heard = (*heard).max(number);
                    is_newer
                });
            }
        }
    }

    /// Listens to a subject: what is said there after this has returned is heard, if it is said by
    /// way of the same server.
    pub(super) async fn listen(&self, subject: String) -> Result<Subscriber, Mute> {
        let deadline = Instant::now() + self.patience;
        let subscribe = self.client()?.subscribe(subject);
        let subscriber = tokio::select! {
            subscriber = subscribe => subscriber.map_err(|_| Mute::TooLong)?,
            () = sleep_until(deadline) => return Err(Mute::Busy),
        };
        self.settle().await?;
        Ok(subscriber)
    }
}

/// Leaves a message with the client, if there is room.
fn give(client: &Client, subject: String, payload: Vec<u8>) -> Result<(), Mute> {
    let give = client.publish(subject, payload.into());
    // Outside of tokio's budget: a caller that has used up its own is no sign that there is no room.
    match tokio::task::unconstrained(give).now_or_never() {
        None => Err(Mute::Busy),
        Some(Ok(())) => Ok(()),
        Some(Err(error)) => Err(match error.kind() {
            PublishErrorKind::MaxPayloadExceeded | PublishErrorKind::InvalidSubject => {
                Mute::TooLong
            }
            PublishErrorKind::Send => Mute::Down,
        }),
    }
}
