//! Connections without a session.

use std::time::Duration;

use campanile_engine::testkit::{Driver, Setup};

/// What the driver's worker closes as idle within `time`, when it echoes `echoes` times meanwhile.
fn ends_within(time: Duration, echoes: u32) -> bool {
    let mut driver = Driver::new(Setup::default());
    let now = driver.now();
    let key = driver.workers[0].shard.open_bare(now);
    for _ in 0..echoes {
        driver.pass(time / echoes);
        let now = driver.now();
        driver.workers[0].shard.send(now, key, b"x".to_vec());
    }
    if echoes == 0 {
        driver.pass(time);
    }
    !driver.workers[0].shard.is_open(key)
}

#[test]
fn an_idle_connection_without_a_session_is_closed() {
    assert!(!ends_within(Duration::from_secs(59), 0));
    assert!(ends_within(Duration::from_secs(62), 0));
}

#[test]
fn one_that_is_used_is_not() {
    assert!(!ends_within(Duration::from_secs(600), 20));
}
