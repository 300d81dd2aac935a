//! What nodes ask each other, and how they answer: the bytes of it.
//!
//! | Question | Fields | Answer |
//! |---|---|---|
//! | 1 order | target, order | how many sessions it was for |
//! | 2 channels | beginning of their names | count, then name and members of each |
//! | 3 presence | channel, most | whether there are no more than that; count, then each |
//! | 4 presence stats | channel | sessions; count, then 8 bytes for each user |
//!
//! Fields are added at the end, as in [`cluster::message`](crate::cluster). A question or an order
//! that is not known is refused, and whoever asked is told so at once.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use campanile_protocol::{ClientId, ClientInfo, Disconnect, Epoch, Position, Unsubscribed};

use crate::authority::{Grant, Overrides};
use crate::bytes::{
    CLIENT_INFO_BYTES_MIN, Malformed, Reader, put_bytes, put_client_info, put_number, put_option,
    put_signed,
};
use crate::channel::ChannelName;
use crate::session::{Claim, Order};
use crate::shard::Target;

const ORDER: u8 = 1;
const CHANNELS: u8 = 2;
const PRESENCE: u8 = 3;
const PRESENCE_STATS: u8 = 4;

/// What one node asks all others. Names of channels are taken as they are: who is asked resolves
/// them.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Question {
    /// Give this order.
    Order(Target, Order),
    /// Which channels that begin like this have subscribers?
    Channels(String),
    /// Who is there, if they are not more than so many?
    Presence(ChannelName, usize),
    /// How many are there?
    PresenceStats(ChannelName),
}

impl Question {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Order(target, order) => {
                out.push(ORDER);
                put_target(&mut out, target);
                put_order(&mut out, order);
            }
            Self::Channels(beginning) => {
                out.push(CHANNELS);
                put_bytes(&mut out, beginning.as_bytes());
            }
            Self::Presence(channel, most) => {
                out.push(PRESENCE);
                put_bytes(&mut out, channel.as_str().as_bytes());
                put_number(&mut out, *most as u64);
            }
            Self::PresenceStats(channel) => {
                out.push(PRESENCE_STATS);
                put_bytes(&mut out, channel.as_str().as_bytes());
            }
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let reader = &mut Reader::new(bytes);
        Ok(match reader.byte()? {
            ORDER => Self::Order(target(reader)?, order(reader)?),
            CHANNELS => Self::Channels(reader.text()?.to_owned()),
            PRESENCE => Self::Presence(
                channel(reader)?,
                usize::try_from(reader.number()?).unwrap_or(usize::MAX),
            ),
            PRESENCE_STATS => Self::PresenceStats(channel(reader)?),
            _ => return Err(Malformed),
        })
    }
}

const EVERYBODY: u8 = 0;
const USER: u8 = 1;

fn put_target(out: &mut Vec<u8>, target: &Target) {
    match target {
        Target::Everybody => out.push(EVERYBODY),
        Target::User { user, only, spared } => {
            out.push(USER);
            put_bytes(out, user.as_bytes());
            put_option(out, *only, |out, client| out.extend(client.to_bytes()));
            put_number(out, spared.len() as u64);
            for client in spared {
                out.extend(client.to_bytes());
            }
        }
    }
}

fn target(reader: &mut Reader<'_>) -> Result<Target, Malformed> {
    Ok(match reader.byte()? {
        EVERYBODY => Target::Everybody,
        USER => Target::User {
            user: reader.text()?.to_owned(),
            only: reader.option(client)?,
            spared: list(reader, 16, client)?,
        },
        _ => return Err(Malformed),
    })
}

const SUBSCRIBE: u8 = 0;
const UNSUBSCRIBE: u8 = 1;
const DISCONNECT: u8 = 2;
const MESSAGE: u8 = 3;
const REFRESH: u8 = 4;
const CLAIM: u8 = 5;
const YIELD: u8 = 6;
const RECLAIM: u8 = 7;

fn put_order(out: &mut Vec<u8>, order: &Order) {
    match order {
        Order::Subscribe {
            channel,
            grant,
            recover,
        } => {
            out.push(SUBSCRIBE);
            put_bytes(out, channel.as_str().as_bytes());
            put_option(out, recover.as_ref(), |out, position| {
                put_bytes(out, position.epoch.as_str().as_bytes());
                put_number(out, position.offset);
            });
            put_grant(out, grant);
        }
        Order::Unsubscribe {
            channel,
            unsubscribed,
        } => {
            out.push(UNSUBSCRIBE);
            put_option(out, channel.as_ref(), |out, channel| {
                put_bytes(out, channel.as_str().as_bytes());
            });
            put_number(out, unsubscribed.code.into());
            put_bytes(out, unsubscribed.reason.as_bytes());
        }
        Order::Disconnect(disconnect) => {
            out.push(DISCONNECT);
            put_number(out, disconnect.code.into());
            put_bytes(out, disconnect.reason.as_bytes());
        }
        Order::Message(data) => {
            out.push(MESSAGE);
            put_bytes(out, data);
        }
        Order::Refresh { expire_at, info } => {
            out.push(REFRESH);
            put_option(out, *expire_at, put_signed);
            put_option(out, info.as_deref(), put_bytes);
        }
        Order::Claim(at) => {
            out.push(CLAIM);
            put_number(out, *at);
        }
        Order::Yield(Claim { at, client }) => {
            out.push(YIELD);
            put_number(out, *at);
            out.extend(client.to_bytes());
        }
        Order::Reclaim(since) => {
            out.push(RECLAIM);
            put_number(out, *since);
        }
    }
}

fn order(reader: &mut Reader<'_>) -> Result<Order, Malformed> {
    Ok(match reader.byte()? {
        SUBSCRIBE => Order::Subscribe {
            channel: channel(reader)?,
            recover: reader.option(|reader| {
                let epoch = Epoch::new(reader.text()?);
                let offset = reader.number()?;
                Ok(Position { epoch, offset })
            })?,
            grant: grant(reader)?,
        },
        UNSUBSCRIBE => Order::Unsubscribe {
            channel: reader.option(channel)?,
            unsubscribed: Unsubscribed {
                code: u32::try_from(reader.number()?).map_err(|_| Malformed)?,
                reason: reader.text()?.to_owned().into(),
            },
        },
        DISCONNECT => Order::Disconnect(Disconnect {
            code: u16::try_from(reader.number()?).map_err(|_| Malformed)?,
            reason: reader.text()?.to_owned().into(),
        }),
        MESSAGE => Order::Message(reader.payload()?),
        REFRESH => Order::Refresh {
            expire_at: reader.option(Reader::signed)?,
            info: reader.option(Reader::payload)?,
        },
        CLAIM => Order::Claim(reader.number()?),
        RECLAIM => Order::Reclaim(reader.number()?),
        YIELD => Order::Yield(Claim {
            at: reader.number()?,
            client: client(reader)?,
        }),
        _ => return Err(Malformed),
    })
}

fn put_grant(out: &mut Vec<u8>, grant: &Grant) {
    let Grant {
        info,
        data,
        expire_at,
        recovers_cache,
        overrides,
    } = grant;
    put_option(out, info.as_deref(), put_bytes);
    put_option(out, data.as_deref(), put_bytes);
    put_option(out, *expire_at, put_signed);
    out.push(u8::from(*recovers_cache));
    let Overrides {
        presence,
        join_leave,
        force_push_join_leave,
        force_positioning,
        force_recovery,
    } = *overrides;
    let all = [
        presence,
        join_leave,
        force_push_join_leave,
        force_positioning,
        force_recovery,
    ];
    // Two bits each: as configured, off, on.
    let bits = all.iter().rev().fold(0, |bits, option| {
        bits << 2 | option.map_or(0, |is_on| 1 + u64::from(is_on))
    });
    put_number(out, bits);
}

fn grant(reader: &mut Reader<'_>) -> Result<Grant, Malformed> {
    let (info, data) = (
        reader.option(Reader::payload)?,
        reader.option(Reader::payload)?,
    );
    let expire_at = reader.option(Reader::signed)?;
    let recovers_cache = reader.flag()?;
    let bits = reader.number()?;
    let option = |at: u32| match bits >> (2 * at) & 3 {
        1 => Some(false),
        2 => Some(true),
        _ => None,
    };
    let overrides = Overrides {
        presence: option(0),
        join_leave: option(1),
        force_push_join_leave: option(2),
        force_positioning: option(3),
        force_recovery: option(4),
    };
    Ok(Grant {
        info,
        data,
        expire_at,
        recovers_cache,
        overrides,
    })
}

/// How many sessions an order was for.
pub(super) fn spell_count(count: usize) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(&mut out, count as u64);
    out
}

pub(super) fn read_count(answer: &[u8]) -> Result<usize, Malformed> {
    Reader::new(answer).size()
}

/// Channels and their members.
pub(super) fn spell_channels<'a>(
    channels: impl ExactSizeIterator<Item = (&'a str, usize)>,
) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(&mut out, channels.len() as u64);
    for (name, members) in channels {
        put_bytes(&mut out, name.as_bytes());
        put_number(&mut out, members as u64);
    }
    out
}

pub(super) fn read_channels(answer: &[u8]) -> Result<Vec<(&str, usize)>, Malformed> {
    let reader = &mut Reader::new(answer);
    list(reader, 2, |reader| Ok((reader.text()?, reader.size()?)))
}

/// Who is in a channel; `None` when there are too many.
pub(super) fn spell_clients(clients: Option<&[Arc<ClientInfo>]>) -> Vec<u8> {
    let mut out = Vec::new();
    put_option(&mut out, clients, |out, clients| {
        put_number(out, clients.len() as u64);
        for info in clients {
            put_client_info(out, info);
        }
    });
    out
}

pub(super) fn read_clients(answer: &[u8]) -> Result<Option<Vec<Arc<ClientInfo>>>, Malformed> {
    let info = |reader: &mut Reader<'_>| reader.client_info().map(Arc::new);
    Reader::new(answer).option(|reader| list(reader, CLIENT_INFO_BYTES_MIN, info))
}

/// How many sessions are in a channel, and whose.
pub(super) fn spell_attendance(clients: usize, users: &[u64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(20 + 8 * users.len());
    put_number(&mut out, clients as u64);
    put_number(&mut out, users.len() as u64);
    out.extend(users.iter().flat_map(|user| user.to_le_bytes()));
    out
}

pub(super) fn read_attendance(answer: &[u8]) -> Result<(usize, Vec<u64>), Malformed> {
    let reader = &mut Reader::new(answer);
    let clients = reader.size()?;
    let users = list(reader, 8, |reader| reader.array().map(u64::from_le_bytes))?;
    Ok((clients, users))
}

fn channel(reader: &mut Reader<'_>) -> Result<ChannelName, Malformed> {
    reader.text().map(ChannelName::trusted)
}

fn client(reader: &mut Reader<'_>) -> Result<ClientId, Malformed> {
    reader.array().map(ClientId::from_bytes)
}

fn list<'a, T>(
    reader: &mut Reader<'a>,
    bytes_min: usize,
    read: impl Fn(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = reader.count(bytes_min)?;
    (0..count).map(|_| read(reader)).collect()
}
