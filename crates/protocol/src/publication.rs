//! What is published, and by whom.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{ClientId, UserId};

/// Bytes of the application: JSON text or anything else. Only a codec looks inside.
pub type Payload = Box<[u8]>;

/// Labels of a publication, for subscribers that filter.
pub type Tags = BTreeMap<String, String>;

/// Who published, joined or is present: one session and what its application tells about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientInfo {
    /// The user behind the session.
    pub user: UserId,
    /// The session.
    pub client: ClientId,
    /// What the connection token says about the connection.
    pub conn_info: Option<Payload>,
    /// What the subscription token says about this subscription.
    pub chan_info: Option<Payload>,
}

/// Data accepted into a channel: what its subscribers receive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publication {
    /// Place in the channel's stream, from 1; 0 when the channel keeps no history.
    pub offset: u64,
    /// The payload.
    pub data: Payload,
    /// The publisher, when a client published.
    pub info: Option<Arc<ClientInfo>>,
    /// Labels given by the publisher.
    pub tags: Option<Box<Tags>>,
}
