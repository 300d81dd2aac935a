//! Proxies that ask real backends over HTTP.

mod answers;
mod backend;
mod failures;
mod load;
mod requests;
mod tls;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use campanile_engine::application::{
    Application as _, Arrival, Caller, Decision, Interests, Lapse, Renewal, Revision, Verdict,
};
use campanile_engine::authority::{Credentials, Grant};
use campanile_engine::channel::Namespaces;
use campanile_engine::channel::options::{ChannelOptions, NameRules};
use campanile_engine::headers::Headers;
use campanile_protocol::codes::Rejection;
use campanile_protocol::command::{ConnectRequest, SubscribeRequest};
use campanile_protocol::wire::Encoding;
use campanile_protocol::{ClientId, Payload, UserId, Wire};

use super::{ProxyApplication, ProxyError, SOCKETS_MAX};
use crate::background::Background;
use crate::config::{ChannelProxies, Proxies, Proxy, RpcProxies};
use backend::Backend;

const CLIENT: ClientId = ClientId::from_bytes([0x11; 16]);
const WIRE: Wire = Wire::WebSocket(Encoding::Json);

/// Long enough for every machine; a test that waits for the end of it has failed.
const PATIENCE: Duration = Duration::from_secs(30);

fn proxy(endpoint: &str) -> Proxy {
    Proxy {
        name: "default".into(),
        section: "rpc.proxy".into(),
        endpoint: endpoint.into(),
        timeout: PATIENCE,
        http_headers: Vec::new(),
        emulated_headers: Vec::new(),
        binary_encoding: false,
        include_connection_meta: false,
        static_headers: Vec::new(),
        transforms: Vec::new(),
        tls: None,
    }
}

/// Everything is asked of one proxy, except in the namespace `quiet`.
fn everything(proxy: Proxy) -> Proxies {
    let proxy = Arc::new(proxy);
    let proxy = || Some(Arc::clone(&proxy));
    let asked = ChannelProxies {
        subscribe: proxy(),
        publish: proxy(),
        sub_refresh: proxy(),
    };
    let channels = [String::new(), "chat".into()].map(|name| (name, asked.clone()));
    Proxies {
        connect: proxy(),
        refresh: proxy(),
        channels: channels.into(),
        rpc: RpcProxies {
            namespace_boundary: ":".into(),
            without_namespace: proxy(),
            namespaces: BTreeMap::from([("math".into(), proxy()), ("closed".into(), None)]),
            ping: Some("ping".into()),
        },
    }
}

fn namespaces() -> Arc<ArcSwap<Namespaces>> {
    let named = ["chat", "quiet"].map(|name| (name.to_owned(), ChannelOptions::default()));
    let without = ChannelOptions::default();
    let namespaces = Namespaces::new(NameRules::default(), without, named);
    Arc::new(ArcSwap::from_pointee(namespaces))
}

/// An application that asks proxies.
struct Rig {
    application: ProxyApplication,
    _background: Background,
}

impl Rig {
    fn new(proxy: Proxy) -> Self {
        Self::of(&everything(proxy)).unwrap()
    }

    fn of(proxies: &Proxies) -> Result<Self, ProxyError> {
        let background = Background::start().unwrap();
        let application = ProxyApplication::new(proxies, namespaces(), &background, SOCKETS_MAX)?;
        Ok(Self {
            application,
            _background: background,
        })
    }

    fn asking(backend: &Backend) -> Self {
        Self::new(proxy(backend.url()))
    }

    async fn connect(&self, request: &ConnectRequest) -> Decision<Credentials> {
        self.connect_with(request, &Headers::default()).await
    }

    async fn connect_with(
        &self,
        request: &ConnectRequest,
        headers: &Headers,
    ) -> Decision<Credentials> {
        let arrival = Arrival {
            client: CLIENT,
            wire: WIRE,
            request,
            handshake: None,
            headers,
        };
        self.application.connecting(arrival).await
    }

    async fn subscribe(&self, channel: &str, data: &str) -> Decision<Grant> {
        let request = SubscribeRequest {
            channel: channel.into(),
            data: data.as_bytes().into(),
            ..SubscribeRequest::default()
        };
        self.application.subscribe(&caller(), &request).await
    }

    async fn rpc(&self, method: &str, data: &str) -> Decision<Payload> {
        let data = data.as_bytes();
        self.application.rpc(&caller(), method, data).await
    }

    async fn refresh(&self) -> Result<Renewal, Lapse> {
        self.application.refresh(&caller()).await
    }

    async fn sub_refresh(&self, channel: &str) -> Result<Renewal, Lapse> {
        self.application.sub_refresh(&caller(), channel).await
    }
}

fn caller() -> Arc<Caller> {
    Arc::new(Caller {
        client: CLIENT,
        user: UserId::new("42"),
        wire: WIRE,
        name: "js".into(),
        version: "1".into(),
        meta: Some(Box::from(&br#"{"k":"v"}"#[..])),
        headers: None,
    })
}

fn refusal<T>(decision: Decision<T>) -> (u32, String, bool) {
    match decision {
        Err(Rejection::Refuse(refusal)) => {
            (refusal.code, refusal.message.into(), refusal.temporary)
        }
        Err(Rejection::Disconnect(end)) => panic!("{end:?}"),
        Ok(_) => panic!("it was allowed"),
    }
}

fn disconnect<T>(decision: Decision<T>) -> (u16, String) {
    match decision {
        Err(Rejection::Disconnect(end)) => (end.code, end.reason.into()),
        Err(Rejection::Refuse(refusal)) => panic!("{refusal:?}"),
        Ok(_) => panic!("it was allowed"),
    }
}

/// What clients are told of every failure.
fn internal() -> (u32, String, bool) {
    (100, "internal server error".into(), true)
}
