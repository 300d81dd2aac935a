//! How a driver moves: everything that can, or one thing after the other.

use std::sync::Arc;

use super::{Done, Driver};
use crate::node::Control;
use crate::shard::Errand;

impl Driver {
    /// Runs all errands and deliveries, and those that they bring about. Shards take turns, since an
    /// errand of one may wait for another.
    pub fn settle(&mut self) {
        while self.step() {}
    }

    /// Moves everything on by one step; returns whether there is anything left that can move.
    pub fn step(&mut self) -> bool {
        self.has_moved = self.wakes.take();
        for index in 0..self.workers.len() {
            self.obey(index);
            self.begin(index);
            self.deliver(index);
            for running in (0..self.workers[index].running.len()).rev() {
                self.poll(index, running);
            }
        }
        self.attend();
        self.has_moved
    }

    /// Goes on with what the node does beside its shards' errands.
    pub fn attend(&mut self) {
        let wakes = &self.wakes;
        self.asides
            .retain_mut(|aside| wakes.poll(aside.as_mut()).is_none());
    }

    /// Begins the next errand of a shard: errands begin in order, and end in any.
    pub fn begin(&mut self, index: usize) {
        let worker = &mut self.workers[index];
        worker.take_errands();
        if let Some(errand) = worker.waiting.pop_front() {
            let node = Arc::clone(&self.node);
            let shard = worker.shard.id();
            worker.running.push(Box::pin(async move {
                match errand {
                    Errand::Ask(key, ticket, ask) => {
                        Done::Answer(key, ticket, node.ask(shard, ask).await)
                    }
                    Errand::Tell(tell) => {
                        node.tell(shard, tell).await;
                        Done::Told
                    }
                    Errand::Repair(channel, position) => {
                        let page = node.read_gap(&channel, position).await;
                        Done::Repaired(channel, page)
                    }
                }
            }));
            let last = worker.running.len() - 1;
            self.poll(index, last);
            self.has_moved = true;
        }
    }

    /// Polls one of a shard's running errands, and brings back what it has.
    pub fn poll(&mut self, index: usize, running: usize) {
        let now = self.now();
        let worker = &mut self.workers[index];
        let Some(errand) = worker.running.get_mut(running) else {
            return;
        };
        let Some(done) = self.wakes.poll(errand.as_mut()) else {
            return;
        };
        drop(worker.running.remove(running));
        match done {
            Done::Answer(key, ticket, answer) => worker.shard.answer(now, key, ticket, answer),
            Done::Told => {}
            Done::Repaired(channel, page) => worker.shard.repaired(now, &channel, page),
        }
        worker.take_errands();
        self.has_moved = true;
    }

    /// Gives a shard the next of the orders that wait for it.
    pub fn obey(&mut self, index: usize) {
        let now = self.now();
        let worker = &mut self.workers[index];
        // Whoever gave an order may wait for its answer no longer.
        match worker.controls.try_recv() {
            Ok(Control::Order(target, order, done)) => {
                let _ = done.send(worker.shard.order(now, &target, &order));
                worker.take_errands();
            }
            Ok(Control::Report(done)) => {
                let _ = done.send(worker.shard.report());
            }
            Ok(Control::Channels(filter, done)) => {
                let channels = worker.shard.channels();
                let accepted = channels.filter(|(name, _)| filter.accepts(name.as_str()));
                let accepted = accepted.map(|(name, members)| (name.clone(), members));
                let _ = done.send(accepted.collect());
            }
            Ok(Control::Emulate(_, frame)) => worker.frames.push(frame),
            Ok(other) => panic!("nobody drives {other:?} here"),
            Err(_) => return,
        }
        self.has_moved = true;
    }

    /// Hands the next delivery to a shard.
    pub fn deliver(&mut self, index: usize) {
        let now = self.now();
        let worker = &mut self.workers[index];
        worker.pull();
        if let Some(delivery) = worker.line.pop_front() {
            worker.shard.deliver(now, &delivery);
            worker.take_errands();
            self.has_moved = true;
        }
    }
}
