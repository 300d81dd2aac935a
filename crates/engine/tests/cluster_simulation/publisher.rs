//! A backend that publishes one thing after the other, at any node, and tries again what failed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use campanile_engine::broker::Published;
use campanile_engine::node::{Node, PublishRequest};
use campanile_engine::testkit::Random;
use campanile_protocol::Refusal;
use futures_util::FutureExt as _;

type Publishing = Pin<Box<dyn Future<Output = Result<Published, Refusal>>>>;

/// Tries of one publication; within the life of its idempotency key.
const TRIES_MAX: u32 = 4;

#[derive(Default)]
pub(crate) struct Publisher {
    number: usize,
    count: u64,
    /// Whether everything it publishes is to be in the history.
    is_thorough: bool,
    /// What is to be published.
    task: Option<Task>,
    /// At which node it is being tried.
    under_way: Option<(usize, Publishing)>,
}

#[derive(Clone)]
struct Task {
    channel: &'static str,
    data: String,
    key: Option<String>,
    skips_history: bool,
    tries: u32,
}

/// A publication that was acknowledged.
pub(crate) struct Acknowledged {
    pub(crate) channel: &'static str,
    pub(crate) published: Published,
    pub(crate) data: String,
    pub(crate) node: usize,
}

impl Publisher {
    pub(crate) fn new(number: usize) -> Self {
        Self {
            number,
            ..Self::default()
        }
    }

    /// One whose publications are all in the history.
    pub(crate) fn thorough(number: usize) -> Self {
        Self {
            is_thorough: true,
            ..Self::new(number)
        }
    }

    /// Whether it could try something now.
    pub(crate) const fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    /// Tries what failed once more, or the next thing.
    pub(crate) fn publish(
        &mut self,
        node: usize,
        to: &Arc<Node>,
        random: &Random,
        channel: &'static str,
    ) {
        self.task.take_if(|task| task.tries >= TRIES_MAX);
        let (number, count, is_thorough) = (self.number, &mut self.count, self.is_thorough);
        let task = self.task.get_or_insert_with(|| {
            *count += 1;
            let name = format!("{number}-{count}");
            Task {
                channel,
                data: format!(r#"{{"name":"{name}"}}"#),
                key: (!random.one_in(3)).then_some(name),
                skips_history: !is_thorough && random.one_in(8),
                tries: 0,
            }
        });
        task.tries += 1;
        let mut request = PublishRequest::from(task.data.as_bytes());
        request.idempotency_key = task.key.as_deref().map(Into::into);
        request.skips_history = task.skips_history;
        let (to, channel) = (Arc::clone(to), task.channel);
        let publishing = async move { to.publish(channel, request).await };
        self.under_way = Some((node, Box::pin(publishing)));
    }

    /// Its node is no more.
    pub(crate) fn lose_node(&mut self, node: usize) {
        self.under_way.take_if(|(at, _)| *at == node);
    }

    /// Looks whether there is an answer from this node.
    pub(crate) fn poll(&mut self, node: usize) -> Option<Acknowledged> {
        let (_, publishing) = self.under_way.as_mut().filter(|(at, _)| *at == node)?;
        let outcome = publishing.as_mut().now_or_never()?;
        self.under_way = None;
        let published = outcome.ok()?;
        let Task { channel, data, .. } = self.task.take()?;
        Some(Acknowledged {
            channel,
            published,
            data,
            node,
        })
    }
}
