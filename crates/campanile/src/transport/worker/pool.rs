//! The worker threads of a node: who takes which shard.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use campanile_engine::node::{Node, ShardSeat};
use campanile_protocol::ws;

use super::Worker;

/// The seats of all shards; each worker thread takes one.
pub struct WorkerPool {
    node: Arc<Node>,
    seats: Mutex<Vec<ShardSeat>>,
    limits: ws::Limits,
}

thread_local! {
    static WORKER: RefCell<Option<Rc<Worker>>> = const { RefCell::new(None) };
}

impl WorkerPool {
    /// A pool of these seats.
    #[must_use]
    pub fn new(node: Arc<Node>, mut seats: Vec<ShardSeat>, limits: ws::Limits) -> Self {
        // Taken from the back, so that the first worker has the first shard.
        seats.reverse();
        Self {
            node,
            seats: Mutex::new(seats),
            limits,
        }
    }

    /// The node that they belong to.
    #[must_use]
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// The worker of this thread, begun when it is first asked for.
    ///
    /// # Panics
    /// When there are more worker threads than seats: one of them has died and was started again,
    /// and its sessions and subscriptions are lost with it. The process ends then, since a node
    /// that quietly serves a part of its clients is worse than one that is started again.
    #[must_use]
    pub fn worker(&self) -> Rc<Worker> {
        WORKER.with_borrow_mut(|worker| {
            let worker = worker.get_or_insert_with(|| {
                let seat = self
                    .seats
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .pop();
                let Some(seat) = seat else {
                    tracing::error!("a worker thread died; the process cannot go on");
                    std::process::abort();
                };
                Worker::start(Arc::clone(&self.node), seat, self.limits)
            });
            Rc::clone(worker)
        })
    }
}
