//! How a record is spelled: small, and the same bytes for the same record always.
//!
//! It owns the bytes of one record and nothing around them: that they are whole is known by the
//! framing ([`super::group`]). Numbers are varints (seven bits a byte, the lowest first, no byte more
//! than needed), texts and payloads are a length and bytes. What is behind the last field is an
//! error, so that each record has one spelling only.
//!
//! | Field | When | Bytes |
//! |---|---|---|
//! | flags | always | 1 |
//! | **Era:** epoch | | 1 + length |
//! | ends | | 6 |
//! | **Channel:** name | | 1 + length |
//! | epoch | | 1 + length |
//! | top | | 1–10 |
//! | how many are kept: top + 1 − floor | | 1–10 |
//! | history expires | | 6 |
//! | meta expires − history expires | flag | 5, for weeks |
//! | version: number, epoch | flag | 2 + length |
//! | publication: payload | flag | 1 + length |
//! | top − offset | flag: not the newest | 1–10 |
//! | publisher: user, client (16), flags, `conn_info`, `chan_info` | flag | 18 + lengths |
//! | tags: count, then key and value of each, ascending | flag | 1 + (2 + lengths) each |
//! | keys: count, then of each: text, whether it has an offset, top − offset, expires | flag | 1 + (9 + length) each |
//!
//! Times are not told from the time of the group, though that would take three bytes less: a record
//! is also read alone, and its group's frame is not at hand then.

use std::sync::Arc;

use campanile_protocol::{ClientId, ClientInfo, Epoch, Publication, Tags, UserId};

use super::record::{KeyRecord, Malformed, Record, RecordRef, StreamState};
use crate::broker::Version;
use crate::bytes::{Reader, put_bytes, put_number};
use crate::channel::ChannelName;

const ERA: u8 = 1;
/// Of an era.
const REBIRTH: u8 = 1 << 1;
/// This and all that follow: of a channel.
const PUBLICATION: u8 = 1 << 1;
const NOT_NEWEST: u8 = 1 << 2;
const INFO: u8 = 1 << 3;
const TAGS: u8 = 1 << 4;
const META: u8 = 1 << 5;
const VERSION: u8 = 1 << 6;
const KEYS: u8 = 1 << 7;

const CONN_INFO: u8 = 1;
const CHAN_INFO: u8 = 1 << 1;

/// The shortest key: length of its text, no offset, a time of one byte.
const KEY_BYTES_MIN: usize = 3;

impl RecordRef<'_> {
    /// Appends the record's bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            RecordRef::Era {
                epoch,
                ends,
                is_rebirth,
            } => {
                out.push(ERA | flag(is_rebirth, REBIRTH));
                put_bytes(out, epoch.as_str().as_bytes());
                put_number(out, ends);
            }
            RecordRef::Channel {
                channel,
                state,
                publication,
                keys,
            } => {
                out.push(flags(state, publication, keys));
                put_bytes(out, channel.as_bytes());
                put_state(out, state);
                if let Some(publication) = publication {
                    put_publication(out, state.top, publication);
                }
                if !keys.is_empty() {
                    put_keys(out, state.top, keys);
                }
            }
        }
    }
}

fn flag(is_set: bool, bit: u8) -> u8 {
    if is_set { bit } else { 0 }
}

fn flags(state: &StreamState, publication: Option<&Publication>, keys: &[KeyRecord]) -> u8 {
    let of_publication = publication.map_or(0, |publication| {
        PUBLICATION
            | flag(publication.offset != state.top, NOT_NEWEST)
            | flag(publication.info.is_some(), INFO)
            | flag(publication.tags.is_some(), TAGS)
    });
    of_publication
        | flag(state.meta_expires.is_some(), META)
        | flag(state.version.is_some(), VERSION)
        | flag(!keys.is_empty(), KEYS)
}

/// Differences wrap: a state that makes no sense takes more bytes, and is still the same afterwards.
fn put_state(out: &mut Vec<u8>, state: &StreamState) {
    put_bytes(out, state.epoch.as_str().as_bytes());
    put_number(out, state.top);
    put_number(out, state.top.wrapping_sub(state.floor).wrapping_add(1));
    put_number(out, state.history_expires);
    if let Some(meta_expires) = state.meta_expires {
        put_number(out, meta_expires.wrapping_sub(state.history_expires));
    }
    if let Some(version) = &state.version {
        put_number(out, version.number);
        put_bytes(out, version.epoch.as_bytes());
    }
}

fn put_publication(out: &mut Vec<u8>, top: u64, publication: &Publication) {
    put_bytes(out, &publication.data);
    if publication.offset != top {
        put_number(out, top.wrapping_sub(publication.offset));
    }
    if let Some(info) = &publication.info {
        put_bytes(out, info.user.as_str().as_bytes());
        out.extend_from_slice(&info.client.to_bytes());
        out.push(
            flag(info.conn_info.is_some(), CONN_INFO) | flag(info.chan_info.is_some(), CHAN_INFO),
        );
        for payload in [&info.conn_info, &info.chan_info].into_iter().flatten() {
            put_bytes(out, payload);
        }
    }
    if let Some(tags) = &publication.tags {
        put_number(out, tags.len() as u64);
        for (key, value) in &**tags {
            put_bytes(out, key.as_bytes());
            put_bytes(out, value.as_bytes());
        }
    }
}

fn put_keys(out: &mut Vec<u8>, top: u64, keys: &[KeyRecord]) {
    put_number(out, keys.len() as u64);
    for key in keys {
        put_bytes(out, key.key.as_bytes());
        out.push(u8::from(key.offset.is_some()));
        if let Some(offset) = key.offset {
            put_number(out, top.wrapping_sub(offset));
        }
        put_number(out, key.expires);
    }
}

impl Record {
    /// Reads the record that `bytes` are, all of them.
    ///
    /// # Errors
    /// They are no record.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Input(Reader::new(bytes));
        let flags = input.0.byte()?;
        let record = if flags & ERA == 0 {
            input.channel(flags)?
        } else if flags & !(ERA | REBIRTH) == 0 {
            Self::Era {
                epoch: input.epoch()?,
                ends: input.0.number()?,
                is_rebirth: flags & REBIRTH != 0,
            }
        } else {
            return Err(Malformed);
        };
        if input.0.rest().is_empty() {
            Ok(record)
        } else {
            Err(Malformed)
        }
    }
}

/// What is left of a record's bytes.
struct Input<'a>(Reader<'a>);

impl Input<'_> {
    fn channel(&mut self, flags: u8) -> Result<Record, Malformed> {
        let channel = ChannelName::trusted(self.0.text()?);
        let state = self.state(flags)?;
        let publication = if flags & PUBLICATION != 0 {
            Some(self.publication(flags, state.top)?)
        } else if flags & (NOT_NEWEST | INFO | TAGS) == 0 {
            None
        } else {
            return Err(Malformed);
        };
        let keys = if flags & KEYS == 0 {
            Vec::new()
        } else {
            self.keys(state.top)?
        };
        Ok(Record::Channel {
            channel,
            state,
            publication,
            keys,
        })
    }

    fn state(&mut self, flags: u8) -> Result<StreamState, Malformed> {
        let epoch = self.epoch()?;
        let top = self.0.number()?;
        let kept = self.0.number()?;
        let history_expires = self.0.number()?;
        let meta_expires = if flags & META == 0 {
            None
        } else {
            Some(history_expires.wrapping_add(self.0.number()?))
        };
        let version = if flags & VERSION == 0 {
            None
        } else {
            Some(Version {
                number: self.0.number()?,
                epoch: self.0.text()?.into(),
            })
        };
        Ok(StreamState {
            epoch,
            top,
            floor: top.wrapping_sub(kept).wrapping_add(1),
            history_expires,
            meta_expires,
            version,
        })
    }

    fn publication(&mut self, flags: u8, top: u64) -> Result<Publication, Malformed> {
        let data = self.0.bytes()?.into();
        let offset = if flags & NOT_NEWEST == 0 {
            top
        } else {
            match self.0.number()? {
                0 => return Err(Malformed),
                distance => top.wrapping_sub(distance),
            }
        };
        let info = match flags & INFO {
            0 => None,
            _ => Some(Arc::new(self.info()?)),
        };
        let tags = match flags & TAGS {
            0 => None,
            _ => Some(Box::new(self.tags()?)),
        };
        Ok(Publication {
            offset,
            data,
            info,
            tags,
        })
    }

    fn info(&mut self) -> Result<ClientInfo, Malformed> {
        let user = UserId::new(self.0.text()?);
        let client = ClientId::from_bytes(self.0.array()?);
        let flags = self.0.byte()?;
        if flags & !(CONN_INFO | CHAN_INFO) != 0 {
            return Err(Malformed);
        }
        let mut payload = |bit| match flags & bit {
            0 => Ok(None),
            _ => self.0.payload().map(Some),
        };
        Ok(ClientInfo {
            user,
            client,
            conn_info: payload(CONN_INFO)?,
            chan_info: payload(CHAN_INFO)?,
        })
    }

    fn tags(&mut self) -> Result<Tags, Malformed> {
        let mut tags = Tags::new();
        for _ in 0..self.0.number()? {
            let (key, value) = (self.0.text()?, self.0.text()?);
            if let Some((last, _)) = tags.last_key_value()
                && key <= last.as_str()
            {
                return Err(Malformed);
            }
            tags.insert(key.to_owned(), value.to_owned());
        }
        Ok(tags)
    }

    fn keys(&mut self, top: u64) -> Result<Vec<KeyRecord>, Malformed> {
        let count = self.0.count(KEY_BYTES_MIN)?;
        if count == 0 {
            return Err(Malformed);
        }
        let mut keys = Vec::with_capacity(count);
        for _ in 0..count {
            keys.push(KeyRecord {
                key: self.0.text()?.into(),
                offset: match self.0.byte()? {
                    0 => None,
                    1 => Some(top.wrapping_sub(self.0.number()?)),
                    _ => return Err(Malformed),
                },
                expires: self.0.number()?,
            });
        }
        Ok(keys)
    }

    fn epoch(&mut self) -> Result<Epoch, Malformed> {
        let text = self.0.text()?;
        if text.len() > Epoch::LEN_MAX {
            return Err(Malformed);
        }
        Ok(Epoch::new(text))
    }
}
