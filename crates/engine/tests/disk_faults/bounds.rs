//! What may wait for a disk that stands still.

use super::*;
use futures_util::FutureExt as _;

/// Lets the disk go on, or a test that fails would never end.
struct Held(SimulatedDisk);

impl Held {
    fn new(disk: &SimulatedDisk, operation: Operation) -> Self {
        disk.hold(operation);
        Self(disk.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.release();
    }
}

#[test]
fn as_much_waits_as_the_queue_holds_twice_and_the_rest_is_refused_at_once() {
    let disk = SimulatedDisk::default();
    let mut process = start(&disk);
    process.subscribe("c");
    let held = Held::new(&disk, Operation::Write);
    let data = "x".repeat(1024 * 1024);
    let broker = &process.broker;
    let publish = || broker.publish(kept("c", &data)).boxed();
    let mut waiting = Vec::new();
    let refused = loop {
        let mut next = publish();
        match (&mut next).now_or_never() {
            None => waiting.push(next),
            Some(outcome) => break outcome,
        }
        assert!(waiting.len() < 100, "it has no bound");
    };
    assert_eq!(refused.unwrap_err(), BrokerError::Busy);
    let expected = 2 * COMMIT_QUEUE_BYTES_MAX / data.len();
    assert!(
        (expected - 2..=expected + 2).contains(&waiting.len()),
        "{} wait",
        waiting.len()
    );
    wait(broker.publish(passing("c", "2"))).expect("it does not wait for the disk");
    drop(held);
    for (next, offset) in waiting.into_iter().zip(1..) {
        let position = wait(next).unwrap().position.unwrap();
        assert_eq!(position.offset, offset, "nothing is dropped");
    }
    assert!(process.delivered().contains(&"2".to_owned()));
}

#[test]
fn reads_that_nobody_waits_for_any_more_are_not_done() {
    let disk = SimulatedDisk::default();
    let process = start(&disk);
    process.publish("1").unwrap();
    let held = Held::new(&disk, Operation::Read);
    let name = channel("c");
    for _ in 0..10 * COLD_READS_MAX {
        let read = process.broker.history(&name, EVERYTHING);
        assert!(read.now_or_never().is_none(), "the disk stands still");
    }
    drop(held);
    assert_eq!(process.kept(), (vec![1], 1));
    let reads = process.broker.status().cold_reads;
    assert!(reads < 10, "{reads} for one that waited");
}
