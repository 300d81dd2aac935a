//! How messages between nodes are spelled.
//!
//! | Field | Bytes |
//! |---|---|
//! | version: [`VERSION`] | 1 |
//! | kind | 1 |
//! | sender | 16 |
//! | **1 Hello:** incarnation; uptime in milliseconds; name; version; count and as many numbers: clients, users, channels, subscriptions, connections | |
//! | **2 Goodbye:** incarnation | |
//! | **3 Question:** id; question | |
//! | **4 Answer:** id; part, from 0; whether it is the last; [`Reply`]; bytes | |
//! | **5 Emulate:** secret; frame | 16 + length |
//!
//! Two versions of the program run side by side while one replaces the other. So what is added
//! stands behind what was there before, and a reader passes over what it does not know, and does
//! without what it is not told; a new kind is skipped by those that do not know it. What cannot be
//! added like that takes another version byte, and is spoken only once everybody reads it.

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::{NodeId, NodeInfo};
use crate::bytes::{Malformed, Reader, put_bytes, put_number};
use crate::limits::NODE_NAME_BYTES_MAX;
use crate::shard::ShardStats;

/// The first byte of every message.
pub(super) const VERSION: u8 = 1;

const HELLO: u8 = 1;
const GOODBYE: u8 = 2;
const QUESTION: u8 = 3;
const ANSWER: u8 = 4;
const EMULATE: u8 = 5;

/// What a node tells others.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Message<'a> {
    Hello {
        incarnation: u64,
        info: NodeInfo,
    },
    Goodbye {
        incarnation: u64,
    },
    Question {
        id: u64,
        question: &'a [u8],
    },
    Answer {
        id: u64,
        part: u64,
        is_last: bool,
        reply: Reply,
        bytes: &'a [u8],
    },
    Emulate {
        secret: [u8; 16],
        frame: &'a [u8],
    },
}

/// What became of a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply {
    /// It was done, or is answered.
    Done,
    /// It was not: not understood, or not possible there.
    Refused,
}

/// Why a message is passed over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Skip {
    /// It is of a version or kind that is not known here.
    Unknown,
    /// It is no message.
    Malformed,
}

impl From<Malformed> for Skip {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl Message<'_> {
    pub(super) fn encode(&self, from: NodeId) -> Vec<u8> {
        let mut out = vec![VERSION, self.kind()];
        out.extend(from.to_bytes());
        match self {
            Self::Hello { incarnation, info } => {
                put_number(&mut out, *incarnation);
                put_info(&mut out, info);
            }
            Self::Goodbye { incarnation } => put_number(&mut out, *incarnation),
            Self::Question { id, question } => {
                put_number(&mut out, *id);
                put_bytes(&mut out, question);
            }
            Self::Answer {
                id,
                part,
                is_last,
                reply,
                bytes,
            } => {
                put_number(&mut out, *id);
                put_number(&mut out, *part);
                out.push(u8::from(*is_last));
                out.push(u8::from(*reply == Reply::Refused));
                put_bytes(&mut out, bytes);
            }
            Self::Emulate { secret, frame } => {
                out.extend(secret);
                put_bytes(&mut out, frame);
            }
        }
        out
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Hello { .. } => HELLO,
            Self::Goodbye { .. } => GOODBYE,
            Self::Question { .. } => QUESTION,
            Self::Answer { .. } => ANSWER,
            Self::Emulate { .. } => EMULATE,
        }
    }
}

/// Reads a message: who sent it, and what it says.
pub(super) fn decode(bytes: &[u8]) -> Result<(NodeId, Message<'_>), Skip> {
    let mut reader = Reader::new(bytes);
    if reader.byte()? != VERSION {
        return Err(Skip::Unknown);
    }
    let kind = reader.byte()?;
    let from = NodeId::from_bytes(reader.array()?);
    let message = match kind {
        HELLO => Message::Hello {
            incarnation: reader.number()?,
            info: read_info(&mut reader, from)?,
        },
        GOODBYE => Message::Goodbye {
            incarnation: reader.number()?,
        },
        QUESTION => Message::Question {
            id: reader.number()?,
            question: reader.bytes()?,
        },
        ANSWER => Message::Answer {
            id: reader.number()?,
            part: reader.number()?,
            is_last: reader.flag()?,
            // Whatever a newer version means: it is not done.
            reply: if reader.flag()? {
                Reply::Refused
            } else {
                Reply::Done
            },
            bytes: reader.bytes()?,
        },
        EMULATE => Message::Emulate {
            secret: reader.array()?,
            frame: reader.bytes()?,
        },
        _ => return Err(Skip::Unknown),
    };
    Ok((from, message))
}

fn put_info(out: &mut Vec<u8>, info: &NodeInfo) {
    let NodeInfo {
        name,
        version,
        uptime,
        stats,
        ..
    } = info;
    put_number(out, u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX));
    for text in [name, version] {
        let end = text.floor_char_boundary(NODE_NAME_BYTES_MAX);
        put_bytes(out, &text.as_bytes()[..end]);
    }
    let counts = [
        stats.clients,
        stats.users,
        stats.channels,
        stats.subscriptions,
        stats.connections,
    ];
    put_number(out, counts.len() as u64);
    for count in counts {
        put_number(out, count as u64);
    }
}

fn read_info(reader: &mut Reader<'_>, id: NodeId) -> Result<NodeInfo, Malformed> {
    let uptime = Duration::from_millis(reader.number()?);
    let (name, version) = (reader.text()?, reader.text()?);
    if name.len().max(version.len()) > NODE_NAME_BYTES_MAX {
        return Err(Malformed);
    }
    let mut counts = [0; 5];
    for at in 0..reader.count(1)? {
        let count = reader.size()?;
        if let Some(known) = counts.get_mut(at) {
            *known = count;
        }
    }
    let [clients, users, channels, subscriptions, connections] = counts;
    Ok(NodeInfo {
        id: id.to_string(),
        name: name.to_owned(),
        version: version.to_owned(),
        uptime,
        stats: ShardStats {
            connections,
            clients,
            users,
            channels,
            subscriptions,
        },
    })
}
