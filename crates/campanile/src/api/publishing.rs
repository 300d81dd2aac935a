//! `publish` and `broadcast`: sections 2.1, 2.2 and 4.

use campanile_engine::broker::Version;
use campanile_engine::limits::BROADCAST_CHANNELS_MAX;
use campanile_engine::node::{ApiPublication, Node};
use campanile_protocol::Refusal;
use futures_util::stream::{self, StreamExt};

use super::request::{Publish, payload, required};
use super::response::{Outcome, Response};
use super::{BODY_BYTES_MAX, CONCURRENCY_MAX};

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
    let publication = publication(request)?;
    let width = width(publication.data.len());
    let publishes = channels.iter().map(|channel| {
        let publication = &publication;
        async move {
            let published = node.publish(channel, publication.clone()).await;
            Outcome::from(published.map(Response::published))
        }
    });
    let responses = stream::iter(publishes).buffered(width).collect().await;
    Ok(Response::Broadcast { responses })
}

/// How many copies of a payload may wait for their place: together no more than one body's worth.
fn width(payload_bytes: usize) -> usize {
    (BODY_BYTES_MAX / payload_bytes.max(1)).clamp(1, CONCURRENCY_MAX)
}

fn publication(request: Publish<'_>) -> Result<ApiPublication, Refusal> {
    let data = payload(request.data, request.b64data.as_deref())?;
    let version = request.version.filter(|number| *number > 0);
    Ok(ApiPublication {
        data: data.unwrap_or_default(),
        tags: request.tags.filter(|tags| !tags.is_empty()).map(Box::new),
        idempotency_key: request.idempotency_key,
        version: version.map(|number| Version {
            number,
            epoch: request.version_epoch.unwrap_or_default(),
        }),
        skips_history: request.skip_history.unwrap_or_default(),
        wants_delta: request.delta.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copies_of_a_broadcast_take_no_more_than_a_body() {
        assert_eq!(width(0), CONCURRENCY_MAX);
        assert_eq!(width(1024), CONCURRENCY_MAX);
        assert_eq!(width(BODY_BYTES_MAX / 4), 4);
        assert_eq!(width(BODY_BYTES_MAX * 2), 1);
    }
}
