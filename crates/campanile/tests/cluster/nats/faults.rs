//! What servers do: they restart, stand still, forget, and fail over.

use std::time::{Duration, Instant};

use campanile_engine::broker::{Broker as _, BrokerError, HistoryPage, NewPublication};
use campanile_engine::delivery::Event;
use campanile_engine::testkit::channel;
use campanile_engine::testkit::contract::{EVERYTHING, kept, passing};
use campanile_protocol::Position;
use rustix::process::Signal;

use super::nodes::Peer;
use crate::support::nats::{NatsServer, fresh_prefix, settings, three};
use crate::support::{eventually, run};

/// A publish while the server is away has to fail in this time.
const PROMPT: Duration = Duration::from_millis(500);

fn start(server: &NatsServer) -> Peer {
    Peer::start(settings(vec![server.url()], &fresh_prefix()))
}

/// Publishes until it succeeds; the position.
fn publish_again(peer: &Peer, name: &str) -> Position {
    let mut outcome = Err(BrokerError::Stopped);
    eventually("a publish succeeds", || {
        outcome = run(peer.keep(name, "1"));
        outcome.is_ok()
    });
    outcome.expect("just seen")
}

#[test]
fn a_restart_of_the_server_keeps_what_was_stored() {
    let mut server = NatsServer::start();
    let mut peer = start(&server);
    let before = run(async {
        peer.subscribe("c").await.unwrap();
        peer.keep("c", "1").await.unwrap();
        let keyed = NewPublication {
            idempotency_key: Some("k".into()),
            ..kept("c", "2")
        };
        let published = peer.publish(keyed).await.unwrap();
        assert_eq!(peer.publication().await.offset, 1);
        assert_eq!(peer.publication().await.offset, 2);
        published.position.unwrap()
    });
    server.kill();
    eventually("its end is noticed", || !peer.node.is_ready());
    let began = Instant::now();
    assert_eq!(run(peer.keep("c", "3")), Err(BrokerError::Unreachable));
    let passed = run(peer.publish(passing("c", "3")));
    assert_eq!(passed, Err(BrokerError::Unreachable));
    assert!(began.elapsed() < PROMPT);
    server.run();
    peer.node.wait();
    run(async {
        let lapse = peer.delivery().await;
        assert!(matches!(lapse.event, Event::Lapse), "{lapse:?}");
        let keyed = NewPublication {
            idempotency_key: Some("k".into()),
            ..kept("c", "2")
        };
        let repeat = peer.publish(keyed).await.unwrap();
        assert!(repeat.is_suppressed, "keys are kept");
        assert_eq!(repeat.position, Some(before));
    });
    let after = publish_again(&peer, "c");
    assert_eq!((after.epoch, after.offset), (before.epoch, 3));
    run(async {
        assert_eq!(peer.publication().await.offset, 3);
        assert_eq!(peer.history("c", EVERYTHING).await.0, [1, 2, 3]);
    });
}

#[test]
fn a_server_that_comes_back_empty_begins_new_epochs() {
    let mut server = NatsServer::start();
    let peer = start(&server);
    let before = run(peer.keep("c", "1")).unwrap();
    let unknown = run(peer.history("unknown", EVERYTHING)).1;
    server.kill();
    server.forget_everything();
    server.run();
    let after = publish_again(&peer, "c");
    assert_eq!(after.offset, 1);
    assert_ne!(after.epoch, before.epoch);
    let reborn = run(peer.history("unknown", EVERYTHING)).1;
    assert_ne!(reborn.epoch, unknown.epoch);
}

#[test]
fn a_lost_end_begins_a_new_epoch() {
    let mut server = NatsServer::start();
    let peer = start(&server);
    let early = run(peer.keep("c", "1")).unwrap();
    server.kill();
    server.swap_back();
    server.run();
    let late = publish_again(&peer, "c");
    assert_eq!((late.epoch, late.offset), (early.epoch, 2));
    server.kill();
    server.swap_back();
    server.run();
    // Somebody who did not see the second one goes on, and past it.
    peer.node.wait();
    let prefix = peer.prefix.clone();
    let other = Peer::start(settings(vec![server.url()], &prefix));
    for offset in 2..=4 {
        let other = publish_again(&other, "c");
        assert_eq!((other.epoch, other.offset), (early.epoch, offset));
    }
    // Who did tells that 2 was given twice.
    let (offsets, top) = run(peer.history("c", EVERYTHING));
    assert_eq!((offsets, top.offset), (vec![], 0));
    assert_ne!(top.epoch, early.epoch);
    let next = publish_again(&other, "c");
    assert_eq!(
        (next.epoch, next.offset),
        (top.epoch, 1),
        "it is so for all"
    );
}

#[test]
fn a_server_that_stands_still_holds_up_nobody() {
    let server = NatsServer::start();
    let mut settings = settings(vec![server.url()], &fresh_prefix());
    settings.io_timeout = Duration::from_secs(1);
    let peer = Peer::start(settings);
    let before = run(peer.keep("c", "1")).unwrap();
    server.signal(Signal::STOP);
    let mut began = Instant::now();
    let mut last = before.offset;
    // It stops when all its threads have come to that.
    while let Ok(position) = run(peer.keep("c", "2")) {
        last = position.offset;
        began = Instant::now();
    }
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    eventually("it is noticed", || !peer.node.is_ready());
    let began = Instant::now();
    assert_eq!(run(peer.keep("c", "3")), Err(BrokerError::Unreachable));
    assert!(began.elapsed() < PROMPT);
    server.signal(Signal::CONT);
    peer.node.wait();
    let after = publish_again(&peer, "c");
    // The one without an answer may have been stored: nobody said that it was not.
    assert_eq!(after.epoch, before.epoch);
    assert!((1..=2).contains(&(after.offset - last)), "{after:?}");
}

#[test]
fn a_node_that_starts_first_waits_for_the_server() {
    let mut server = NatsServer::start();
    server.kill();
    let peer = Peer::begin(settings(vec![server.url()], &fresh_prefix()));
    assert_eq!(run(peer.keep("c", "1")), Err(BrokerError::Unreachable));
    server.run();
    peer.node.wait();
    assert_eq!(publish_again(&peer, "c").offset, 1);
}

/// A node that publishes numbers into one channel, and remembers what was acknowledged.
struct Numbers {
    peer: Peer,
    next: u64,
    acknowledged: Vec<(u64, String)>,
}

/// More than the test publishes.
const HISTORY: usize = 10_000;

impl Numbers {
    fn publish(&mut self) -> bool {
        self.next += 1;
        let text = self.next.to_string();
        let mut new = kept("c", &text);
        new.retention.as_mut().expect("it is kept").size = HISTORY;
        let published = run(self.peer.publish(new));
        if let Ok(published) = published {
            let position = published.position.expect("history is kept");
            self.acknowledged.push((position.offset, text));
        }
        published.is_ok()
    }

    fn page(&self) -> HistoryPage {
        let (mut page, channel) = (None, channel("c"));
        eventually("the history can be read", || {
            let read = self.peer.node.broker.history(&channel, EVERYTHING);
            page = run(read).ok();
            page.is_some()
        });
        page.expect("just seen")
    }
}

#[test]
fn what_was_acknowledged_outlives_each_of_three_servers() {
    let mut servers = three();
    let urls: Vec<_> = servers.iter().map(NatsServer::url).collect();
    let mut settings = settings(urls, &fresh_prefix());
    settings.replicas = 3;
    settings.io_timeout = Duration::from_secs(2);
    settings.histories.as_mut().expect("they are kept").size_max = HISTORY;
    let mut numbers = Numbers {
        peer: Peer::start(settings),
        next: 0,
        acknowledged: Vec::new(),
    };
    run(numbers.peer.subscribe("c")).unwrap();
    for server in &mut servers {
        let mut successes = 0;
        eventually("all is well before", || {
            successes += usize::from(numbers.publish());
            successes == 20
        });
        server.kill();
        let mut successes = 0;
        eventually("publishing goes on without it", || {
            successes += usize::from(numbers.publish());
            successes == 20
        });
        server.run();
        // Without it, the end of the next one would take the majority away.
        eventually("it has caught up", || server.is_healthy());
    }
    let page = numbers.page();
    let stored = page.publications.iter().map(|publication| {
        let text = String::from_utf8_lossy(&publication.data).into_owned();
        (publication.offset, text)
    });
    let stored: Vec<_> = stored.collect();
    for one in &numbers.acknowledged {
        assert!(stored.contains(one), "{one:?} is lost");
    }
    let offsets: Vec<_> = stored.iter().map(|(offset, _)| *offset).collect();
    assert_eq!(
        offsets,
        (1..=page.top.offset).collect::<Vec<_>>(),
        "no holes"
    );
    let last = numbers.acknowledged.last().expect("there are some").0;
    run(heard_in_order(&mut numbers.peer, last));
}

/// What is heard is in order, and what is missing of it was told to be.
async fn heard_in_order(peer: &mut Peer, last: u64) {
    let mut at = 0;
    let mut has_lapsed = false;
    while at < last {
        match &peer.delivery().await.event {
            Event::Publication { publication, .. } => {
                let offset = publication.offset;
                assert!(offset > at, "{offset} after {at}");
                assert!(
                    offset == at + 1 || has_lapsed,
                    "{offset} after {at}, silently"
                );
                (at, has_lapsed) = (offset, false);
            }
            Event::Lapse => has_lapsed = true,
            other => panic!("{other:?}"),
        }
    }
}
