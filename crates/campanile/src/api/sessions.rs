//! What is done to live sessions: `subscribe`, `unsubscribe`, `disconnect`, `refresh`; sections 2.3
//! to 2.6. That nobody is found is success; that a node of the cluster did not say what it found is
//! not.

use campanile_engine::authority::Grant;
use campanile_engine::limits::SHARDS_MAX;
use campanile_engine::node::Node;
use campanile_engine::shard::Target;
use campanile_protocol::{self as protocol, ClientId, Refusal};

use super::SPARED_MAX;
use super::request::{
    CloseReason, Disconnect, Refresh, Since, Subscribe, Unsubscribe, payload, required,
};
use super::response::Response;
use crate::overrides::OverrideFields;

/// The id of a session that cannot be, since there is no such shard.
const NOBODY: ClientId = ClientId::from_random([0; 16], u8::MAX);
const _: () = assert!(SHARDS_MAX <= u8::MAX as usize, "the last shard is nobody's");

pub(super) async fn subscribe(node: &Node, request: Subscribe<'_>) -> Result<Response, Refusal> {
    let channel = required(request.channel)?;
    let mut grant = Grant::as_configured();
    grant.info = payload(request.info, request.b64info.as_deref())?;
    grant.data = payload(request.data, request.b64data.as_deref())?;
    grant.expire_at = request.expire_at.filter(|at| *at > 0);
    grant.overrides = request
        .overrides
        .as_ref()
        .map_or_else(Default::default, OverrideFields::overrides);
    let recover = request.recover_since.as_ref().map(Since::position);
    let target = target(request.user, request.client, request.session);
    node.subscribe(target, &channel, grant, recover).await?;
    Ok(Response::Done {})
}

pub(super) async fn unsubscribe(node: &Node, request: Unsubscribe) -> Result<Response, Refusal> {
    let channel = request.channel.filter(|channel| !channel.is_empty());
    let target = target(request.user, request.client, request.session);
    node.unsubscribe(target, channel.as_deref()).await?;
    Ok(Response::Done {})
}

pub(super) async fn disconnect(node: &Node, request: Disconnect) -> Result<Response, Refusal> {
    let disconnect = close_reason(request.disconnect)?;
    let whitelist = request.whitelist.unwrap_or_default();
    if whitelist.len() > SPARED_MAX {
        return Err(Refusal::BAD_REQUEST);
    }
    let mut target = target(request.user, request.client, request.session);
    if let Target::User { spared, .. } = &mut target {
        spared.extend(
            whitelist
                .iter()
                .filter_map(|client| ClientId::parse(client)),
        );
    }
    node.disconnect(target, disconnect).await?;
    Ok(Response::Done {})
}

/// The code becomes that of a close frame, and clients decide by it whether to come back.
fn close_reason(wanted: Option<CloseReason>) -> Result<protocol::Disconnect, Refusal> {
    let Some(wanted) = wanted else {
        return Ok(protocol::Disconnect::FORCE_DISCONNECT);
    };
    let code = wanted.code.and_then(|code| u16::try_from(code).ok());
    let code = code.filter(|code| (3000..=4999).contains(code));
    let reason = wanted.reason.filter(|reason| !reason.is_empty());
    match (code, reason) {
        (Some(code), Some(reason)) => Ok(protocol::Disconnect {
            code,
            reason: reason.into(),
        }),
        _ => Err(Refusal::BAD_REQUEST),
    }
}

pub(super) async fn refresh(node: &Node, request: Refresh<'_>) -> Result<Response, Refusal> {
    let target = target(request.user, request.client, request.session);
    if request.expired.unwrap_or_default() {
        let expired = protocol::Disconnect::EXPIRED;
        node.disconnect(target, expired).await?;
        return Ok(Response::Done {});
    }
    let expire_at = request.expire_at.filter(|at| *at > 0);
    let info = payload(request.info, None)?.filter(|_| expire_at.is_some());
    node.refresh(target, expire_at, info).await?;
    Ok(Response::Done {})
}

/// Without a user, the sessions of the anonymous one are meant.
fn target(user: Option<String>, client: Option<String>, session: Option<String>) -> Target {
    let client = client.filter(|client| !client.is_empty());
    let only = match session.filter(|session| !session.is_empty()) {
        Some(_) => Some(NOBODY),
        None => client.map(|client| ClientId::parse(&client).unwrap_or(NOBODY)),
    };
    Target::User {
        user: user.unwrap_or_default(),
        only,
        spared: Vec::new(),
    }
}
