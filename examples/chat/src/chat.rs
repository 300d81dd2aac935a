//! What the chat can do, for whoever asks: say, tell, list, rename.
//!
//! Rooms are channels. The server keeps their histories and who is in them, and brings what is said
//! to every browser. What is left to do here is to write the line for those who read in terminals.

use std::collections::BTreeMap;

use campanile::Node;
use campanile::engine::node::{HistoryRequest, PublishRequest};
use campanile::engine::shard::Target;
use campanile::handlers::SessionHandle;
use campanile::payload;
use campanile::protocol::Refusal;
use campanile::protocol::codes::Rejection;
use serde::Serialize;

use crate::people::People;
use crate::terminals::is_terminal;
use crate::words::{self, Event};

/// Lines that a terminal is shown when it enters a room.
const LINES_AT_FIRST: usize = 20;

/// The chat.
#[derive(Default)]
pub(crate) struct Chat {
    pub(crate) people: People,
}

/// Somebody in a room.
#[derive(Serialize)]
pub(crate) struct Member {
    pub(crate) user: String,
    pub(crate) name: String,
    /// Browsers and terminals.
    pub(crate) devices: usize,
}

impl Chat {
    /// What a user says, as the room's history keeps it.
    pub(crate) fn said(&self, user: &str, text: &str) -> Result<Event, Refusal> {
        Ok(Event::Text {
            from: user.to_owned(),
            name: self.people.name_of(user),
            text: words::text(text)?.to_owned(),
            at: words::now(),
        })
    }

    /// Writes an event of a room on the terminals in it, but those of one user.
    pub(crate) async fn show(&self, node: &Node, room: &str, event: &Event, except: Option<&str>) {
        let line = passing(line(event).into_bytes());
        for reader in self.people.terminals_in(room) {
            if except != Some(&reader) {
                let screen = words::terminal_channel(&reader);
                // A terminal that misses a line finds it in the room's history.
                let _ = node.publish(&screen, line.clone()).await;
            }
        }
    }

    /// Tells one user something, on all of their devices, and the other devices of who says it.
    pub(crate) async fn tell(
        &self,
        session: &SessionHandle,
        to: &str,
        text: &str,
    ) -> Result<Event, Rejection> {
        let (node, user) = (session.node(), session.user().as_str());
        let to = words::name(to)?;
        let event = Event::Private {
            from: user.to_owned(),
            name: self.people.name_of(user),
            to: to.to_owned(),
            text: words::text(text)?.to_owned(),
            at: words::now(),
        };
        let message = payload::json(&event)?;
        let except_here = |user: &str| Target::User {
            user: user.to_owned(),
            only: None,
            spared: vec![session.client()],
        };
        let heard = node.send(except_here(to), message.clone()).await?;
        if heard == 0 && to != user {
            return Err(words::refusal(404, format!("nobody called {to} is here")).into());
        }
        self.write(session, to, &event).await?;
        if to != user {
            node.send(except_here(user), message).await?;
            self.write(session, user, &event).await?;
        }
        Ok(event)
    }

    /// Writes on the screen of a user's terminals, unless that is where the event comes from.
    async fn write(
        &self,
        source: &SessionHandle,
        user: &str,
        event: &Event,
    ) -> Result<(), Refusal> {
        let is_here = is_terminal(source.wire()) && source.user().as_str() == user;
        if self.people.has_terminals(user) && !is_here {
            let line = passing(line(event).into_bytes());
            let screen = words::terminal_channel(user);
            source.node().publish(&screen, line).await?;
        }
        Ok(())
    }

    /// Rooms where somebody is, and on how many devices.
    pub(crate) async fn rooms(&self, node: &Node) -> Result<BTreeMap<String, usize>, Refusal> {
        let rooms = node.channels(words::is_room).await?.channels;
        let mut counts: BTreeMap<_, _> = rooms
            .into_iter()
            .filter_map(|(channel, count)| Some((words::room(&channel).ok()?.to_owned(), count)))
            .collect();
        for (room, count) in self.people.terminal_rooms() {
            *counts.entry(room).or_default() += count;
        }
        Ok(counts)
    }

    /// Who is in a room.
    pub(crate) async fn members(&self, node: &Node, room: &str) -> Result<Vec<Member>, Refusal> {
        let mut devices: BTreeMap<String, usize> = BTreeMap::new();
        for client in node.presence(&words::room_channel(room)).await? {
            *devices.entry(client.user.as_str().to_owned()).or_default() += 1;
        }
        for user in self.people.terminals_in(room) {
            *devices.entry(user).or_default() += 1;
        }
        let members = devices.into_iter().map(|(user, devices)| Member {
            name: self.people.name_of(&user),
            user,
            devices,
        });
        Ok(members.collect())
    }

    /// Whether a user is in a room, with a browser or a terminal.
    pub(crate) async fn is_in(&self, node: &Node, user: &str, room: &str) -> Result<bool, Refusal> {
        let is_user = |reader: &String| reader == user;
        if self.people.terminals_in(room).iter().any(is_user) {
            return Ok(true);
        }
        let browsers = node.presence(&words::room_channel(room)).await?;
        Ok(browsers.iter().any(|client| client.user.as_str() == user))
    }

    /// Gives a user another name, and tells the room, if they are in it: each page that is told
    /// asks who is there, which is not for others to cause.
    pub(crate) async fn rename(
        &self,
        node: &Node,
        (user, room): (&str, &str),
        name: &str,
    ) -> Result<(), Rejection> {
        let (name, room) = (words::name(name)?, words::name(room)?);
        if self.people.rename(user, name) && self.is_in(node, user, room).await? {
            self.stir(node, room).await?;
        }
        Ok(())
    }

    /// Has the browsers in a room ask who is there.
    pub(crate) async fn stir(&self, node: &Node, room: &str) -> Result<(), Rejection> {
        let event = passing(payload::json(&Event::People)?);
        node.publish(&words::room_channel(room), event).await?;
        Ok(())
    }

    /// The last lines of a room.
    pub(crate) async fn lines(&self, node: &Node, room: &str) -> Result<Vec<String>, Refusal> {
        let newest = HistoryRequest {
            limit: Some(LINES_AT_FIRST),
            reverse: true,
            ..HistoryRequest::default()
        };
        let page = node.history(&words::room_channel(room), newest).await?;
        let events = page.publications.iter().rev();
        let events = events.filter_map(|kept| payload::parse::<Event>(&kept.data).ok());
        Ok(events.map(|event| line(&event)).collect())
    }
}

/// An event as a terminal shows it.
pub(crate) fn line(event: &Event) -> String {
    match event {
        Event::Text {
            from, name, text, ..
        } => format!("[{}]: {text}", words::shown(from, name)),
        Event::Private {
            from,
            name,
            to,
            text,
            ..
        } => format!("[{} to {to}]: {text}", words::shown(from, name)),
        Event::Typing { .. } | Event::People => String::new(),
    }
}

/// Something that is not kept in any history.
pub(crate) fn passing(data: impl Into<payload::Payload>) -> PublishRequest {
    let mut request = PublishRequest::from(data);
    request.skips_history = true;
    request
}
