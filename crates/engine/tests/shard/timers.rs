//! What the wheel brings up.

use std::time::Duration;

use campanile_engine::testkit::{Driver, Setup};

use super::{SECOND, subscriber};

#[test]
fn pings_are_spread_over_half_an_interval() {
    let mut driver = Driver::new(Setup::default());
    let mut peers: Vec<_> = (0..200).map(|_| driver.connect(0, "42")).collect();
    for peer in &mut peers {
        driver.read(peer);
    }
    driver.pass(Duration::from_secs(12));
    let mut pinged = 0;
    for _ in 0..14 {
        driver.pass(SECOND);
        let mut now = 0;
        for peer in &mut peers {
            now += usize::from(driver.read(peer) == ["{}"]);
        }
        pinged += now;
        assert!(now < 40, "{now} of 200 in one second");
    }
    assert_eq!(pinged, 200);
}

#[test]
fn who_never_connects_or_never_pongs_is_closed() {
    let mut driver = Driver::new(Setup::default());
    let mut mute = driver.open(0);
    let mut deaf = driver.connect(0, "42");
    driver.read(&mut deaf);
    driver.pass(Duration::from_secs(11));
    assert_eq!(driver.read(&mut mute), ["close 3502"]);
    driver.pass(Duration::from_secs(23));
    assert_eq!(driver.read(&mut deaf), ["{}", "close 3012"]);
}

#[test]
fn who_pongs_stays() {
    let mut driver = Driver::new(Setup::default());
    let mut peer = driver.connect(0, "42");
    driver.read(&mut peer);
    let mut pings = 0;
    for _ in 0..200 {
        driver.pass(SECOND);
        for message in driver.read(&mut peer) {
            assert_eq!(message, "{}");
            pings += 1;
            driver.send(&mut peer, "{}");
        }
    }
    assert!((7..=8).contains(&pings), "{pings} pings in 200 seconds");
}

#[test]
fn a_connection_that_was_closed_is_cut_off_after_a_while() {
    let mut driver = Driver::new(Setup::default());
    let peer = subscriber(&mut driver, 0);
    driver.close(&peer, campanile_protocol::Disconnect::FORCE_DISCONNECT);
    driver.pass(Duration::from_secs(4));
    assert_eq!(driver.workers[0].shard.next_overdue(), None);
    driver.pass(Duration::from_secs(2));
    assert_eq!(driver.workers[0].shard.next_overdue(), Some(peer.key));
}

#[test]
fn commands_leave_no_entries_in_the_wheel() {
    let mut driver = Driver::new(Setup::default());
    let mut peer = subscriber(&mut driver, 0);
    let before = driver.workers[0].shard.timer_count();
    for id in 3..300 {
        driver.send(
            &mut peer,
            &format!(r#"{{"id":{id},"unsubscribe":{{"channel":"d"}}}}"#),
        );
    }
    assert_eq!(driver.workers[0].shard.timer_count(), before);
}
