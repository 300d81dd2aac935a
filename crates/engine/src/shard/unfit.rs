//! Payloads that cannot be told to clients of some encoding: their connections end (3506), and the
//! log says what it was. It never says the payload.

use campanile_protocol::{ClientId, ReplyBody};

use crate::channel::ChannelName;
use crate::delivery::Event;
use crate::session::Notice;
use crate::throttle::Throttle;

/// As often as somebody publishes such a thing.
static UNFIT: Throttle = Throttle::per_second(1);

/// What was to be told.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    what: &'static str,
    channel: Option<&'a ChannelName>,
}

impl<'a> Subject<'a> {
    /// Something without payloads.
    pub(super) const NOTHING: Self = Self {
        what: "nothing",
        channel: None,
    };

    pub(super) const fn event(event: &Event, channel: &'a ChannelName) -> Self {
        let what = match event {
            Event::Publication { .. } => "a publication",
            Event::Join(_) => "a join",
            Event::Leave(_) => "a leave",
            Event::Lapse => return Self::NOTHING,
        };
        let channel = Some(channel);
        Self { what, channel }
    }

    pub(super) const fn reply(body: &ReplyBody) -> Self {
        let what = match body {
            ReplyBody::Connect(_) => "the result of a connect",
            ReplyBody::Subscribe(_) => "the result of a subscribe",
            ReplyBody::History { .. } => "a history",
            ReplyBody::Presence(_) => "a presence",
            ReplyBody::Rpc { .. } => "the answer to a call",
            _ => "a reply",
        };
        let channel = None;
        Self { what, channel }
    }

    pub(super) const fn notice(notice: &'a Notice) -> Self {
        let (what, channel) = match notice {
            Notice::Connect(_) => ("the result of a connect", None),
            Notice::Unsubscribe(channel, _) => ("an unsubscribe", Some(channel)),
            Notice::Subscribe { channel, .. } => ("a subscription", Some(channel)),
            Notice::Publication(channel, _) => ("a publication", Some(channel)),
            Notice::Message(_) => ("a message", None),
            Notice::Refresh(_) => ("a refresh", None),
        };
        Self { what, channel }
    }

    /// Tells the log; without a client when there may be many.
    pub(super) fn complain(self, client: Option<ClientId>) {
        if let Some(unsaid) = UNFIT.pass() {
            let Self { what, channel } = self;
            tracing::warn!(
                what,
                channel = channel.map(tracing::field::debug),
                client = client.map(tracing::field::display),
                unsaid,
                "no JSON, for clients that speak nothing else: they are disconnected (3506)"
            );
        }
    }
}
