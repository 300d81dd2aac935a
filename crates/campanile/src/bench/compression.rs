//! permessage-deflate as a client of many connections sees it: the offer, whether an answer keeps to
//! it, and messages back to what they were. Knows heads and payloads; no frame, no connection.

use std::collections::VecDeque;
use std::rc::Rc;

use campanile_protocol::ws::ProtocolError;
use campanile_protocol::ws::deflate::{Inflater, agree};

/// Asks for what one inflater for all connections needs: messages that refer to nothing before them.
pub(super) const OFFER: &str = "permessage-deflate; server_no_context_takeover";

const HEADER: &str = "sec-websocket-extensions";
const NO_TAKEOVER: &str = "server_no_context_takeover";
/// A message longer than this, inflated, is taken for a broken stream.
const MAX_MESSAGE: usize = 16 << 20;
/// Different messages on their way to the fleet at a time, and some: a server may join publications
/// in another way for each of its workers.
const REMEMBERED: usize = 64;

/// Whether the answer to the handshake accepts [`OFFER`].
pub(super) fn is_agreed(head: &[u8]) -> bool {
    String::from_utf8_lossy(head).lines().any(|line| {
        line.split_once(':').is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case(HEADER)
                && value.contains(NO_TAKEOVER)
                && matches!(agree([value.as_bytes()]), Ok(Some(_)))
        })
    })
}

/// Inflates each different payload once. What a payload inflates to depends on nothing but its bytes,
/// so one that is the same byte for byte is the same message: all connections are counted by what
/// they received, without the client spending more on a delivery than the server.
#[derive(Default)]
pub(super) struct Inflated {
    inflater: Inflater,
    recent: VecDeque<Known>,
}

struct Known {
    payload: Box<[u8]>,
    message: Rc<[u8]>,
}

impl Inflated {
    /// The message that `payload` carries.
    pub(super) fn message(&mut self, payload: &[u8]) -> Result<Rc<[u8]>, ProtocolError> {
        let known = self.recent.iter().find(|known| *known.payload == *payload);
        if let Some(known) = known {
            return Ok(Rc::clone(&known.message));
        }
        let message: Rc<[u8]> = self.inflater.inflate(payload, MAX_MESSAGE)?.into();
        self.recent.truncate(REMEMBERED - 1);
        self.recent.push_front(Known {
            payload: payload.into(),
            message: Rc::clone(&message),
        });
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use campanile_protocol::ws::deflate::{Deflater, Window};

    use super::*;

    #[test]
    fn only_an_answer_without_context_takeover_is_an_agreement() {
        let answer = |extensions: &str| format!("HTTP/1.1 101 Fine\r\n{extensions}\r\n");
        for window in [Window::Full, Window::Small] {
            let kept = answer(&format!("Sec-WebSocket-Extensions: {}", window.response()));
            assert!(is_agreed(kept.as_bytes()), "{kept}");
        }
        for other in [
            "Upgrade: websocket",
            "Sec-WebSocket-Extensions: permessage-deflate",
            "Sec-WebSocket-Extensions: other; server_no_context_takeover",
            "X-Offered: permessage-deflate; server_no_context_takeover",
        ] {
            assert!(!is_agreed(answer(other).as_bytes()), "{other}");
        }
    }

    #[test]
    fn messages_are_told_apart_however_many_came_before() {
        let mut deflater = Deflater::new(1, 0);
        let messages: Vec<String> = (0..2 * REMEMBERED)
            .map(|number| format!("{number:08} ding dong ding dong ding dong"))
            .collect();
        let mut inflated = Inflated::default();
        for _ in 0..2 {
            for message in &messages {
                let payload = deflater.deflate(Window::Full, message.as_bytes()).unwrap();
                for _ in 0..2 {
                    assert_eq!(*inflated.message(payload).unwrap(), *message.as_bytes());
                }
            }
        }
        assert_eq!(inflated.recent.len(), REMEMBERED);
        assert!(inflated.message(b"\xff\xff").is_err());
    }
}
