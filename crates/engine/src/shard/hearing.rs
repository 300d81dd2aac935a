//! What clients say to their sessions, in each of the ways in which they can.

use campanile_protocol::codec::DecodeError;
use campanile_protocol::command::{ConnectRequest, Request};
use campanile_protocol::wire::Commands;
use campanile_protocol::{Command, Payload};

use super::{SessionKey, Shard};
use crate::session::Input;
use crate::time::Now;

impl Shard {
    /// Takes commands, in order, until one has to wait; returns what is left undecoded.
    pub fn receive<'a>(
        &mut self,
        now: Now,
        key: SessionKey,
        mut commands: Commands<'a>,
    ) -> &'a [u8] {
        while self.is_listening(key) {
            let input = match commands.next() {
                None => return &[],
                Some(Ok(command)) => Input::Command(command),
                Some(Err(error)) => Input::Malformed(error),
            };
            self.totals.commands += 1;
            self.step(now, key, input);
        }
        if self.is_open(key) {
            commands.rest()
        } else {
            &[]
        }
    }

    /// Takes what a client says that can only say who it is (section 16 of the client protocol).
    pub fn connect(
        &mut self,
        now: Now,
        key: SessionKey,
        request: Result<ConnectRequest, DecodeError>,
    ) {
        let input = match request {
            Ok(request) => Input::Command(Command::Request {
                id: 1,
                request: Request::Connect(Box::new(request)),
            }),
            Err(error) => Input::Malformed(error),
        };
        self.totals.commands += 1;
        self.step(now, key, input);
    }

    /// Takes a message to publish, over a transport without commands.
    pub fn say(&mut self, now: Now, key: SessionKey, data: Payload) {
        self.totals.commands += 1;
        self.step(now, key, Input::Message(data));
    }

    /// Takes the answer to a ping that is not a command.
    pub fn pong(&mut self, now: Now, key: SessionKey) {
        self.step(now, key, Input::Command(Command::Pong));
    }

    /// Whether the session takes another command now.
    #[must_use]
    pub fn is_listening(&self, key: SessionKey) -> bool {
        let session = self.slot(key).filter(|slot| slot.closes.is_none());
        session
            .and_then(|slot| slot.session.as_ref())
            .is_some_and(|s| !s.is_waiting(&self.settings))
    }
}
