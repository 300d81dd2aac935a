//! Where members stand, when they enter and when something is missing.

use std::sync::Arc;
use std::time::Duration;

use campanile_engine::broker::HistoryPage;
use campanile_engine::channel::TagsFilter;
use campanile_engine::delivery::{Admission, Delivery, Event};
use campanile_engine::hub::{Entry, Hub, Reception};
use campanile_engine::session::{Deltas, Membership};
use campanile_engine::testkit::channel;
use campanile_engine::time::Moment;
use campanile_protocol::command::FilterNode;
use campanile_protocol::{Epoch, Position, Publication};

fn at(epoch: &str, offset: u64) -> Position {
    Position {
        epoch: Epoch::new(epoch),
        offset,
    }
}

fn publication(offset: u64) -> Arc<Publication> {
    Arc::new(Publication {
        offset,
        data: b"1".as_slice().into(),
        info: None,
        tags: None,
    })
}

fn event(position: Position) -> Event {
    Event::Publication {
        publication: publication(position.offset),
        epoch: position.epoch,
        previous: None,
    }
}

/// What the hub says to a delivery, and who is told of it.
fn deliver(hub: &mut Hub, position: Position) -> (Reception, Vec<u32>) {
    let event = event(position);
    let delivery = Arc::new(Delivery {
        channel: channel("c"),
        event: event.clone(),
        admission: Admission::default(),
    });
    let reception = hub.receive(Moment::START, &delivery);
    (reception, audience(hub, &event))
}

fn audience(hub: &mut Hub, event: &Event) -> Vec<u32> {
    let mut audience: Vec<_> = hub
        .audience(&channel("c"), event)
        .map(|(session, _)| session)
        .collect();
    audience.sort_unstable();
    audience
}

fn membership(position: Position, is_positioned: bool) -> Membership {
    Membership {
        position,
        is_positioned,
        wants_attendance: false,
        wants_latest_only: false,
        filter: None,
        deltas: Deltas::Off,
    }
}

/// Enters; the offsets of what came meanwhile, or nothing for who has lost its place.
fn enter(hub: &mut Hub, session: u32, position: Position, is_positioned: bool) -> Option<Vec<u64>> {
    let membership = membership(position, is_positioned);
    match hub.enter(Moment::START, &channel("c"), session, membership) {
        Entry::Lost => None,
        Entry::Entered(backlog) => {
            let offsets = backlog.iter().map(|(event, _)| match event {
                Event::Publication { publication, .. } => publication.offset,
                other => panic!("nobody asked for {other:?}"),
            });
            Some(offsets.collect())
        }
    }
}

/// A hub with session 1 at this offset of epoch e.
fn hub_at(offset: u64) -> Hub {
    let mut hub = Hub::default();
    hub.await_entry(&channel("c"), 1);
    assert_eq!(enter(&mut hub, 1, at("e", offset), true), Some(vec![]));
    hub
}

fn page(offsets: std::ops::RangeInclusive<u64>, top: Position) -> Option<HistoryPage> {
    Some(HistoryPage {
        publications: offsets.map(publication).collect(),
        top,
    })
}

fn nothing_up_to(top: Position) -> Option<HistoryPage> {
    Some(HistoryPage {
        publications: Vec::new(),
        top,
    })
}

fn offsets(publications: &[Arc<Publication>]) -> Vec<u64> {
    publications
        .iter()
        .map(|publication| publication.offset)
        .collect()
}

#[test]
fn whoever_stands_before_others_receives_what_they_do_not_need() {
    let mut hub = Hub::default();
    hub.await_entry(&channel("c"), 1);
    hub.await_entry(&channel("c"), 2);
    assert_eq!(enter(&mut hub, 2, at("e", 7), true), Some(vec![]));
    assert_eq!(deliver(&mut hub, at("e", 6)), (Reception::Skip, vec![]));
    assert_eq!(enter(&mut hub, 1, at("e", 5), true), Some(vec![6]));
    assert_eq!(deliver(&mut hub, at("e", 7)), (Reception::Pass, vec![1]));
    assert_eq!(deliver(&mut hub, at("e", 8)), (Reception::Pass, vec![1, 2]));
}

#[test]
fn what_a_repair_brings_is_kept_for_those_who_join() {
    let mut hub = hub_at(5);
    hub.await_entry(&channel("c"), 2);
    assert_eq!(deliver(&mut hub, at("e", 7)).0, Reception::Gap(at("e", 5)));
    let repaired = hub.repaired(&channel("c"), page(6..=8, at("e", 8)));
    assert_eq!(offsets(&repaired.publications), [6, 7, 8]);
    assert_eq!(enter(&mut hub, 2, at("e", 5), true), Some(vec![6, 7, 8]));
    assert_eq!(deliver(&mut hub, at("e", 8)).0, Reception::Skip);
    assert_eq!(deliver(&mut hub, at("e", 9)), (Reception::Pass, vec![1, 2]));
}

#[test]
fn what_came_while_joining_is_filtered_and_passed_over_all_the_same() {
    let only_tagged = FilterNode {
        key: "a".into(),
        cmp: "ex".into(),
        ..FilterNode::default()
    };
    let filter = TagsFilter::new(&only_tagged).expect("it makes sense");
    let mut hub = hub_at(5);
    hub.await_entry(&channel("c"), 2);
    for offset in 6..=8 {
        deliver(&mut hub, at("e", offset));
    }
    let membership = Membership {
        filter: Some(Arc::new(filter)),
        ..membership(at("e", 5), true)
    };
    match hub.enter(Moment::START, &channel("c"), 2, membership) {
        Entry::Entered(backlog) => assert!(backlog.is_empty(), "none of them is tagged"),
        Entry::Lost => panic!("nothing is missing"),
    }
    assert_eq!(deliver(&mut hub, at("e", 8)).0, Reception::Skip);
    assert_eq!(deliver(&mut hub, at("e", 9)), (Reception::Pass, vec![1]));
}

#[test]
fn a_hole_that_a_repair_is_about_to_fill_is_no_loss() {
    let mut hub = hub_at(5);
    hub.await_entry(&channel("c"), 2);
    assert_eq!(deliver(&mut hub, at("e", 7)).0, Reception::Gap(at("e", 5)));
    assert_eq!(enter(&mut hub, 2, at("e", 5), true), Some(vec![]));
    let repaired = hub.repaired(&channel("c"), page(6..=7, at("e", 7)));
    let mut told = |offset| audience(&mut hub, &event(at("e", offset)));
    assert_eq!(offsets(&repaired.publications), [6, 7]);
    assert_eq!((told(6), told(7)), (vec![1, 2], vec![1, 2]));
}

#[test]
fn a_hole_that_nobody_fills_is_a_loss_for_who_has_a_position() {
    for is_positioned in [true, false] {
        let mut hub = Hub::default();
        hub.await_entry(&channel("c"), 1);
        deliver(&mut hub, at("e", 7));
        let entry = enter(&mut hub, 1, at("e", 5), is_positioned);
        assert_eq!(entry.is_none(), is_positioned);
        assert_eq!(hub.losses(), u64::from(!is_positioned));
    }
}

#[test]
fn what_came_while_joining_is_not_delivered_again_by_a_repair() {
    let mut hub = hub_at(5);
    assert_eq!(deliver(&mut hub, at("e", 7)).0, Reception::Gap(at("e", 5)));
    hub.await_entry(&channel("c"), 2);
    assert_eq!(deliver(&mut hub, at("e", 8)).0, Reception::Skip);
    assert_eq!(enter(&mut hub, 2, at("e", 7), true), Some(vec![8]));
    hub.repaired(&channel("c"), page(6..=8, at("e", 8)));
    assert_eq!(audience(&mut hub, &event(at("e", 8))), [1]);
    assert_eq!(deliver(&mut hub, at("e", 9)), (Reception::Pass, vec![1, 2]));
}

#[test]
fn a_repair_that_is_behind_is_asked_for_again_but_not_for_ever() {
    let mut hub = hub_at(5);
    deliver(&mut hub, at("e", 7));
    deliver(&mut hub, at("e", 9));
    let repaired = hub.repaired(&channel("c"), page(6..=8, at("e", 8)));
    assert_eq!((repaired.again, repaired.lost), (Some(at("e", 8)), vec![]));
    let repaired = hub.repaired(&channel("c"), nothing_up_to(at("e", 8)));
    assert_eq!((repaired.again, repaired.lost), (None, vec![1]));
}

#[test]
fn another_epoch_is_a_loss_also_when_it_shows_during_a_repair() {
    let mut hub = hub_at(5);
    assert_eq!(deliver(&mut hub, at("f", 6)).0, Reception::Gap(at("e", 5)));
    let repaired = hub.repaired(&channel("c"), page(6..=6, at("f", 6)));
    assert_eq!(
        (repaired.lost, offsets(&repaired.publications)),
        (vec![1], vec![])
    );

    let mut hub = hub_at(5);
    deliver(&mut hub, at("e", 7));
    deliver(&mut hub, at("f", 1));
    let repaired = hub.repaired(&channel("c"), page(6..=7, at("e", 7)));
    assert_eq!(
        repaired.again,
        Some(at("e", 7)),
        "the new epoch has to be looked at"
    );
    let repaired = hub.repaired(&channel("c"), nothing_up_to(at("f", 1)));
    assert_eq!(repaired.lost, [1]);
}

const DELAY: Duration = Duration::from_secs(40);

/// Doubts `c` so many seconds after the start.
fn doubt(hub: &mut Hub, second: u64) -> Option<Position> {
    hub.doubt(Moment::from_millis(second * 1000), &channel("c"), DELAY)
}

/// A hub with session 1 at offset 5 of epoch e, in doubt.
fn hub_in_doubt() -> Hub {
    let mut hub = hub_at(5);
    assert_eq!((doubt(&mut hub, 1), doubt(&mut hub, 39)), (None, None));
    assert_eq!(doubt(&mut hub, 40), Some(at("e", 5)));
    hub
}

#[test]
fn a_quiet_channel_is_doubted_once_for_each_delay() {
    let mut hub = hub_in_doubt();
    assert_eq!(doubt(&mut hub, 90), None, "the answer is still to come");
    let repaired = hub.repaired(&channel("c"), nothing_up_to(at("e", 5)));
    assert_eq!((repaired.again, repaired.lost), (None, vec![]));
    assert_eq!(doubt(&mut hub, 79), None);
    assert_eq!(doubt(&mut hub, 80), Some(at("e", 5)));
}

#[test]
fn a_doubt_finds_what_is_missing_and_other_epochs() {
    let mut hub = hub_in_doubt();
    let repaired = hub.repaired(&channel("c"), page(6..=7, at("e", 7)));
    assert_eq!(offsets(&repaired.publications), [6, 7]);
    assert_eq!(deliver(&mut hub, at("e", 8)), (Reception::Pass, vec![1]));

    for top in [at("f", 5), at("f", 0), at("e", 4)] {
        let repaired = hub_in_doubt().repaired(&channel("c"), nothing_up_to(top));
        assert_eq!(repaired.lost, [1], "{top:?}");
    }
}

#[test]
fn what_comes_during_a_doubt_is_not_lost() {
    let mut hub = hub_in_doubt();
    assert_eq!(deliver(&mut hub, at("e", 6)).0, Reception::Skip);
    let repaired = hub.repaired(&channel("c"), page(6..=6, at("e", 6)));
    assert_eq!(offsets(&repaired.publications), [6]);

    let mut hub = hub_in_doubt();
    deliver(&mut hub, at("e", 6));
    let repaired = hub.repaired(&channel("c"), nothing_up_to(at("e", 5)));
    assert_eq!(repaired.lost, [1], "it is in no history");
}

#[test]
fn a_doubt_that_cannot_be_settled_is_no_loss_unless_something_came() {
    let mut hub = hub_in_doubt();
    assert_eq!(hub.repaired(&channel("c"), None).lost, [0; 0]);
    assert_eq!(deliver(&mut hub, at("e", 6)), (Reception::Pass, vec![1]));

    let mut hub = hub_in_doubt();
    deliver(&mut hub, at("e", 6));
    assert_eq!(hub.repaired(&channel("c"), None).lost, [1]);
}

#[test]
fn who_has_no_position_follows_the_stream_into_another_epoch() {
    let mut hub = Hub::default();
    hub.await_entry(&channel("c"), 1);
    assert_eq!(enter(&mut hub, 1, at("e", 500), false), Some(vec![]));
    assert_eq!(
        deliver(&mut hub, at("f", 1)).0,
        Reception::Gap(at("e", 500))
    );
    let repaired = hub.repaired(&channel("c"), nothing_up_to(at("f", 1)));
    assert!(repaired.lost.is_empty());
    assert_eq!(hub.losses(), 1, "it is counted where nobody is told");
    assert_eq!(deliver(&mut hub, at("f", 2)), (Reception::Pass, vec![1]));
}

#[test]
fn without_history_to_read_the_next_publication_tells_where_the_stream_is() {
    let mut hub = hub_at(5);
    hub.await_entry(&channel("c"), 2);
    enter(&mut hub, 2, at("e", 5), false);
    deliver(&mut hub, at("e", 7));
    assert_eq!(hub.repaired(&channel("c"), None).lost, [1]);
    assert!(!hub.leave(&channel("c"), 1));
    assert_eq!(deliver(&mut hub, at("e", 9)), (Reception::Pass, vec![2]));
    assert_eq!(deliver(&mut hub, at("e", 9)).0, Reception::Skip);
}

#[test]
fn a_channel_without_members_is_forgotten() {
    let mut hub = hub_at(5);
    assert_eq!((hub.channel_count(), hub.membership_count()), (1, 1));
    assert!(hub.leave(&channel("c"), 1));
    assert_eq!((hub.channel_count(), hub.membership_count()), (0, 0));
    assert_eq!(deliver(&mut hub, at("e", 6)).0, Reception::Unknown);
    assert!(hub.leave(&channel("c"), 1));
    hub.await_entry(&channel("c"), 2);
    assert!(hub.leave(&channel("c"), 2), "nobody is awaited any more");
}

fn lapse(hub: &mut Hub) -> Reception {
    let delivery = Arc::new(Delivery {
        channel: channel("c"),
        event: Event::Lapse,
        admission: Admission::default(),
    });
    hub.receive(Moment::START, &delivery)
}

#[test]
fn a_lapse_has_the_history_read_from_where_the_shard_stands() {
    let mut hub = Hub::default();
    assert_eq!(lapse(&mut hub), Reception::Unknown);
    hub.await_entry(&channel("c"), 1);
    assert_eq!(lapse(&mut hub), Reception::Skip, "nobody stands anywhere");
    enter(&mut hub, 1, at("e", 5), true);
    assert_eq!(lapse(&mut hub), Reception::Gap(at("e", 5)));
    assert_eq!(deliver(&mut hub, at("e", 8)).0, Reception::Skip);
    let repaired = hub.repaired(&channel("c"), page(6..=8, at("e", 8)));
    assert_eq!((repaired.publications.len(), repaired.again), (3, None));
    assert_eq!(deliver(&mut hub, at("e", 9)), (Reception::Pass, vec![1]));
}

#[test]
fn a_lapse_during_a_read_has_it_read_again_but_a_read_that_fails_is_not_repeated_at_once() {
    let mut hub = Hub::default();
    hub.await_entry(&channel("c"), 1);
    enter(&mut hub, 1, at("e", 5), true);
    assert_eq!(lapse(&mut hub), Reception::Gap(at("e", 5)));
    assert_eq!(lapse(&mut hub), Reception::Skip);
    let repaired = hub.repaired(&channel("c"), nothing_up_to(at("e", 5)));
    assert_eq!(repaired.again, Some(at("e", 5)));
    assert_eq!(lapse(&mut hub), Reception::Skip);
    let repaired = hub.repaired(&channel("c"), None);
    assert_eq!((repaired.again, repaired.lost), (None, vec![]));
    // But as soon as anybody looks.
    let delay = Duration::from_secs(40);
    assert_eq!(
        hub.doubt(Moment::START, &channel("c"), delay),
        Some(at("e", 5))
    );
}

#[test]
fn who_joins_during_a_lapse_is_looked_after_at_the_next_look() {
    let delay = Duration::from_secs(40);
    for has_lapsed in [false, true] {
        let mut hub = Hub::default();
        hub.await_entry(&channel("c"), 1);
        if has_lapsed {
            lapse(&mut hub);
        }
        enter(&mut hub, 1, at("e", 5), true);
        let doubted = hub.doubt(Moment::START, &channel("c"), delay);
        assert_eq!(doubted.is_some(), has_lapsed);
    }
}
