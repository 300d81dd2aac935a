//! How events and notices become the bytes of a wire, once for all that share them.

use campanile_protocol::codec::InappropriatePayload;
use campanile_protocol::push::Form;
use campanile_protocol::ws::deflate::Window;
use campanile_protocol::{Encoder, Push, Wire};

use crate::channel::ChannelName;
use crate::delivery::Event;
use crate::hub::Telling;
use crate::outbox::Frame;
use crate::session::Notice;

/// What makes the frames of one delivery different.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameKey {
    pub(super) wire: Wire,
    pub(super) telling: Telling,
    /// Set when they are compressed.
    pub(super) window: Option<Window>,
}

/// The frames of one delivery: at most nine for a wire. It needs one or two, which a list finds faster
/// than any table.
#[derive(Default)]
pub(super) struct FrameCache(Vec<(FrameKey, Result<Frame, InappropriatePayload>)>);

impl FrameCache {
    pub(super) fn get_or_make(
        &mut self,
        key: FrameKey,
        make: impl FnOnce() -> Result<Frame, InappropriatePayload>,
    ) -> Result<Frame, InappropriatePayload> {
        if let Some((_, frame)) = self.0.iter().find(|(made, _)| *made == key) {
            return frame.clone();
        }
        let frame = make();
        self.0.push((key, frame.clone()));
        frame
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

pub(super) fn encode_event(
    encoder: &mut Encoder,
    wire: Wire,
    channel: &ChannelName,
    event: &Event,
    telling: Telling,
    out: &mut Vec<u8>,
) -> Result<(), InappropriatePayload> {
    let channel = channel.as_str();
    let push = match event {
        Event::Publication {
            publication,
            epoch,
            previous,
        } => Push::Publication {
            channel,
            publication,
            epoch: *epoch,
            form: match (telling, previous) {
                (Telling::Plain, _) => Form::Plain,
                (Telling::Delta, Some(previous)) => Form::Delta {
                    previous: &previous.data,
                },
                (Telling::Whole | Telling::Delta, _) => Form::Whole,
            },
        },
        Event::Join(info) => Push::Join { channel, info },
        Event::Leave(info) => Push::Leave { channel, info },
        // The hub's own business.
        Event::Lapse => return Ok(()),
    };
    encoder.push(wire, &push, out)
}

pub(super) fn encode_notice(
    encoder: &mut Encoder,
    wire: Wire,
    notice: &Notice,
    out: &mut Vec<u8>,
) -> Result<(), InappropriatePayload> {
    let push = match notice {
        Notice::Connect(result) => Push::Connect(result),
        Notice::Unsubscribe(channel, unsubscribed) => Push::Unsubscribe {
            channel: channel.as_str(),
            unsubscribed,
        },
        Notice::Subscribe {
            channel,
            recoverable,
            position,
            data,
        } => Push::Subscribe {
            channel: channel.as_str(),
            recoverable: *recoverable,
            positioned: position.is_some(),
            position: *position,
            data: data.as_ref(),
        },
        Notice::Publication(channel, publication) => Push::Publication {
            channel: channel.as_str(),
            publication,
            epoch: campanile_protocol::Epoch::EMPTY,
            form: Form::Plain,
        },
        Notice::Message(data) => Push::Message { data },
        Notice::Refresh(expiry) => Push::Refresh(*expiry),
    };
    encoder.push(wire, &push, out)
}
