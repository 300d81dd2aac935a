//! Terminals: any program that opens a WebSocket and shows lines.
//!
//! A terminal's socket is on a channel of its user, which is its screen. Each line that is typed is
//! a publication there, and what is published in its place is the answer. Queues, pings, limits and
//! slow readers are the server's, as for every other client.

use campanile::handlers::SessionHandle;
use campanile::payload;
use campanile::protocol::codes::Rejection;
use campanile::protocol::{Refusal, Wire};

use crate::chat::line;
use crate::front::Front;
use crate::words;

const HELP: &str = "\
/list            rooms, and how many are in each
/join ROOM       go to a room
/who             who is in this room
/name NAME       be called something else
/msg USER TEXT   tell one user something
anything else    is said in the room";

/// Whether it is a terminal that speaks so: a WebSocket without the SDK.
pub(crate) const fn is_terminal(wire: Wire) -> bool {
    matches!(wire, Wire::Plain { .. })
}

impl Front {
    /// Greets a terminal that is about to subscribe: the greeting is the last thing that its
    /// channel keeps, and comes to it first.
    pub(crate) async fn greet(
        &self,
        session: &SessionHandle,
        channel: &str,
    ) -> Result<(), Refusal> {
        let room = self.chat.people.room_of(session.user().as_str());
        let entered = self.entered(session, &room).await?;
        let greeting = format!("{HELP}\n{entered}").into_bytes();
        session.node().publish(channel, greeting).await?;
        Ok(())
    }

    /// The answer to a line. Never an error: a terminal can be told of one by its end only.
    pub(crate) async fn answer(&self, session: &SessionHandle, typed: &[u8]) -> String {
        let Ok(typed) = str::from_utf8(typed) else {
            return "that was not text".to_owned();
        };
        match self.obey(session, typed.trim()).await {
            Ok(answer) => answer,
            Err(Rejection::Refuse(refusal)) => refusal.message.into_owned(),
            Err(Rejection::Disconnect(end)) => end.reason.into_owned(),
        }
    }

    async fn obey(&self, session: &SessionHandle, typed: &str) -> Result<String, Rejection> {
        let (node, user) = (session.node(), session.user().as_str());
        let (chat, room) = (&self.chat, self.chat.people.room_of(user));
        let (command, rest) = match typed.split_once(char::is_whitespace) {
            Some((command, rest)) => (command, rest.trim()),
            None => (typed, ""),
        };
        match command {
            "/list" => {
                let rooms = chat.rooms(node).await?.into_iter();
                let rooms = rooms.map(|(room, count)| format!("{room} ({count})"));
                Ok(rooms.collect::<Vec<_>>().join("\n"))
            }
            "/join" => self.join(session, rest).await,
            "/who" => {
                let members = chat.members(node, &room).await?.into_iter();
                let members = members.map(|one| words::shown(&one.user, &one.name));
                Ok(members.collect::<Vec<_>>().join("\n"))
            }
            "/name" => {
                chat.rename(node, (user, &room), rest).await?;
                Ok(format!("you are called {rest}"))
            }
            "/msg" => {
                let (to, text) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                Ok(line(&chat.tell(session, to, text).await?))
            }
            _ if command.starts_with('/') => Ok(HELP.to_owned()),
            _ => {
                let event = chat.said(user, typed)?;
                let channel = words::room_channel(&room);
                node.publish(&channel, payload::json(&event)?).await?;
                chat.show(node, &room, &event, Some(user)).await;
                Ok(line(&event))
            }
        }
    }

    /// The room is entered first and its history read then: a line that comes meanwhile may be seen
    /// twice, but none is missed.
    async fn join(&self, session: &SessionHandle, room: &str) -> Result<String, Rejection> {
        let (node, room) = (session.node(), words::name(room)?);
        let before = self.chat.people.take_to(session.user().as_str(), room);
        self.chat.stir(node, &before).await?;
        self.chat.stir(node, room).await?;
        Ok(self.entered(session, room).await?)
    }

    /// What a terminal is shown when it is in a room.
    async fn entered(&self, session: &SessionHandle, room: &str) -> Result<String, Refusal> {
        let mut lines = self.chat.lines(session.node(), room).await?;
        lines.push(format!("you are in {room}"));
        Ok(lines.join("\n"))
    }
}
