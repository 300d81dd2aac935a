//! What a node does about streams that are kept elsewhere: when it listens, what it remembers, and
//! what it tells its shards when it may have missed something.

mod line;

use std::pin::pin;

use campanile_engine::broker::remote::RemoteStatus;
use campanile_engine::broker::{Broker as _, BrokerError, HistoryQuery, NewPublication};
use campanile_engine::limits::{INBOX_BYTES_MAX, LINGER};
use campanile_engine::testkit::channel;
use campanile_engine::testkit::contract::{kept, passing};
use futures_util::FutureExt as _;

use line::Asked::{History, Ignore, Listen, Publish};
use line::Brought::{Lapse, Publication};
use line::{Line, event, sighting};

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the link answers at once")
}

#[test]
fn the_first_to_come_has_the_node_listen_before_it_asks_where_the_stream_is() {
    let line = Line::new();
    assert_eq!(now(line.subscribe(0)), Ok(5));
    assert_eq!(line.asked(), [Listen, History(None)]);
    assert_eq!(now(line.subscribe(1)), Ok(5));
    assert_eq!(line.asked(), [], "the node knows it");
}

#[test]
fn who_comes_later_is_told_of_what_was_heard_and_gets_the_rest() {
    let mut line = Line::new();
    assert_eq!(now(line.subscribe(0)), Ok(5));
    line.hear(1, 6);
    assert_eq!(now(line.subscribe(1)), Ok(6));
    line.hear(1, 7);
    assert_eq!(line.brought(0), [Publication(6), Publication(7)]);
    assert_eq!(line.brought(1), [Publication(7)]);
}

#[test]
fn what_is_heard_before_the_stream_was_read_is_delivered_and_counts() {
    let mut line = Line::new();
    line.link.answers.forget_permits(usize::MAX);
    let link = std::sync::Arc::clone(&line.link);
    let top = {
        let mut joining = pin!(line.subscribe(0));
        assert!(joining.as_mut().now_or_never().is_none());
        line.hear(1, 6);
        link.answers.add_permits(1);
        now(joining)
    };
    assert_eq!(top, Ok(6));
    assert_eq!(line.brought(0), [Publication(6)]);
}

#[test]
fn those_who_come_at_the_same_time_listen_once() {
    let line = Line::new();
    line.link.answers.forget_permits(usize::MAX);
    let (mut first, mut second) = (pin!(line.subscribe(0)), pin!(line.subscribe(1)));
    assert!(first.as_mut().now_or_never().is_none());
    assert!(second.as_mut().now_or_never().is_none());
    line.link.answers.add_permits(1);
    assert_eq!((now(first), now(second)), (Ok(5), Ok(5)));
    assert_eq!(line.asked(), [Listen, History(None)]);
}

#[test]
fn a_join_that_fails_or_is_given_up_leaves_nothing_behind() {
    let line = Line::new();
    *line.failure() = Some(BrokerError::Unreachable);
    assert_eq!(now(line.subscribe(0)), Err(BrokerError::Unreachable));
    assert_eq!(line.asked(), [Listen, Ignore]);
    *line.failure() = None;
    line.link.answers.forget_permits(usize::MAX);
    assert!(line.subscribe(0).now_or_never().is_none());
    assert_eq!(line.asked(), [Listen, Ignore]);
    assert_eq!(line.broker.status(), RemoteStatus::default());
}

#[test]
fn a_join_that_fails_takes_nothing_from_who_is_there() {
    let mut line = Line::new();
    assert_eq!(now(line.subscribe(0)), Ok(5));
    line.link.hearing.resumed([&channel("c")]);
    *line.failure() = Some(BrokerError::Unreachable);
    for shard in [0, 1] {
        assert_eq!(now(line.subscribe(shard)), Err(BrokerError::Unreachable));
    }
    line.hear(1, 6);
    assert_eq!(line.brought(0), [Lapse, Publication(6)]);
    assert_eq!(line.brought(1), []);
}

#[test]
fn a_channel_that_was_left_is_listened_to_for_a_while() {
    let line = Line::new();
    assert_eq!(now(line.subscribe(0)), Ok(5));
    now(line.unsubscribe(0));
    line.stream_is(sighting(1, 6));
    line.hear(1, 6);
    line.broker.sweep();
    assert_eq!(now(line.subscribe(0)), Ok(6));
    assert_eq!(line.asked(), [Listen, History(None)]);
    now(line.unsubscribe(0));
    line.clock.advance(LINGER);
    line.broker.sweep();
    assert_eq!(line.asked(), [Ignore]);
    assert_eq!(line.broker.status().channels, 0);
    assert_eq!(now(line.subscribe(0)), Ok(6));
    let seen = Some(sighting(1, 6));
    assert_eq!(
        line.asked(),
        [Listen, History(seen)],
        "what it knew it still knows"
    );
}

#[test]
fn all_shards_look_again_after_an_interruption_and_so_does_who_comes() {
    let mut line = Line::new();
    assert_eq!(now(line.subscribe(0)), Ok(5));
    line.asked();
    assert_eq!(line.link.hearing.wanted(), [channel("c")]);
    line.link.hearing.resumed([&channel("c")]);
    assert_eq!(line.brought(0), [Lapse]);
    line.stream_is(sighting(1, 8));
    assert_eq!(now(line.subscribe(1)), Ok(8));
    assert_eq!(line.asked(), [History(Some(sighting(1, 5)))]);
    assert_eq!(line.broker.status().lapses, 1);
}

#[test]
fn another_generation_is_looked_at_with_what_was_known_before() {
    let mut line = Line::new();
    assert_eq!(now(line.subscribe(0)), Ok(5));
    line.asked();
    line.hear(2, 6);
    line.hear(2, 7);
    assert_eq!(line.brought(0), [Lapse, Publication(6), Publication(7)]);
    line.stream_is(sighting(2, 6));
    now(line.broker.history(&channel("c"), HistoryQuery::default())).unwrap();
    now(line.broker.publish(kept("c", "1"))).unwrap();
    let expected = [History(Some(sighting(1, 5))), Publish(Some(sighting(2, 7)))];
    assert_eq!(line.asked(), expected, "and with what was heard, after");
    assert_eq!(now(line.subscribe(1)), Ok(7));
}

#[test]
fn an_answer_of_a_generation_that_is_over_settles_nothing() {
    let mut line = Line::new();
    assert_eq!(now(line.subscribe(0)), Ok(5));
    line.hear(2, 6);
    line.stream_is(sighting(1, 7));
    now(line.broker.publish(kept("c", "1"))).unwrap();
    assert_eq!(line.brought(0), [Lapse, Publication(6), Lapse]);
}

#[test]
fn who_publishes_without_listening_remembers_where_the_stream_was() {
    let line = Line::new();
    now(line.broker.publish(kept("c", "1"))).unwrap();
    now(line.broker.publish(kept("c", "1"))).unwrap();
    now(line.broker.publish(passing("c", "1"))).unwrap();
    let expected = [Publish(None), Publish(Some(sighting(1, 5))), Publish(None)];
    assert_eq!(line.asked(), expected);
}

#[test]
fn what_finds_no_room_is_read_later_or_counted_as_lost() {
    let mut line = Line::new();
    assert_eq!(now(line.subscribe(0)), Ok(5));
    let everything = now(line.inboxes.admit(INBOX_BYTES_MAX));
    line.hear(1, 6);
    line.hear(1, 7);
    line.hear(1, 0);
    line.broker.sweep();
    assert_eq!(line.brought(0), []);
    drop(everything);
    line.hear(1, 8);
    assert_eq!(line.brought(0), [], "it would come before the others");
    line.broker.sweep();
    line.hear(1, 9);
    assert_eq!(line.brought(0), [Lapse, Publication(9)]);
    let status = line.broker.status();
    assert_eq!((status.skipped, status.dropped, status.lapses), (3, 1, 1));
}

#[test]
fn what_is_large_is_counted_by_its_bytes() {
    let mut line = Line::new();
    assert_eq!(now(line.subscribe(0)), Ok(5));
    for _ in 0..4 {
        let event = event(0, INBOX_BYTES_MAX / 3);
        line.link.hearing.heard("c", event, Default::default());
    }
    assert_eq!(line.brought(0), [Publication(0); 2]);
    assert_eq!(line.broker.status().dropped, 2);
}

#[test]
fn what_needs_no_history_is_delivered_here_while_the_line_is_down() {
    let local = || NewPublication {
        is_local_if_unreachable: true,
        ..passing("c", "1")
    };
    let mut line = Line::new();
    assert_eq!(now(line.subscribe(0)), Ok(5));
    *line.failure() = Some(BrokerError::Unreachable);
    assert!(now(line.broker.publish(local())).is_ok());
    assert_eq!(line.brought(0), [Publication(0)]);
    let kept = NewPublication {
        is_local_if_unreachable: true,
        ..kept("c", "1")
    };
    for new in [passing("c", "1"), kept] {
        let refused = now(line.broker.publish(new));
        assert_eq!(refused, Err(BrokerError::Unreachable));
    }
    *line.failure() = Some(BrokerError::Unanswered);
    let refused = now(line.broker.publish(local()));
    assert_eq!(refused, Err(BrokerError::Unanswered), "it may come yet");
    assert_eq!(line.brought(0), []);
}

#[test]
fn a_herd_that_wants_the_same_history_has_it_read_twice_at_most() {
    let line = Line::new();
    line.link.answers.forget_permits(usize::MAX);
    let channel = channel("c");
    let read = || line.broker.history(&channel, HistoryQuery::default());
    let mut herd: Vec<_> = (0..100).map(|_| read()).collect();
    for waiting in &mut herd {
        assert!(waiting.now_or_never().is_none());
    }
    line.link.answers.add_permits(1);
    // Whoever is answered first lets the others on.
    while let Some(waiting) = herd.pop() {
        if let Err(waiting) = attempt(waiting) {
            herd.insert(0, waiting);
        }
    }
    assert!(line.asked().len() <= 2);
}

/// Polls once; gives back what is not done.
fn attempt<F: Future + Unpin>(mut future: F) -> Result<F::Output, F> {
    match (&mut future).now_or_never() {
        Some(output) => Ok(output),
        None => Err(future),
    }
}
