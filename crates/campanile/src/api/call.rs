//! The methods of the API: their names and numbers, and one place to carry each of them out.
//!
//! Single endpoints, batches and the legacy endpoint all come here.

use campanile_engine::node::Node;
use campanile_protocol::Refusal;
use serde::Deserialize;

use super::reply::{NOT_FOUND, Rejected};
use super::request::{
    Channels, Disconnect, History, InChannel, Nothing, Publish, Refresh, Rpc, Subscribe,
    Unsubscribe,
};
use super::response::Response;
use super::{channels, publishing, sessions};

/// A method that is served, in the order of the legacy endpoint's integers (section 3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Method {
    Publish,
    Broadcast,
    Unsubscribe,
    Disconnect,
    Presence,
    PresenceStats,
    History,
    HistoryRemove,
    Channels,
    Info,
    Rpc,
    Subscribe,
    Refresh,
}

impl Method {
    pub(super) const ALL: [Self; 13] = [
        Self::Publish,
        Self::Broadcast,
        Self::Unsubscribe,
        Self::Disconnect,
        Self::Presence,
        Self::PresenceStats,
        Self::History,
        Self::HistoryRemove,
        Self::Channels,
        Self::Info,
        Self::Rpc,
        Self::Subscribe,
        Self::Refresh,
    ];

    /// As it stands in paths and batches.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Broadcast => "broadcast",
            Self::Unsubscribe => "unsubscribe",
            Self::Disconnect => "disconnect",
            Self::Presence => "presence",
            Self::PresenceStats => "presence_stats",
            Self::History => "history",
            Self::HistoryRemove => "history_remove",
            Self::Channels => "channels",
            Self::Info => "info",
            Self::Rpc => "rpc",
            Self::Subscribe => "subscribe",
            Self::Refresh => "refresh",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// The method that the legacy endpoint knows by this integer.
    pub(super) fn numbered(number: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }
}

/// A method, with what is asked of it.
pub(super) enum Call<'a> {
    Publish(Publish<'a>),
    Broadcast(Publish<'a>),
    Subscribe(Subscribe<'a>),
    Unsubscribe(Unsubscribe),
    Disconnect(Disconnect),
    Refresh(Refresh<'a>),
    Presence(InChannel),
    PresenceStats(InChannel),
    History(History),
    HistoryRemove(InChannel),
    Channels(Channels),
    Info,
    Rpc(Rpc),
}

impl<'a> Call<'a> {
    /// Reads what is asked of `method`. Unknown fields are passed over, and `null` is as good as
    /// nothing.
    pub(super) fn parse(method: Method, json: &'a [u8]) -> Result<Self, Rejected> {
        Ok(match method {
            Method::Publish => Self::Publish(object(json)?),
            Method::Broadcast => Self::Broadcast(object(json)?),
            Method::Subscribe => Self::Subscribe(object(json)?),
            Method::Unsubscribe => Self::Unsubscribe(object(json)?),
            Method::Disconnect => Self::Disconnect(object(json)?),
            Method::Refresh => Self::Refresh(object(json)?),
            Method::Presence => Self::Presence(object(json)?),
            Method::PresenceStats => Self::PresenceStats(object(json)?),
            Method::History => Self::History(object(json)?),
            Method::HistoryRemove => Self::HistoryRemove(object(json)?),
            Method::Channels => Self::Channels(object(json)?),
            Method::Info => object(json).map(|Nothing {}| Self::Info)?,
            Method::Rpc => Self::Rpc(object(json)?),
        })
    }

    /// Has it done.
    pub(super) async fn run(self, node: &Node) -> Result<Response, Refusal> {
        match self {
            Self::Publish(request) => publishing::publish(node, request).await,
            Self::Broadcast(request) => publishing::broadcast(node, request).await,
            Self::Subscribe(request) => sessions::subscribe(node, request).await,
            Self::Unsubscribe(request) => sessions::unsubscribe(node, request).await,
            Self::Disconnect(request) => sessions::disconnect(node, request).await,
            Self::Refresh(request) => sessions::refresh(node, request).await,
            Self::Presence(request) => channels::presence(node, request).await,
            Self::PresenceStats(request) => channels::presence_stats(node, request).await,
            Self::History(request) => channels::history(node, request).await,
            Self::HistoryRemove(request) => channels::history_remove(node, request).await,
            Self::Channels(request) => channels::channels(node, request).await,
            Self::Info => Ok(Response::info(node.nodes().await)),
            Self::Rpc(request) => Err(refuse_rpc(&request)),
        }
    }
}

/// There are no RPC methods.
fn refuse_rpc(request: &Rpc) -> Refusal {
    match request.method.as_deref() {
        None | Some("") => Refusal::BAD_REQUEST,
        Some(_) => NOT_FOUND,
    }
}

/// Reads an object. An array is none, though `serde` would take one for its fields in order.
pub(super) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Rejected> {
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err(Rejected::Malformed);
    }
    serde_json::from_slice(json).map_err(|_| Rejected::Malformed)
}
