//! Counts what is in a frame without parsing it, and reads the time that a payload was sent at.
//! Knows the shape of protocol messages (one JSON object a line, `{}` is a ping), no connection.

use std::time::{Duration, Instant};

use memchr::memmem::{self, Finder};

/// Looked for anywhere in a message: a server may write the keys of a payload in another order.
const TIME_KEY: &str = "\"t\":\"";
const TIME_DIGITS: usize = 16;
/// Bytes of the smallest payload that can carry a time.
pub(super) const MIN_PAYLOAD: usize = "{".len() + TIME_KEY.len() + TIME_DIGITS + PADDING.len();
const PADDING: &str = "\",\"p\":\"\"}";

const WORDS: [&str; 16] = [
    "price",
    "volume",
    "symbol",
    "updated",
    "user",
    "message",
    "channel",
    "status",
    "online",
    "delivered",
    "position",
    "latitude",
    "longitude",
    "true",
    "null",
    "currency",
];

/// How many messages of each kind were in a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) publications: u32,
    pub(super) pings: u32,
}

/// Counts publications by a marker that each of them contains early.
pub(super) struct Scan {
    marker: Finder<'static>,
}

impl Scan {
    pub(super) fn new(marker: &str) -> Self {
        Self {
            marker: Finder::new(marker).into_owned(),
        }
    }

    /// Goes line by line, so that a payload that repeats the marker is still one publication.
    pub(super) fn count(&self, payload: &[u8]) -> Counts {
        let mut counts = Counts::default();
        let mut rest = payload;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let message = &rest[..end];
            if message == b"{}" {
                counts.pings += 1;
            } else if self.marker.find(message).is_some() {
                counts.publications += 1;
            }
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        counts
    }
}

/// A JSON payload of exactly `bytes` bytes (at least [`MIN_PAYLOAD`]) that carries the time since
/// `origin`.
pub(super) fn timed_payload(origin: Instant, bytes: usize) -> String {
    let nanos = origin.elapsed().as_nanos();
    let padding = words(bytes.saturating_sub(MIN_PAYLOAD));
    format!("{{{TIME_KEY}{nanos:0TIME_DIGITS$}\",\"p\":\"{padding}\"}}")
}

/// `bytes` bytes of words, always the same: they repeat in no regular order, so that they compress
/// about as text does.
fn words(bytes: usize) -> String {
    let mut words = String::with_capacity(bytes + 16);
    let mut state = 1_u32;
    while words.len() < bytes {
        // The high bits of a linear congruential generator (Numerical Recipes) are random enough.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        words.push_str(WORDS[(state >> 28) as usize]);
        words.push(' ');
    }
    words.truncate(bytes);
    words
}

/// Age of the first timed payload in `message`.
pub(super) fn age(origin: Instant, message: &[u8]) -> Option<Duration> {
    let start = memmem::find(message, TIME_KEY.as_bytes())? + TIME_KEY.len();
    let digits = message.get(start..start + TIME_DIGITS)?;
    let nanos: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(origin.elapsed().saturating_sub(Duration::from_nanos(nanos)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_joined_in_one_frame_are_counted_one_by_one() {
        let scan = Scan::new("\"pub\":");
        let publication = r#"{"push":{"channel":"a","pub":{"data":{"pub":{}}}}}"#;
        let frame = format!("{publication}\n{{}}\n{publication}\n{{\"id\":3,\"rpc\":{{}}}}\n");
        assert_eq!(
            scan.count(frame.as_bytes()),
            Counts {
                publications: 2,
                pings: 1
            }
        );
        assert_eq!(
            scan.count(b"{}"),
            Counts {
                publications: 0,
                pings: 1
            }
        );
        assert_eq!(scan.count(b""), Counts::default());
    }

    #[test]
    fn a_payload_has_the_size_asked_for_and_tells_its_age() {
        let origin = Instant::now();
        for bytes in [MIN_PAYLOAD, 128, 4096] {
            let payload = timed_payload(origin, bytes);
            assert_eq!(payload.len(), bytes);
            assert!(serde_json::from_str::<serde_json::Value>(&payload).is_ok());
            assert!(age(origin, payload.as_bytes()).is_some_and(|age| age <= origin.elapsed()));
        }
        assert_eq!(words(1000)[..500], words(500));
        let reordered = br#"{"p":"xx","t":"0000000000000001"}"#;
        assert!(age(origin, reordered).is_some());
        assert_eq!(age(origin, b"{\"t\":\"12"), None);
    }

    #[test]
    fn a_payload_of_1_kib_compresses_as_text_does() {
        use campanile_protocol::ws::deflate::{Deflater, Window};
        let payload = timed_payload(Instant::now(), 1024);
        let mut deflater = Deflater::new(1, 0);
        let deflated = deflater.deflate(Window::Full, payload.as_bytes()).unwrap();
        assert!((200..512).contains(&deflated.len()), "{}", deflated.len());
    }
}
