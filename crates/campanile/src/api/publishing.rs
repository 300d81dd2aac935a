//! `publish` and `broadcast`: sections 2.1, 2.2 and 4.

use campanile_engine::broker::Version;
use campanile_engine::limits::BROADCAST_CHANNELS_MAX;
use campanile_engine::node::{Node, PublishRequest};
use campanile_protocol::Refusal;

use super::request::{Publish, payload, required};
use super::response::{Outcome, Response};

pub(super) async fn publish(node: &Node, mut request: Publish<'_>) -> Result<Response, Refusal> {
    let channel = required(request.channel.take())?;
    let published = node.publish(&channel, publication(request)?).await?;
    Ok(Response::published(published))
}

/// One channel's failure is told in its place and does not touch the others.
pub(super) async fn broadcast(node: &Node, mut request: Publish<'_>) -> Result<Response, Refusal> {
    let channels = request.channels.take().unwrap_or_default();
    if channels.is_empty() || channels.len() > BROADCAST_CHANNELS_MAX {
        return Err(Refusal::BAD_REQUEST);
    }
    let published = node.broadcast(&channels, publication(request)?).await;
    let outcomes = published.into_iter();
    let responses = outcomes
        .map(|published| Outcome::from(published.map(Response::published)))
        .collect();
    Ok(Response::Broadcast { responses })
}

fn publication(request: Publish<'_>) -> Result<PublishRequest, Refusal> {
    let data = payload(request.data, request.b64data.as_deref())?;
    let version = request.version.filter(|number| *number > 0);
    let mut publication = PublishRequest::from(data.unwrap_or_default());
    publication.tags = request.tags.filter(|tags| !tags.is_empty()).map(Box::new);
    publication.idempotency_key = request.idempotency_key;
    publication.version = version.map(|number| Version {
        number,
        epoch: request.version_epoch.unwrap_or_default(),
    });
    publication.skips_history = request.skip_history.unwrap_or_default();
    publication.wants_delta = request.delta.unwrap_or_default();
    Ok(publication)
}
