//! Deliveries that are lost with nothing behind them that would tell.

use std::time::Duration;

use campanile_engine::testkit::{Driver, Peer};

use super::{SECOND, offsets, recoverable, subscriber};

/// The longest time until a loss is noticed: the delay, and the time between two pings.
const NOTICED: u32 = 40 + 25 + 1;

/// What clients that answer pings are told within so many seconds.
fn live(driver: &mut Driver, peers: &mut [&mut Peer], seconds: u32) -> Vec<Vec<String>> {
    let mut said = vec![Vec::new(); peers.len()];
    for _ in 0..seconds {
        driver.pass(SECOND);
        for (peer, said) in peers.iter_mut().zip(&mut said) {
            for message in driver.read(peer) {
                if message == "{}" {
                    driver.send(peer, "{}");
                } else {
                    said.push(message);
                }
            }
        }
    }
    said
}

/// Publishes something that no shard gets.
fn publish_in_vain(driver: &mut Driver) {
    driver.manual = true;
    driver.publish("c", "1");
    for worker in &mut driver.workers {
        worker.pull();
        worker.line.clear();
    }
    driver.manual = false;
}

#[test]
fn the_loss_of_the_last_publication_is_noticed_and_repaired() {
    let mut driver = Driver::new(recoverable());
    let mut client_side = subscriber(&mut driver, 0);
    let mut server_side = driver.connect(0, "43 c");
    driver.publish("c", "1");
    for peer in [&mut client_side, &mut server_side] {
        assert_eq!(offsets(&driver.read(peer)), [1]);
    }
    publish_in_vain(&mut driver);
    let mut peers = [&mut client_side, &mut server_side];
    for said in live(&mut driver, &mut peers, NOTICED) {
        assert_eq!(offsets(&said), [2], "{said:?}");
    }
    driver.publish("c", "1");
    for peer in peers {
        assert_eq!(offsets(&driver.read(peer)), [3]);
    }
    assert_eq!(driver.workers[0].shard.totals().repairs, 1);
}

#[test]
fn a_loss_that_history_does_not_cover_is_noticed_and_told() {
    let mut setup = recoverable();
    setup.options.history_size = 1;
    let mut driver = Driver::new(setup);
    let mut client_side = subscriber(&mut driver, 0);
    let mut server_side = driver.connect(0, "43 c");
    driver.read(&mut server_side);
    publish_in_vain(&mut driver);
    publish_in_vain(&mut driver);
    let mut peers = [&mut client_side, &mut server_side];
    let said = live(&mut driver, &mut peers, NOTICED);
    assert_eq!(said[0].len(), 1, "{said:?}");
    assert!(said[0][0].contains(r#""unsubscribe":{"code":2500,"#));
    assert_eq!(said[1], ["close 3010"]);
}

#[test]
fn subscribers_without_positions_get_what_is_found_and_ask_for_nothing() {
    let mut setup = recoverable();
    setup.options.force_recovery = false;
    setup.options.allow_positioning = true;
    let mut driver = Driver::new(setup);
    let mut plain = subscriber(&mut driver, 0);
    publish_in_vain(&mut driver);
    let said = live(&mut driver, &mut [&mut plain], 2 * NOTICED);
    assert_eq!(offsets(&said[0]), [0; 0], "nobody watches");

    let mut watching = driver.connect(0, "43");
    driver.send(
        &mut watching,
        r#"{"id":2,"subscribe":{"channel":"c","positioned":true}}"#,
    );
    driver.read(&mut watching);
    publish_in_vain(&mut driver);
    let mut peers = [&mut plain, &mut watching];
    let said = live(&mut driver, &mut peers, NOTICED);
    assert_eq!(offsets(&said[1]), [2]);
    assert_eq!(
        offsets(&said[0]),
        [1, 2],
        "the shard stood where it came in"
    );
}

#[test]
fn a_broker_that_cannot_be_asked_is_asked_again() {
    let mut driver = Driver::new(recoverable());
    let mut peer = subscriber(&mut driver, 0);
    publish_in_vain(&mut driver);
    driver.broker.set_unreachable(true);
    let said = live(&mut driver, &mut [&mut peer], 2 * NOTICED);
    assert_eq!(said[0], [""; 0], "nothing is known to be missing");
    driver.broker.set_unreachable(false);
    let said = live(&mut driver, &mut [&mut peer], NOTICED);
    assert_eq!(offsets(&said[0]), [1]);
}

#[test]
fn a_channel_is_asked_for_once_however_many_are_in_it() {
    let mut driver = Driver::new(recoverable());
    let mut peers: Vec<_> = (0..30).map(|_| subscriber(&mut driver, 0)).collect();
    let mut peers: Vec<_> = peers.iter_mut().collect();
    live(&mut driver, &mut peers, 30);
    driver.publish("c", "1");
    driver.manual = true;
    live(&mut driver, &mut peers, 39);
    assert_eq!(driver.workers[0].waiting_count(), 0, "it was not quiet");
    live(&mut driver, &mut peers, NOTICED);
    assert_eq!(driver.workers[0].waiting_count(), 1);
}

#[test]
fn who_does_not_want_quiet_channels_compared_can_say_so() {
    let mut setup = recoverable();
    setup.settings.position_check_delay = None;
    let mut driver = Driver::new(setup);
    let mut peer = subscriber(&mut driver, 0);
    publish_in_vain(&mut driver);
    let said = live(&mut driver, &mut [&mut peer], 3 * NOTICED);
    assert!(said[0].is_empty(), "{said:?}");
}

#[test]
fn pings_far_apart_put_off_a_comparison_for_a_minute_at_most() {
    let mut setup = recoverable();
    setup.settings.ping_interval = Duration::from_secs(3600);
    let mut driver = Driver::new(setup);
    let mut peer = subscriber(&mut driver, 0);
    driver.publish("c", "1");
    publish_in_vain(&mut driver);
    let said = live(&mut driver, &mut [&mut peer], 40 + 66);
    assert_eq!(offsets(&said[0]), [1, 2]);
}
