//! What a session remembers of how it connected, where there is anything worth it.

use std::sync::Arc;

use campanile_protocol::Payload;
use campanile_protocol::command::ConnectRequest;

use super::{Context, Session};
use crate::application::{Caller, Interests};
use crate::channel::ChannelName;
use crate::headers::Headers;
use crate::limits::CLIENT_NAME_BYTES_MAX;

/// What outlives the credentials that brought it. Most sessions have none.
#[derive(Debug, Default)]
pub(super) struct Bequest {
    /// Channels that the connection token subscribed to, as the next token must again.
    pub(super) channels: Vec<ChannelName>,
    /// How the application knows the session, with what it keeps about it.
    pub(super) caller: Option<Arc<Caller>>,
    /// Whether the application is told of the session's end.
    pub(super) has_mourner: bool,
}

impl Bequest {
    /// `None` if there is nothing in it, so that a session need not keep it.
    pub(super) fn into_option(self) -> Option<Box<Self>> {
        (!self.channels.is_empty() || self.caller.is_some()).then(|| Box::new(self))
    }
}

impl Session {
    /// What the application keeps about the connection, by its latest credentials.
    #[must_use]
    pub fn meta(&self) -> Option<&Payload> {
        self.bequest.as_ref()?.caller.as_ref()?.meta.as_ref()
    }

    /// How the application knows this session from now on; `None` when nobody would ever ask.
    pub(super) fn introduce(
        &self,
        context: &Context<'_>,
        request: &ConnectRequest,
        meta: Option<Payload>,
        headers: Option<Arc<Headers>>,
    ) -> Option<Arc<Caller>> {
        let is_asked_about = context.asks(Interests::ALL.without(Interests::CONNECTING));
        (is_asked_about || meta.is_some()).then(|| {
            Arc::new(Caller {
                name: short(&request.name),
                version: short(&request.version),
                meta,
                headers,
                ..self.stranger()
            })
        })
    }

    /// How the application knows this session.
    #[must_use]
    pub fn caller(&self) -> Arc<Caller> {
        let known = self.bequest.as_ref().and_then(|held| held.caller.clone());
        known.unwrap_or_else(|| Arc::new(self.stranger()))
    }

    /// Replaces what the application keeps about the connection.
    pub(super) fn replace_meta(&mut self, meta: Option<Payload>) {
        let known = self.bequest.as_mut().and_then(|held| held.caller.as_mut());
        match known {
            Some(caller) => Arc::make_mut(caller).meta = meta,
            None if meta.is_none() => {}
            None => {
                let caller = Caller {
                    meta,
                    ..self.stranger()
                };
                self.bequest.get_or_insert_default().caller = Some(Arc::new(caller));
            }
        }
    }

    fn stranger(&self) -> Caller {
        Caller {
            client: self.client,
            user: self.info.user.clone(),
            wire: self.wire,
            name: Box::default(),
            version: Box::default(),
            meta: None,
            headers: None,
        }
    }
}

fn short(text: &str) -> Box<str> {
    text[..text.floor_char_boundary(CLIENT_NAME_BYTES_MAX)].into()
}
