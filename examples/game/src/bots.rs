//! Players who are programs. Each has a connection of its own and does over it what a page does;
//! together they tell how regularly the ticks came.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use actix_web::rt;
use clap::Args;
use futures_util::future::join_all;
use futures_util::{SinkExt as _, StreamExt as _};
use prost::Message as _;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::AnyError;
use crate::arena::CHANNEL;
use crate::frame::Frame;
use crate::random::Random;
use crate::wire::{Command, ConnectRequest, Reply, SendRequest, SubscribeRequest};

/// Ticks for which a bot holds the same keys.
const TICKS_PER_TURN: u64 = 10;

/// Time between two bots that come: how a server bears all of them at once is another question.
const ARRIVAL: Duration = Duration::from_millis(2);

/// Time between the last one's coming and the first tick that counts.
const SETTLING: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(crate) struct Load {
    /// The server.
    #[arg(
        long,
        default_value = "ws://127.0.0.1:8000/connection/websocket?cf_protocol=protobuf"
    )]
    url: String,
    /// Players.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    bots: u16,
    /// How long all of them play.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
}

/// What a bot has seen.
#[derive(Debug, Default)]
struct Seen {
    last: Option<(u32, Instant)>,
    /// Times from each frame to the next one.
    waits: Vec<Duration>,
    /// Ticks that did not come, between two that did.
    gaps: u64,
    bytes: usize,
}

impl Seen {
    fn frame(&mut self, frame: &[u8], now: Instant) -> Result<(), AnyError> {
        let tick = Frame::tick_of(frame).ok_or("a publication is no frame of changes")?;
        if let Some((last, then)) = self.last.replace((tick, now)) {
            let gap = tick.checked_sub(last + 1).ok_or("ticks go backwards")?;
            self.gaps += u64::from(gap);
            self.waits.push(now - then);
            self.bytes += frame.len();
        }
        Ok(())
    }
}

impl Load {
    /// Plays and prints. An error is the first of any bot.
    pub(crate) async fn run(self) -> Result<(), AnyError> {
        let begin = Instant::now() + ARRIVAL * self.bots.into() + SETTLING;
        let end = begin + Duration::from_secs(self.seconds.into());
        let bots = (0..self.bots).map(|number| {
            let url = self.url.clone();
            rt::spawn(async move {
                sleep(ARRIVAL * number.into()).await;
                Bot::enter(&url, number).await?.play(begin, end).await
            })
        });
        let mut all = Vec::with_capacity(self.bots.into());
        for seen in join_all(bots).await {
            all.push(seen??);
        }
        Ok(report(&all, end - begin)?)
    }
}

fn report(all: &[Seen], duration: Duration) -> io::Result<()> {
    let mut frames: Vec<usize> = all.iter().map(|seen| seen.waits.len()).collect();
    frames.sort_unstable();
    let mut waits: Vec<Duration> = all.iter().flat_map(|seen| &seen.waits).copied().collect();
    waits.sort_unstable();
    let rate = |percent| at(&frames, percent) as f64 / duration.as_secs_f64();
    let wait = |percent| at(&waits, percent);
    let bytes: usize = all.iter().map(|seen| seen.bytes).sum();
    let gaps: u64 = all.iter().map(|seen| seen.gaps).sum();
    let mut out = io::stdout().lock();
    writeln!(out, "bots           {}", all.len())?;
    writeln!(
        out,
        "ticks/s a bot  {:.1} least, {:.1} most",
        rate(0),
        rate(100)
    )?;
    let [p50, p99, longest] = [50, 99, 100].map(wait);
    writeln!(
        out,
        "tick interval  {p50:.1?} p50, {p99:.1?} p99, {longest:.1?} longest"
    )?;
    writeln!(
        out,
        "frames         {}, {} bytes on average",
        waits.len(),
        bytes / waits.len().max(1)
    )?;
    writeln!(out, "gaps           {gaps}")
}

/// The value of sorted ones below which so many percent are.
fn at<T: Copy + Default>(sorted: &[T], percent: usize) -> T {
    let index = sorted.len().saturating_sub(1) * percent / 100;
    sorted.get(index).copied().unwrap_or_default()
}

/// One player's connection.
struct Bot {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    random: Random,
}

impl Bot {
    /// Connects and enters the arena.
    async fn enter(url: &str, number: u16) -> Result<Self, AnyError> {
        let (socket, _) = connect_async(url).await?;
        let random = Random::new(number.into());
        let mut bot = Self { socket, random };
        let connect = Some(ConnectRequest {
            name: "bot".to_owned(),
        });
        bot.say(&Command {
            id: 1,
            connect,
            ..Command::default()
        })
        .await?;
        let subscribe = Some(SubscribeRequest {
            channel: CHANNEL.to_owned(),
        });
        bot.say(&Command {
            id: 2,
            subscribe,
            ..Command::default()
        })
        .await?;
        Ok(bot)
    }

    /// Runs about at random; what comes between `begin` and `end` counts.
    async fn play(mut self, begin: Instant, end: Instant) -> Result<Seen, AnyError> {
        let mut seen = Seen::default();
        let mut ticks: u64 = 0;
        while let Ok(message) = timeout_at(end.into(), self.socket.next()).await {
            let now = Instant::now();
            for frame in self.hear(message.ok_or("the connection is lost")??).await? {
                if now >= begin {
                    seen.frame(&frame, now)?;
                }
                ticks += 1;
                if ticks.is_multiple_of(TICKS_PER_TURN) {
                    self.turn().await?;
                }
            }
        }
        Ok(seen)
    }

    /// The frames in a message of the server. A ping is answered.
    async fn hear(&mut self, message: Message) -> Result<Vec<Vec<u8>>, AnyError> {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Close(reason) => return Err(format!("the server closed: {reason:?}").into()),
            _ => return Ok(Vec::new()),
        };
        let mut frames = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match Reply::decode_length_delimited(&mut rest)? {
                Reply {
                    error: Some(error), ..
                } => {
                    return Err(format!("{} ({})", error.message, error.code).into());
                }
                Reply {
                    push: Some(push), ..
                } => {
                    frames.extend(push.publication.map(|publication| publication.data));
                }
                Reply { id: 0, .. } => self.say(&Command::default()).await?,
                Reply { .. } => {}
            }
        }
        Ok(frames)
    }

    async fn turn(&mut self) -> Result<(), AnyError> {
        let [keys, ..] = self.random.next().to_le_bytes();
        let send = Some(SendRequest {
            data: vec![keys & 15],
        });
        self.say(&Command {
            send,
            ..Command::default()
        })
        .await
    }

    async fn say(&mut self, command: &Command) -> Result<(), AnyError> {
        let bytes = command.encode_length_delimited_to_vec();
        Ok(self.socket.send(Message::Binary(bytes.into())).await?)
    }
}
