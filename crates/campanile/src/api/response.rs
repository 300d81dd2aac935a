//! What the methods answer, as it stands in JSON: the result tables of section 2, by the rules of
//! section 1.4. Fields without a value are left out, unless a client relies on them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use campanile_engine::broker::{self, HistoryPage};
use campanile_engine::node::{ChannelList, KnownNode, NodeInfo};
use campanile_protocol::{self as protocol, Position, Refusal, Tags};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// A result.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Response {
    /// It was done, and there is nothing to tell.
    Done {},
    /// To `publish`.
    Published {
        #[serde(skip_serializing_if = "is_zero")]
        offset: u64,
        #[serde(skip_serializing_if = "String::is_empty")]
        epoch: String,
    },
    /// To `broadcast`, in the order of its channels.
    Broadcast { responses: Vec<Outcome> },
    /// To `presence`.
    Presence { presence: Clients },
    /// To `presence_stats`.
    PresenceStats {
        num_clients: usize,
        num_users: usize,
    },
    /// To `history`.
    History {
        #[serde(serialize_with = "as_entries")]
        publications: Vec<Arc<protocol::Publication>>,
        epoch: String,
        offset: u64,
    },
    /// To `channels`.
    Channels {
        channels: BTreeMap<String, ChannelInfo>,
        /// Nodes that did not answer, so that theirs are missing.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        silent_nodes: Vec<String>,
    },
    /// To `info`.
    Info {
        nodes: Vec<NodeEntry>,
        /// Those of them that should have said something since.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        silent_nodes: Vec<String>,
    },
}

impl Response {
    pub(super) fn published(published: broker::Published) -> Self {
        match published.position {
            None => Self::Done {},
            Some(Position { epoch, offset }) => Self::Published {
                offset,
                epoch: epoch.as_str().to_owned(),
            },
        }
    }

    pub(super) fn history(page: HistoryPage) -> Self {
        Self::History {
            publications: page.publications,
            epoch: page.top.epoch.as_str().to_owned(),
            offset: page.top.offset,
        }
    }

    pub(super) fn channels(list: ChannelList) -> Self {
        let channels = list.channels.into_iter();
        Self::Channels {
            channels: channels
                .map(|(name, num_clients)| (name, ChannelInfo { num_clients }))
                .collect(),
            silent_nodes: list.silent.iter().map(ToString::to_string).collect(),
        }
    }

    pub(super) fn info(nodes: Vec<KnownNode>) -> Self {
        let silent = nodes.iter().filter(|node| node.is_silent);
        Self::Info {
            silent_nodes: silent.map(|node| node.info.id.clone()).collect(),
            nodes: nodes.into_iter().map(|node| node.info.into()).collect(),
        }
    }
}

/// A result or an error, in its envelope.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    Result(Response),
    Error(Failure),
}

impl From<Result<Response, Refusal>> for Outcome {
    fn from(outcome: Result<Response, Refusal>) -> Self {
        match outcome {
            Ok(response) => Self::Result(response),
            Err(refusal) => Self::Error(refusal.into()),
        }
    }
}

/// An error. Whether another try may help is not told here.
#[derive(Serialize)]
pub(super) struct Failure {
    code: u32,
    message: Cow<'static, str>,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self {
            code: refusal.code,
            message: refusal.message,
        }
    }
}

/// A channel that has subscribers.
#[derive(Serialize)]
pub(super) struct ChannelInfo {
    num_clients: usize,
}

/// A node of the cluster.
#[derive(Serialize)]
pub(super) struct NodeEntry {
    uid: String,
    name: String,
    version: String,
    num_clients: usize,
    num_users: usize,
    num_channels: usize,
    #[serde(skip_serializing_if = "is_zero")]
    uptime: u64,
    num_subs: usize,
}

impl From<NodeInfo> for NodeEntry {
    fn from(node: NodeInfo) -> Self {
        Self {
            uid: node.id,
            name: node.name,
            version: node.version,
            num_clients: node.stats.clients,
            num_users: node.stats.users,
            num_channels: node.stats.channels,
            uptime: node.uptime.as_secs(),
            num_subs: node.stats.subscriptions,
        }
    }
}

/// Who is present, by client id.
pub(super) struct Clients(Vec<Arc<protocol::ClientInfo>>);

impl From<Vec<Arc<protocol::ClientInfo>>> for Clients {
    fn from(clients: Vec<Arc<protocol::ClientInfo>>) -> Self {
        Self(clients)
    }
}

impl Serialize for Clients {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let clients = self.0.iter();
        serializer.collect_map(clients.map(|client| {
            let entry = ClientEntry::from(&**client);
            (entry.client.clone(), entry)
        }))
    }
}

#[derive(Serialize)]
struct ClientEntry<'a> {
    user: &'a str,
    client: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    conn_info: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b64conn_info: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chan_info: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b64chan_info: Option<String>,
}

impl<'a> From<&'a protocol::ClientInfo> for ClientEntry<'a> {
    fn from(info: &'a protocol::ClientInfo) -> Self {
        let (conn_info, b64conn_info) = embed(info.conn_info.as_deref().unwrap_or_default());
        let (chan_info, b64chan_info) = embed(info.chan_info.as_deref().unwrap_or_default());
        Self {
            user: info.user.as_str(),
            client: info.client.to_string(),
            conn_info,
            b64conn_info,
            chan_info,
            b64chan_info,
        }
    }
}

#[derive(Serialize)]
struct PublicationEntry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b64data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<ClientEntry<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a Tags>,
}

impl<'a> From<&'a protocol::Publication> for PublicationEntry<'a> {
    fn from(publication: &'a protocol::Publication) -> Self {
        let (data, b64data) = embed(&publication.data);
        Self {
            data,
            b64data,
            info: publication.info.as_deref().map(ClientEntry::from),
            offset: publication.offset,
            tags: publication.tags.as_deref().filter(|tags| !tags.is_empty()),
        }
    }
}

fn as_entries<S: Serializer>(
    publications: &[Arc<protocol::Publication>],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let entries = publications.iter();
    serializer.collect_seq(entries.map(|publication| PublicationEntry::from(&**publication)))
}

/// A payload for the plain field when it is JSON, for the base64 one when it is not, for neither
/// when there is none.
fn embed(payload: &[u8]) -> (Option<Cow<'_, RawValue>>, Option<String>) {
    if payload.is_empty() {
        return (None, None);
    }
    let Ok(json) = serde_json::from_slice::<&RawValue>(payload) else {
        return (None, Some(STANDARD.encode(payload)));
    };
    // Line breaks stand between strings only, and separate the replies of the legacy endpoint.
    let is_break = |c| matches!(c, '\n' | '\r');
    if !json.get().contains(is_break) {
        return (Some(Cow::Borrowed(json)), None);
    }
    let json = RawValue::from_string(json.get().replace(is_break, ""));
    (Some(Cow::Owned(json.expect("still JSON"))), None)
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes fields by reference"
)]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}
