//! One publication to many, and those who cannot take it.

use campanile_engine::channel::options::{ChannelOptions, NameMatcher};
use campanile_engine::settings::Settings;
use campanile_engine::shard::Target;
use campanile_engine::testkit::{Driver, Setup};
use campanile_protocol::Disconnect;
use campanile_protocol::ws::deflate::Window;

use super::{SECOND, offsets, subscriber};

#[test]
fn a_publication_reaches_all_subscribers_of_all_shards_and_nobody_else() {
    let mut driver = Driver::new(Setup {
        shards: 3,
        ..Setup::default()
    });
    let mut peers: Vec<_> = (0..9).map(|n| subscriber(&mut driver, n % 3)).collect();
    let mut stranger = driver.connect(0, "43");
    driver.read(&mut stranger);
    driver.publish("c", r#"{"n":1}"#);
    for peer in &mut peers {
        let said = driver.read(peer);
        assert_eq!(said.len(), 1);
        assert!(
            said[0].contains(r#""pub":{"data":{"n":1},"offset":1,"epoch":"#),
            "{said:?}"
        );
    }
    assert!(driver.read(&mut stranger).is_empty());
    assert_eq!(driver.workers[0].shard.totals().deliveries, 3);
}

#[test]
fn subscribers_share_the_bytes_of_a_publication() {
    let mut driver = Driver::new(Setup::default());
    let peers: Vec<_> = (0..2).map(|_| subscriber(&mut driver, 0)).collect();
    driver.publish("c", "1");
    let addresses = peers.iter().map(|peer| {
        let mut slices = [std::io::IoSlice::new(&[])];
        let outbox = driver.workers[0]
            .shard
            .outbox(peer.key)
            .expect("it is connected");
        assert_eq!(outbox.slices(&mut slices), 1);
        slices[0].as_ptr()
    });
    let addresses: Vec<_> = addresses.collect();
    assert_eq!(addresses[0], addresses[1]);
}

#[test]
fn subscribers_with_the_same_window_share_one_compression() {
    let mut driver = Driver::new(Setup::default());
    let peers: Vec<_> = (0..102).map(|_| subscriber(&mut driver, 0)).collect();
    for (n, peer) in peers.iter().enumerate().take(101) {
        let window = if n < 100 { Window::Full } else { Window::Small };
        driver.workers[0].shard.compress(peer.key, window);
    }
    driver.publish("c", &format!("\"{}\"", "ding dong ".repeat(200)));
    let shard = &driver.workers[0].shard;
    assert_eq!(shard.totals().compressions, 2);
    let sent = |n: usize| {
        let mut slices = [std::io::IoSlice::new(&[])];
        let outbox = shard.outbox(peers[n].key).expect("it is connected");
        assert_eq!(outbox.slices(&mut slices), 1);
        (slices[0].as_ptr(), slices[0][0], slices[0].len())
    };
    const TEXT: u8 = 0x81;
    const COMPRESSED_TEXT: u8 = 0xC1;
    let (address, first, length) = sent(0);
    assert_eq!(first, COMPRESSED_TEXT);
    assert!(length < 200, "{length} bytes");
    assert!((1..100).all(|n| sent(n).0 == address));
    assert_eq!((sent(100).1, sent(101).1), (COMPRESSED_TEXT, TEXT));
    assert!(sent(100).0 != address);

    driver.publish("c", "\"short\"");
    assert_eq!(driver.workers[0].shard.totals().compressions, 2);
}

#[test]
fn who_does_not_read_is_closed_as_slow_and_others_are_not() {
    let settings = Settings {
        queue_bytes_max: 4096,
        ..Settings::default()
    };
    let mut driver = Driver::new(Setup {
        settings,
        ..Setup::default()
    });
    let mut slow = subscriber(&mut driver, 0);
    let mut fast = subscriber(&mut driver, 0);
    let payload = format!("\"{}\"", "x".repeat(1000));
    for offset in 1..=10 {
        driver.publish("c", &payload);
        assert_eq!(offsets(&driver.read(&mut fast)), [offset]);
        let waiting = driver.workers[0]
            .shard
            .outbox(slow.key)
            .expect("not released")
            .bytes();
        assert!(waiting <= 4096 + 1100, "{waiting} bytes wait");
    }
    assert_eq!(
        driver.read(&mut slow),
        ["close 3008"],
        "nothing is flushed to who does not read"
    );
    assert!(!driver.workers[0].shard.is_open(slow.key));
    assert_eq!(driver.workers[0].shard.totals().slow, 1);
}

#[test]
fn the_largest_queues_go_when_the_memory_of_the_node_is_used_up() {
    let mut setup = Setup {
        budget: Some(30_000),
        ..Setup::default()
    };
    setup.options.history_size = 2;
    let mut driver = Driver::new(setup);
    let mut slow = subscriber(&mut driver, 0);
    let mut fast = subscriber(&mut driver, 0);
    let payload = format!("\"{}\"", "x".repeat(1000));
    for _ in 0..30 {
        driver.publish("c", &payload);
        driver.read(&mut fast);
    }
    driver.publish("c", "1");
    driver.pass(SECOND);
    assert_eq!(driver.read(&mut slow), ["close 3008"]);
    assert_eq!(offsets(&driver.read(&mut fast)), [31]);
    driver.pass(SECOND);
    assert_eq!(driver.budget.excess(), 0);
}

#[test]
fn a_payload_that_is_no_json_ends_the_sessions_that_cannot_carry_it() {
    let mut driver = Driver::new(Setup::default());
    let mut peer = subscriber(&mut driver, 0);
    driver.publish("c", "no json");
    assert_eq!(driver.read(&mut peer), ["close 3506"]);
}

#[test]
fn thousands_that_end_together_do_not_end_in_the_depth_of_the_stack() {
    // Less than a worker has, and optimised code needs less for each.
    const STACK_BYTES: usize = 512 * 1024;
    const SUBSCRIBERS: usize = 2_000;
    let run = || {
        let mut driver = Driver::new(Setup::default());
        let mut peers: Vec<_> = (0..SUBSCRIBERS)
            .map(|_| subscriber(&mut driver, 0))
            .collect();
        driver.publish("c", "no json");
        for peer in &mut peers {
            assert_eq!(driver.read(peer), ["close 3506"]);
        }
    };
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    thread.spawn(run).unwrap().join().unwrap();
}

#[test]
fn a_session_that_panics_ends_alone() {
    let panics = NameMatcher::new("panics", |name| {
        assert!(!name.contains("boom"), "as the test wants");
        true
    });
    let setup = Setup::default();
    let options = ChannelOptions {
        channel_regex: Some(panics),
        ..setup.options.clone()
    };
    let mut driver = Driver::new(Setup { options, ..setup });
    let mut doomed = subscriber(&mut driver, 0);
    let mut other = subscriber(&mut driver, 0);
    driver.send(&mut doomed, r#"{"id":3,"subscribe":{"channel":"boom"}}"#);
    assert_eq!(driver.read(&mut doomed), ["close 3004"]);
    assert_eq!(driver.workers[0].shard.totals().panics, 1);
    driver.publish("c", "1");
    assert_eq!(offsets(&driver.read(&mut other)), [1]);
    assert!(driver.read(&mut doomed).is_empty());
    driver.release(&doomed);
    driver.release(&other);
    assert_eq!(driver.workers[0].shard.connection_count(), 0);
    assert_eq!(driver.workers[0].shard.stats(), Default::default());
}

#[test]
fn orders_find_the_sessions_of_their_user() {
    let mut driver = Driver::new(Setup::default());
    let mut first = subscriber(&mut driver, 0);
    let mut second = driver.connect(0, "42");
    let mut other = driver.connect(0, "43");
    let said = driver.read(&mut second).remove(0);
    driver.read(&mut other);
    let client = said.split('"').nth(7).expect("the id of the client");
    let client = campanile_protocol::ClientId::parse(client).expect("an id");
    let now = driver.now();
    let message = campanile_engine::session::Order::Message(b"7".as_slice().into());
    let target = |only, spared| Target::User {
        user: "42".into(),
        only,
        spared,
    };
    let shard = &mut driver.workers[0].shard;
    assert_eq!(shard.order(now, &target(None, vec![]), &message), 2);
    assert_eq!(shard.order(now, &target(Some(client), vec![]), &message), 1);
    assert_eq!(shard.order(now, &target(None, vec![client]), &message), 1);
    assert_eq!(shard.order(now, &Target::Everybody, &message), 3);
    let push = r#"{"push":{"message":{"data":7}}}"#;
    assert_eq!(driver.read(&mut first), [push; 3]);
    assert_eq!(driver.read(&mut second), [push; 3]);
    assert_eq!(driver.read(&mut other), [push]);
}

#[test]
fn a_drain_closes_so_many_at_a_time_and_flushes_what_waits() {
    let mut driver = Driver::new(Setup::default());
    let mut peers: Vec<_> = (0..3).map(|_| subscriber(&mut driver, 0)).collect();
    driver.publish("c", "1");
    let now = driver.now();
    let mut drain = |most| {
        driver.workers[0]
            .shard
            .drain(now, most, &Disconnect::SHUTDOWN)
    };
    assert_eq!((drain(2), drain(2), drain(2)), (2, 1, 0));
    for peer in &mut peers {
        let said = driver.read(peer);
        assert_eq!((offsets(&said), said[1].as_str()), (vec![1], "close 3001"));
    }
}
