//! How soon is a herd back? A node has died, and all of its clients come to this one at once, each to
//! recover what it missed.
//!
//! Knows what a client of the protocol does that lost its connection: it dials again, after a refusal
//! later, each time about twice as late. It speaks JSON.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Read as _};
use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;
use memchr::memmem;
use mio::{Events, Poll, Token};
use serde_json::{Value, json};

use super::client::Client;
use super::connection::{Connection, State};
use super::meter::Meter;
use super::plan::{Channels, Plan};
use super::report::Report;
use super::wire::{self, CLOSE, TEXT};
use super::{BenchError, CommonArgs, proc};

/// The delays of the protocol's client libraries: doubled with each failure, and a random part taken.
const DELAY_MIN: Duration = Duration::from_millis(500);
const DELAY_MAX: Duration = Duration::from_secs(20);

const SCRATCH_BYTES: usize = 64 * 1024;
/// The id of the subscribe command; that of connect is 1.
const SUBSCRIBE: u64 = 2;

#[derive(Debug, Args)]
pub(super) struct HerdArgs {
    #[command(flatten)]
    pub(super) common: CommonArgs,
    /// Clients
    #[arg(long, default_value_t = 15_000)]
    connections: u32,
    /// Channels that they are spread over; these must keep a history and give positions
    #[arg(long, default_value_t = 100)]
    channels: u32,
    /// What stands before the number of a channel
    #[arg(long, default_value = "bench:herd-")]
    prefix: String,
    /// Publications in each channel that every client has to recover
    #[arg(long, default_value_t = 5)]
    missed: u32,
    /// Milliseconds over which they come back: client libraries wait up to 500 before the first try
    #[arg(long, default_value_t = 0)]
    spread: u64,
    /// How often everybody is dropped
    #[arg(long, default_value_t = 3)]
    rounds: u32,
}

/// One client, with a connection or without.
struct Member {
    line: Option<Connection>,
    /// Where it stood when it first subscribed; it never learns anything new, so that it has as much to
    /// recover every time.
    position: Option<(String, u64)>,
    failures: u32,
}

/// What went on until all were back.
#[derive(Default)]
struct Tally {
    open: usize,
    /// Answers to the handshake with status 503.
    refused: u64,
    /// Connections that ended before their client was back, for other reasons.
    lost: u64,
    /// Connects or subscribes that were answered with an error.
    errors: u64,
    /// Clients that were not told all that they had missed.
    unrecovered: u64,
}

struct Herd<'a> {
    args: &'a HerdArgs,
    plan: Plan,
    poll: Poll,
    members: Vec<Member>,
    /// When to dial whom.
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    tally: Tally,
    began: Instant,
    back: Histogram<u64>,
    scratch: Box<[u8]>,
    random: u64,
}

pub(super) fn run(args: &HerdArgs) -> Result<Report, BenchError> {
    let count = args.connections as usize;
    args.common.prepare(count)?;
    let mut report = Report::new("herd", &args.common.url);
    report.setting("connections", args.connections.to_string());
    report.setting("channels", args.channels.to_string());
    report.setting("missed", args.missed.to_string());
    report.setting("spread", format!("{} ms", args.spread));
    let mut herd = Herd::new(args)?;
    herd.open()?;
    herd.publish()?;
    for _ in 0..args.rounds {
        if let Some(pid) = args.common.pid {
            proc::forget_peak(pid)?;
        }
        let meter = Meter::start(args.common.pid)?;
        herd.scatter();
        herd.gather()?;
        let usage = meter.stop()?;
        herd.record(&mut report);
        report.record_usage(&usage, "return", u64::from(args.connections));
        if let Some(pid) = args.common.pid {
            let megabytes = |bytes: u64| bytes as f64 / 1e6;
            report.record("peak memory", "MB", megabytes(proc::peak_bytes(pid)?));
            report.record("memory after", "MB", megabytes(proc::resident_bytes(pid)?));
        }
    }
    Ok(report)
}

impl<'a> Herd<'a> {
    fn new(args: &'a HerdArgs) -> Result<Self, BenchError> {
        let members = (0..args.connections).map(|_| Member {
            line: None,
            position: None,
            failures: 0,
        });
        Ok(Self {
            args,
            plan: Plan {
                protocol: super::Protocol::Json,
                compress: false,
                ..Plan::commands(&args.common, Channels::None)?
            },
            poll: Poll::new().map_err(|source| failed("make a readiness queue", source))?,
            members: members.collect(),
            due: BinaryHeap::new(),
            tally: Tally::default(),
            began: Instant::now(),
            back: times(),
            scratch: vec![0; SCRATCH_BYTES].into(),
            random: 0x9e37_79b9_7f4a_7c15,
        })
    }

    fn channel(&self, index: usize) -> String {
        let number = index % self.args.channels.max(1) as usize;
        format!("{}{number}", self.args.prefix)
    }

    /// Drops all connections without a word.
    fn scatter(&mut self) {
        self.began = Instant::now();
        self.tally = Tally::default();
        self.back = times();
        let spread = Duration::from_millis(self.args.spread);
        for index in 0..self.members.len() {
            self.members[index].line = None;
            self.members[index].failures = 0;
            let at = self.began + spread.mul_f64(self.chance());
            self.due.push(Reverse((at, index)));
        }
    }

    /// Brings everybody in, so many at a time.
    fn open(&mut self) -> Result<(), BenchError> {
        for index in 0..self.members.len() {
            self.due.push(Reverse((self.began, index)));
        }
        self.until_open(self.args.common.concurrency.max(1))
    }

    /// Lets everybody come back.
    fn gather(&mut self) -> Result<(), BenchError> {
        self.until_open(self.members.len())
    }

    fn until_open(&mut self, at_a_time: usize) -> Result<(), BenchError> {
        let mut events = Events::with_capacity(1024);
        let (mut before, mut progressed) = (0, Instant::now());
        while self.tally.open < self.members.len() {
            let wait = self.dial_due(at_a_time)?;
            self.poll
                .poll(&mut events, Some(wait))
                .map_err(|source| failed("wait for readiness", source))?;
            for event in &events {
                self.ready(event.token().0, event.is_writable(), event.is_readable());
            }
            if self.tally.open > before {
                progressed = Instant::now();
            }
            before = self.tally.open;
            if progressed.elapsed() > self.args.common.patience() {
                return Err(BenchError::Stalled {
                    waiting_for: "clients",
                    reached: self.tally.open as u64,
                    expected: self.members.len() as u64,
                });
            }
        }
        Ok(())
    }

    /// Dials whose time has come; returns how long the next one has.
    fn dial_due(&mut self, at_a_time: usize) -> Result<Duration, BenchError> {
        let now = Instant::now();
        while self.members.len() - self.due.len() - self.tally.open < at_a_time {
            match self.due.peek() {
                Some(&Reverse((at, index))) if at <= now => {
                    self.due.pop();
                    self.dial(index)?;
                }
                Some(&Reverse((at, _))) => return Ok((at - now).min(DELAY_MIN)),
                None => break,
            }
        }
        Ok(DELAY_MIN)
    }

    /// Publishes what all will have missed: where they stand, they have been told of nothing yet.
    fn publish(&mut self) -> Result<(), BenchError> {
        let plan = Plan::commands(&self.args.common, Channels::None)?;
        let mut client = Client::new(&self.args.common, plan, 0)?;
        client = client.with_publisher(&self.args.common, 8)?;
        let total = u64::from(self.args.channels) * u64::from(self.args.missed);
        let mut sent = 0;
        let channels = u64::from(self.args.channels);
        client.until("publications", total, |client| {
            while sent < total {
                let name = format!("{}{}", self.args.prefix, sent % channels);
                if !client.publish(&name, 128)? {
                    break;
                }
                sent += 1;
            }
            Ok(client.published())
        })
    }

    fn dial(&mut self, index: usize) -> Result<(), BenchError> {
        let address = self.plan.target.address;
        let line = Connection::dial(address, self.poll.registry(), Token(index));
        let line = line.map_err(|source| failed("connect", source))?;
        self.members[index].line = Some(line);
        Ok(())
    }

    fn ready(&mut self, index: usize, is_writable: bool, is_readable: bool) {
        let Err(why) = self.advance(index, is_writable, is_readable) else {
            return;
        };
        match why {
            Why::Refused => self.tally.refused += 1,
            Why::Error => self.tally.errors += 1,
            Why::Lost => self.tally.lost += 1,
        }
        let member = &mut self.members[index];
        let Some(line) = member.line.take() else {
            return;
        };
        if matches!(line.state, State::Open) {
            self.tally.open -= 1;
        }
        let longest = DELAY_MIN.saturating_mul(1 << member.failures.min(16));
        member.failures += 1;
        let wait = longest.min(DELAY_MAX).mul_f64(self.chance());
        self.due.push(Reverse((Instant::now() + wait, index)));
    }

    fn advance(&mut self, index: usize, is_writable: bool, is_readable: bool) -> Result<(), Why> {
        let Some(line) = &mut self.members[index].line else {
            return Ok(());
        };
        if matches!(line.state, State::Dialling) {
            if !line.dialled()? {
                return Ok(());
            }
            line.state = State::Upgrading;
            line.send(self.plan.upgrade_request().as_bytes())?;
            return Ok(());
        }
        if is_writable {
            line.flush()?;
        }
        if !is_readable {
            return Ok(());
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let outcome = self.read(index, &mut scratch);
        self.scratch = scratch;
        outcome
    }

    fn read(&mut self, index: usize, scratch: &mut [u8]) -> Result<(), Why> {
        loop {
            let Some(line) = &mut self.members[index].line else {
                return Ok(());
            };
            match line.stream.read(scratch) {
                Ok(0) => return Err(Why::Lost),
                Ok(length) => {
                    line.partial.extend_from_slice(&scratch[..length]);
                    self.take_in(index)?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(_) => return Err(Why::Lost),
            }
        }
    }

    fn take_in(&mut self, index: usize) -> Result<(), Why> {
        let line = self.members[index].line.as_mut().ok_or(Why::Lost)?;
        let bytes = std::mem::take(&mut line.partial);
        let mut used = 0;
        if matches!(line.state, State::Upgrading) {
            let Some(end) = memmem::find(&bytes, b"\r\n\r\n") else {
                line.partial = bytes;
                return Ok(());
            };
            match &bytes[..bytes.len().min(12)] {
                b"HTTP/1.1 101" => used = end + 4,
                b"HTTP/1.1 503" => return Err(Why::Refused),
                _ => return Err(Why::Lost),
            }
            line.state = State::Joining(SUBSCRIBE);
            self.say(index)?;
        }
        while let Some(frame) = wire::first_frame(&bytes[used..]).map_err(|_| Why::Lost)? {
            used += frame.length;
            match frame.opcode {
                CLOSE => return Err(Why::Lost),
                TEXT => self.hear(index, frame.payload)?,
                _ => {}
            }
        }
        if let Some(line) = &mut self.members[index].line {
            line.partial.extend_from_slice(&bytes[used..]);
        }
        Ok(())
    }

    /// Connects and subscribes in one frame, as client libraries do when they come back.
    fn say(&mut self, index: usize) -> Result<(), Why> {
        let connect = self.plan.first_commands(index).map_err(|_| Why::Error)?;
        let (_, mut commands, _) = connect.ok_or(Why::Error)?;
        let mut subscribe = json!({"channel": self.channel(index)});
        if let Some((epoch, offset)) = &self.members[index].position {
            subscribe["recover"] = true.into();
            subscribe["epoch"] = epoch.as_str().into();
            subscribe["offset"] = (*offset).into();
        }
        let subscribe = json!({"id": SUBSCRIBE, "subscribe": subscribe});
        commands.extend_from_slice(format!("\n{subscribe}").as_bytes());
        let mut frame = Vec::with_capacity(commands.len() + 14);
        wire::push_frame(TEXT, &commands, &mut frame);
        let line = self.members[index].line.as_mut().ok_or(Why::Lost)?;
        Ok(line.send(&frame)?)
    }

    fn hear(&mut self, index: usize, payload: &[u8]) -> Result<(), Why> {
        for message in payload.split(|byte| *byte == b'\n') {
            let line = self.members[index].line.as_mut().ok_or(Why::Lost)?;
            if message == b"{}" {
                let mut pong = Vec::new();
                wire::push_frame(TEXT, b"{}", &mut pong);
                line.send(&pong)?;
            } else if matches!(line.state, State::Joining(_)) {
                let reply: Value = serde_json::from_slice(message).map_err(|_| Why::Lost)?;
                if reply.get("error").is_some() {
                    return Err(Why::Error);
                }
                if reply["id"] == SUBSCRIBE {
                    self.subscribed(index, &reply["subscribe"]);
                }
            }
        }
        Ok(())
    }

    fn subscribed(&mut self, index: usize, result: &Value) {
        let missed = u64::from(self.args.missed);
        let member = &mut self.members[index];
        if let Some(line) = &mut member.line {
            line.state = State::Open;
        }
        if member.position.is_none() {
            let epoch = result["epoch"].as_str().unwrap_or_default();
            let offset = result["offset"].as_u64().unwrap_or(0);
            member.position = Some((epoch.to_owned(), offset));
        } else {
            let brought = result["publications"].as_array().map_or(0, Vec::len) as u64;
            let is_whole = result["recovered"] == true && brought == missed;
            self.tally.unrecovered += u64::from(!is_whole);
        }
        self.tally.open += 1;
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.back.saturating_record(micros);
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn record(&self, report: &mut Report) {
        for (name, quantile) in [("50 %", 0.5), ("99 %", 0.99), ("100 %", 1.0)] {
            let seconds = self.back.value_at_quantile(quantile) as f64 / 1e6;
            report.record(&format!("{name} are back after"), "s", seconds);
        }
        for (name, count) in [
            ("refused with 503", self.tally.refused),
            ("connections lost", self.tally.lost),
            ("error replies", self.tally.errors),
            ("not recovered", self.tally.unrecovered),
        ] {
            report.record(name, "", count as f64);
        }
        if self.tally.unrecovered > 0 {
            report.flag("some clients were not told what they had missed".to_owned());
        }
    }

    /// Between 0 and 1 (xorshift64*): nothing depends on how good it is.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
    fn chance(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let bits = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        bits as f64 / (1_u64 << 53) as f64
    }
}

/// Why a client has to dial again.
enum Why {
    Refused,
    Error,
    Lost,
}

impl From<io::Error> for Why {
    fn from(_: io::Error) -> Self {
        Self::Lost
    }
}

fn times() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("constant bounds are valid")
}

const fn failed(doing: &'static str, source: io::Error) -> BenchError {
    BenchError::Io { doing, source }
}
