//! Who may come in, and what their clients may do: the answers to the server's questions.
//!
//! Browsers speak through the SDK: they subscribe to rooms, publish in them, and call. What a
//! terminal says is one line, and belongs to `terminals`.

use campanile::handlers::{
    Arrival, Credentials, Decision, Grant, Handlers, Revision, SessionHandle, Verdict,
};
use campanile::payload::{self, Payload};
use campanile::protocol::command::SubscribeRequest;
use campanile::protocol::{Disconnect, Refusal};
use serde::Deserialize;

use crate::chat::Chat;
use crate::terminals::is_terminal;
use crate::words::{self, Event};

/// The chat, as its clients reach it.
#[derive(Default)]
pub(crate) struct Front {
    pub(crate) chat: Chat,
}

/// What a browser says when it connects. A demonstration: whoever asks is whoever they say. Put
/// your own sign-in here: a cookie, or a token that the configuration verifies.
#[derive(Deserialize)]
struct Login {
    name: String,
}

/// What a browser publishes in a room.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Said {
    Text(String),
    Typing,
}

#[derive(Deserialize)]
struct InRoom {
    room: String,
}

#[derive(Deserialize)]
struct Naming {
    name: String,
    room: String,
}

#[derive(Deserialize)]
struct Telling {
    to: String,
    text: String,
}

impl Front {
    /// Tells a room that a terminal came or went; of browsers it hears by itself.
    async fn stir_for(&self, session: &SessionHandle, room: &str) {
        if is_terminal(session.wire()) {
            // If this fails, the room sees it when it asks for another reason.
            let _ = self.chat.stir(session.node(), room).await;
        }
    }
}

impl Handlers for Front {
    async fn connecting(&self, arrival: Arrival<'_>) -> Decision<Credentials> {
        let request = arrival.request;
        let user = if is_terminal(arrival.wire) {
            let channel = request.subs.keys().next();
            words::user(channel.map_or("", String::as_str))?.to_owned()
        } else {
            payload::parse::<Login>(&request.data)?.name
        };
        Ok(Verdict::Allowed(Credentials::of(words::name(&user)?)))
    }

    async fn connected(&self, session: &SessionHandle) {
        let (user, is_terminal) = (session.user().as_str(), is_terminal(session.wire()));
        self.chat.people.came(user, is_terminal);
        self.stir_for(session, &self.chat.people.room_of(user))
            .await;
    }

    async fn disconnected(&self, session: &SessionHandle, _: &Disconnect) {
        let (user, is_terminal) = (session.user().as_str(), is_terminal(session.wire()));
        let room = self.chat.people.room_of(user);
        self.chat.people.went(user, is_terminal);
        self.stir_for(session, &room).await;
    }

    async fn subscribe(
        &self,
        session: &SessionHandle,
        wanted: &SubscribeRequest,
    ) -> Decision<Grant> {
        if is_terminal(session.wire()) {
            // It is its own channel: `connecting` took the user from there.
            self.greet(session, &wanted.channel).await?;
        } else {
            words::room(&wanted.channel)?;
        }
        Ok(Verdict::Allowed(Grant::default()))
    }

    /// Only what is said in a room where its user is.
    async fn publish(
        &self,
        session: &SessionHandle,
        channel: &str,
        data: &[u8],
    ) -> Decision<Revision> {
        let user = session.user().as_str();
        let mut revision = Revision::default();
        let published = if is_terminal(session.wire()) {
            // The answer takes the place of the line.
            revision.skips_history = true;
            self.answer(session, data).await.into_bytes().into()
        } else {
            let room = words::room(channel)?;
            if !self.chat.is_in(session.node(), user, room).await? {
                return Err(Refusal::PERMISSION_DENIED.into());
            }
            let event = match payload::parse(data)? {
                Said::Text(text) => {
                    let event = self.chat.said(user, &text)?;
                    self.chat.show(session.node(), room, &event, None).await;
                    event
                }
                Said::Typing => {
                    revision.skips_history = true;
                    Event::Typing {
                        from: user.to_owned(),
                        name: self.chat.people.name_of(user),
                    }
                }
            };
            payload::json(&event)?
        };
        revision.data = Some(published);
        Ok(Verdict::Allowed(revision))
    }

    async fn rpc(&self, session: &SessionHandle, method: &str, data: &[u8]) -> Decision<Payload> {
        let (node, user) = (session.node(), session.user().as_str());
        let chat = &self.chat;
        let answer = match method {
            "rooms" => payload::json(&chat.rooms(node).await?)?,
            "members" => {
                let InRoom { room } = payload::parse(data)?;
                payload::json(&chat.members(node, words::name(&room)?).await?)?
            }
            "name" => {
                let Naming { name, room } = payload::parse(data)?;
                chat.rename(node, (user, &room), &name).await?;
                payload::json(&name)?
            }
            "tell" => {
                let Telling { to, text } = payload::parse(data)?;
                payload::json(&chat.tell(session, &to, &text).await?)?
            }
            _ => return Err(Refusal::METHOD_NOT_FOUND.into()),
        };
        Ok(Verdict::Allowed(answer))
    }
}
