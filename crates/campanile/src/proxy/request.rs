//! Questions as they stand in JSON: the request lists of section 6. Empty fields are left out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use campanile_engine::application::{Arrival, Caller};
use campanile_protocol::{ClientId, Wire};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::config::Proxy;

/// One shape for all questions, of which each has some fields.
#[derive(Serialize)]
pub(super) struct Request<'a> {
    #[serde(serialize_with = "text")]
    pub(super) client: ClientId,
    pub(super) transport: &'static str,
    pub(super) protocol: &'static str,
    pub(super) encoding: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) user: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) channel: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) token: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) method: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) meta: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) b64data: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) channels: Vec<&'a str>,
}

/// A payload is to travel as JSON and is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NotJson;

impl<'a> Request<'a> {
    /// About a client that wants to connect.
    pub(super) fn about_arrival(proxy: &Proxy, arrival: &Arrival<'a>) -> Result<Self, NotJson> {
        let request = arrival.request;
        let asked = Self {
            name: &request.name,
            version: &request.version,
            channels: request.subs.keys().map(String::as_str).collect(),
            ..Self::about(proxy, arrival.client, arrival.wire)
        };
        asked.with_data(proxy, &request.data)
    }

    /// About a client that is connected. What is kept about it is JSON, unless other code of this
    /// program made it; then it is left out.
    pub(super) fn about_caller(proxy: &Proxy, caller: &'a Caller) -> Self {
        let meta = caller.meta.as_deref();
        let meta = meta.filter(|_| proxy.include_connection_meta);
        Self {
            user: caller.user.as_str(),
            meta: meta.and_then(|meta| serde_json::from_slice(meta).ok()),
            ..Self::about(proxy, caller.client, caller.wire)
        }
    }

    fn about(proxy: &Proxy, client: ClientId, wire: Wire) -> Self {
        Self {
            client,
            transport: wire.transport(),
            protocol: wire.protocol(),
            encoding: if proxy.binary_encoding {
                "binary"
            } else {
                "json"
            },
            user: "",
            channel: "",
            token: "",
            method: "",
            name: "",
            version: "",
            meta: None,
            data: None,
            b64data: None,
            channels: Vec::new(),
        }
    }

    /// The same with a payload of the client: base64 where the proxy wants that, JSON as the client
    /// wrote it otherwise.
    pub(super) fn with_data(mut self, proxy: &Proxy, payload: &'a [u8]) -> Result<Self, NotJson> {
        if payload.is_empty() {
            return Ok(self);
        }
        if proxy.binary_encoding {
            self.b64data = Some(STANDARD.encode(payload));
        } else {
            self.data = Some(serde_json::from_slice(payload).map_err(|_| NotJson)?);
        }
        Ok(self)
    }
}

fn text<S: Serializer>(client: &ClientId, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(client)
}
