//! Sessions that are about one channel and carry nothing but payloads: plain channel sockets, see
//! `docs/plain-sockets.md`.
//!
//! Inside such a session is like any other. Its connect request names the channel, to which it
//! subscribes by itself; every message of the client is a publish into it. What it differs in is
//! that it has no place for an error but its end, and no place for what is not its channel's.

use campanile_protocol::command::{ConnectRequest, Request, SubscribeRequest};
use campanile_protocol::wire::Manner;
use campanile_protocol::{Disconnect, Payload, Refusal, Reply, Unsubscribed};

use super::plan::Plan;
use super::{Context, Effect, Notice, Session, State};

/// Of the only subscription. Nobody reads the ids of replies that are not written.
const SUBSCRIBE_ID: u32 = 2;
const PUBLISH_ID: u32 = 3;

impl Session {
    /// Whether the session is about one channel alone.
    pub(super) const fn is_plain(&self) -> bool {
        matches!(self.manner(), Manner::Plain)
    }

    /// Subscribes to what the connect request names.
    pub(super) fn join_only(
        &mut self,
        context: &Context<'_>,
        request: &ConnectRequest,
        effects: &mut Vec<Effect>,
    ) {
        if let Some((channel, wish)) = request.subs.first_key_value() {
            let request = Box::new(SubscribeRequest {
                channel: channel.clone(),
                ..wish.clone()
            });
            self.handle_request(context, SUBSCRIBE_ID, Request::Subscribe(request), effects);
        }
    }

    /// Publishes what the client said.
    pub(super) fn say(&mut self, context: &Context<'_>, data: Payload, effects: &mut Vec<Effect>) {
        let only = self.subscriptions.first();
        match only.map(|only| only.channel.as_str().to_owned()) {
            Some(channel) if self.is_plain() && self.state == State::Live => {
                let request = Request::Publish {
                    channel,
                    data,
                    kind: 0,
                };
                self.handle_request(context, PUBLISH_ID, request, effects);
            }
            _ => self.close(Disconnect::BAD_REQUEST, effects),
        }
    }

    /// A client that says where it stands wants everything from there on, or to be told that it
    /// cannot have it. Elsewhere the reply says so.
    pub(super) fn check_plain(&self, plan: &Plan) -> Result<(), Refusal> {
        if self.is_plain() && plan.recover.is_some() && !plan.is_recoverable {
            return Err(Refusal::NOT_AVAILABLE);
        }
        Ok(())
    }

    /// Ends the session if the client would have to be told of an error, or of the end of its
    /// subscription, among the effects from `first` on.
    pub(super) fn end_plainly(&mut self, first: usize, effects: &mut Vec<Effect>) {
        let ends = |effect: &Effect| match effect {
            Effect::Reply(Reply {
                body: Err(refusal), ..
            }) => Some(refused(refusal)),
            Effect::Push(Notice::Unsubscribe(_, unsubscribed)) => Some(ended(unsubscribed)),
            _ => None,
        };
        let Some(disconnect) = effects[first..].iter().find_map(ends) else {
            return;
        };
        let mut index = 0;
        effects.retain(|effect| {
            index += 1;
            index <= first || ends(effect).is_none()
        });
        if self.state != State::Closed {
            self.close(disconnect, effects);
        }
    }
}

/// The end that a refusal amounts to: the code tells the client what to do, the reason why.
fn refused(refusal: &Refusal) -> Disconnect {
    let code = match refusal.code {
        101 | 103 => Disconnect::PERMISSION_DENIED.code,
        102 | 105 | 107 => Disconnect::BAD_REQUEST.code,
        106 => Disconnect::CHANNEL_LIMIT.code,
        104 | 108 => Disconnect::NOT_AVAILABLE.code,
        109 | 110 => Disconnect::EXPIRED.code,
        111 => Disconnect::TOO_MANY_REQUESTS.code,
        112 => Disconnect::UNRECOVERABLE_POSITION.code,
        _ if refusal.temporary => Disconnect::INTERNAL.code,
        _ => Disconnect::REFUSED.code,
    };
    Disconnect {
        code,
        reason: refusal.message.clone(),
    }
}

/// Likewise for the end of the subscription: from 2500 on clients are meant to come back.
fn ended(unsubscribed: &Unsubscribed) -> Disconnect {
    match unsubscribed.code {
        2500 => Disconnect::INSUFFICIENT_STATE,
        2501 => Disconnect::SUBSCRIPTION_EXPIRED,
        code => Disconnect {
            code: match code {
                2502.. => Disconnect::FORCE_RECONNECT.code,
                _ => Disconnect::FORCE_DISCONNECT.code,
            },
            reason: unsubscribed.reason.clone(),
        },
    }
}
