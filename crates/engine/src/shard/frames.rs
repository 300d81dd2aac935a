//! How events and notices become the bytes of a wire.

use campanile_protocol::codec::InappropriatePayload;
use campanile_protocol::{Push, Wire};

use crate::channel::ChannelName;
use crate::delivery::Event;
use crate::session::Notice;

pub(super) fn encode_event(
    wire: Wire,
    channel: &ChannelName,
    event: &Event,
    out: &mut Vec<u8>,
) -> Result<(), InappropriatePayload> {
    let channel = channel.as_str();
    let push = match event {
        Event::Publication { publication, epoch } => Push::Publication {
            channel,
            publication,
            epoch: *epoch,
        },
        Event::Join(info) => Push::Join { channel, info },
        Event::Leave(info) => Push::Leave { channel, info },
    };
    wire.push(&push, out)
}

pub(super) fn encode_notice(
    wire: Wire,
    notice: &Notice,
    out: &mut Vec<u8>,
) -> Result<(), InappropriatePayload> {
    let push = match notice {
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
        },
        Notice::Message(data) => Push::Message { data },
        Notice::Refresh(expiry) => Push::Refresh(*expiry),
    };
    wire.push(&push, out)
}
