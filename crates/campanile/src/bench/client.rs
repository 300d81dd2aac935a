//! One readiness loop over the subscribers and the publisher.
//! Knows how to wait for progress; not what is being measured.

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use super::fleet::Fleet;
use super::plan::Plan;
use super::publisher::{self, Publisher};
use super::{BenchError, CommonArgs};

/// How long a wait for events lasts before the patience is looked at.
const TURN: Duration = Duration::from_millis(100);

/// The load generator.
pub(super) struct Client {
    poll: Poll,
    events: Events,
    patience: Duration,
    pub(super) fleet: Fleet,
    publisher: Option<Publisher>,
}

impl Client {
    /// A client without connections.
    pub(super) fn new(
        common: &CommonArgs,
        plan: Plan,
        expected: usize,
    ) -> Result<Self, BenchError> {
        Ok(Self {
            poll: Poll::new().map_err(poll_failed)?,
            events: Events::with_capacity(1024),
            patience: common.patience(),
            fleet: Fleet::new(plan, expected),
            publisher: None,
        })
    }

    /// Can publish too.
    pub(super) fn with_publisher(
        mut self,
        common: &CommonArgs,
        in_flight: usize,
    ) -> Result<Self, BenchError> {
        self.publisher = Some(Publisher::new(common, in_flight, self.poll.registry())?);
        Ok(self)
    }

    /// Starts a publish; false if as many as allowed are in flight already.
    pub(super) fn publish(&mut self, channel: &str, bytes: usize) -> Result<bool, BenchError> {
        let payload = self.fleet.timed_payload(bytes);
        self.publisher
            .as_mut()
            .map_or(Ok(false), |publisher| publisher.publish(channel, &payload))
    }

    /// Publishes that were answered with success.
    pub(super) fn published(&self) -> u64 {
        self.publisher.as_ref().map_or(0, Publisher::answered)
    }

    /// Opens connections until there are `target` of them.
    pub(super) fn open(&mut self, target: usize) -> Result<(), BenchError> {
        self.until("connections", target as u64, |client| {
            client.fleet.dial(client.poll.registry(), target)?;
            Ok(client.fleet.open() as u64)
        })
    }

    /// Runs the loop until `reached` returns `expected`. It is called after each turn, so it may
    /// also start what the progress allows.
    pub(super) fn until(
        &mut self,
        waiting_for: &'static str,
        expected: u64,
        mut reached: impl FnMut(&mut Self) -> Result<u64, BenchError>,
    ) -> Result<(), BenchError> {
        let mut best = 0;
        let mut progressed = Instant::now();
        loop {
            let reached = reached(self)?;
            if reached >= expected {
                return Ok(());
            }
            if reached > best {
                best = reached;
                progressed = Instant::now();
            } else if progressed.elapsed() > self.patience {
                return Err(BenchError::Stalled {
                    waiting_for,
                    reached,
                    expected,
                });
            }
            self.turn(TURN)?;
        }
    }

    /// Keeps answering pings for a while.
    pub(super) fn idle(&mut self, duration: Duration) -> Result<(), BenchError> {
        let end = Instant::now() + duration;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.turn(left)?;
        }
    }

    /// Waits for events, at most `timeout`, and handles them.
    pub(super) fn turn(&mut self, timeout: Duration) -> Result<(), BenchError> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result.map_err(poll_failed)?,
        }
        for event in &self.events {
            match (event.token(), &mut self.publisher) {
                (Token(token @ publisher::FIRST_TOKEN..), Some(publisher)) => {
                    publisher.ready(Token(token))?;
                }
                (Token(connection), _) => self.fleet.ready(connection, event)?,
            }
        }
        Ok(())
    }
}

fn poll_failed(source: io::Error) -> BenchError {
    BenchError::Io {
        doing: "poll",
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::thread::{self, JoinHandle};

    use campanile_protocol::ws::deflate::{Deflater, Window};
    use clap::Parser;

    use super::super::plan::Channels;
    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        common: CommonArgs,
    }

    const REPLIES: &str = "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{}}";
    const PUSH: &str = r#"{"push":{"channel":"a","pub":{"data":1}}}"#;

    fn frame(text: &str) -> Vec<u8> {
        let length = u8::try_from(text.len()).unwrap();
        assert!(length < 126);
        [&[0x81, length], text.as_bytes()].concat()
    }

    /// One connection of a server that upgrades, then plays `script`.
    fn server(script: impl FnOnce(&mut TcpStream) + Send + 'static) -> (Client, JoinHandle<()>) {
        server_saying("", &[], script)
    }

    /// The same with more in the head of its answer, and more arguments for the client.
    fn server_saying(
        header: &'static str,
        options: &[&str],
        script: impl FnOnce(&mut TcpStream) + Send + 'static,
    ) -> (Client, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let playing = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            stream
                .write_all(format!("HTTP/1.1 101 Switching Protocols\r\n{header}\r\n").as_bytes())
                .unwrap();
            script(&mut stream);
        });
        let Line { common } = Line::parse_from([&["bench", "--url", &url], options].concat());
        let plan = Plan::commands(&common, Channels::Shared("a".into())).unwrap();
        (Client::new(&common, plan, 1).unwrap(), playing)
    }

    #[test]
    fn publications_are_counted_and_pings_answered_wherever_the_stream_is_cut() {
        let (mut client, playing) = server(|stream| {
            stream.set_nodelay(true).unwrap();
            let joined = frame(&format!("{PUSH}\n{{}}\n{PUSH}"));
            for byte in [frame(REPLIES), joined, frame(PUSH)].concat() {
                stream.write_all(&[byte]).unwrap();
            }
            let mut received = Vec::new();
            let pong = [b'{' ^ 0x37, b'}' ^ 0xfa];
            while !received.ends_with(&pong) {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                received.push(byte[0]);
            }
        });
        client.open(1).unwrap();
        client
            .until("publications", 3, |client| Ok(client.fleet.received()))
            .unwrap();
        assert_eq!((client.fleet.pings(), client.fleet.deviating(3)), (1, 0));
        playing.join().unwrap();
    }

    fn deflated(text: &str) -> Vec<u8> {
        let mut deflater = Deflater::new(1, 0);
        let payload = deflater.deflate(Window::Full, text.as_bytes()).unwrap();
        let length = u8::try_from(payload.len()).unwrap();
        assert!(length < 126);
        [&[0xc1, length], payload].concat()
    }

    #[test]
    fn publications_in_compressed_frames_are_counted_one_by_one() {
        const AGREED: &str =
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n";
        let (mut client, playing) = server_saying(AGREED, &["--compress"], |stream| {
            let joined = deflated(&format!("{PUSH}\n{{}}\n{PUSH}\n{PUSH}"));
            let received = [frame(REPLIES), joined.clone(), joined, frame(PUSH)].concat();
            for byte in received {
                stream.write_all(&[byte]).unwrap();
            }
            // Until the client has had its fill and goes away.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        client.open(1).unwrap();
        client
            .until("publications", 7, |client| Ok(client.fleet.received()))
            .unwrap();
        assert_eq!((client.fleet.pings(), client.fleet.deviating(7)), (2, 0));
        drop(client);
        playing.join().unwrap();
    }

    #[test]
    fn compression_that_is_not_agreed_to_ends_the_run() {
        let (mut client, playing) = server_saying("", &["--compress"], |_| {});
        let error = client.open(1).unwrap_err().to_string();
        assert!(error.contains("does not agree"), "{error}");
        playing.join().unwrap();
        let (mut client, playing) = server(|stream| {
            stream.write_all(&deflated(&PUSH.repeat(3))).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let error = client.open(1).unwrap_err().to_string();
        assert!(error.contains("without an agreement"), "{error}");
        drop(client);
        playing.join().unwrap();
    }

    #[test]
    fn an_error_reply_ends_the_run() {
        let (mut client, playing) = server(|stream| {
            stream
                .write_all(&frame(r#"{"id":1,"error":{"code":101,"message":"no"}}"#))
                .unwrap();
        });
        assert!(matches!(client.open(1), Err(BenchError::Refused(reply)) if reply.contains("101")));
        playing.join().unwrap();
    }

    #[test]
    fn a_close_is_reported_with_its_code() {
        let (mut client, playing) = server(|stream| {
            stream
                .write_all(&[0x88, 6, 0x0b, 0xc0, b's', b'l', b'o', b'w'])
                .unwrap();
        });
        let error = client.open(1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "connection 0 lost: closed with 3008 slow"
        );
        playing.join().unwrap();
    }
}
