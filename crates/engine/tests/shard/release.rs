//! What is left when everybody is gone: nothing.

use std::time::Duration;

use campanile_engine::channel::options::ChannelOptions;
use campanile_engine::testkit::{Driver, Setup};
use campanile_protocol::Disconnect;

use super::{SECOND, offsets, recoverable, subscriber};

#[test]
fn everything_is_given_back_when_all_sessions_have_ended() {
    let mut driver = Driver::new(Setup {
        shards: 2,
        ..recoverable()
    });
    let mut peers: Vec<_> = (0..10).map(|n| subscriber(&mut driver, n % 2)).collect();
    for _ in 0..20 {
        driver.publish("c", "1");
    }
    for (number, peer) in peers.iter_mut().enumerate() {
        match number % 3 {
            0 => driver.release(peer),
            1 => {
                driver.close(peer, Disconnect::FORCE_DISCONNECT);
                driver.release(peer);
            }
            _ => {
                driver.send(peer, r#"{"id":9,"unsubscribe":{"channel":"c"}}"#);
                driver.release(peer);
            }
        }
        driver.release(peer);
    }
    driver.publish("c", "1");
    driver.pass(SECOND);
    for worker in &driver.workers {
        assert_eq!(worker.shard.connection_count(), 0);
        assert_eq!(worker.shard.stats(), Default::default());
    }
    assert!(driver.presence.is_empty());
    assert_eq!(driver.budget.queued(), 0);
    let delivered = |driver: &Driver| driver.workers[0].shard.totals().deliveries;
    let before = delivered(&driver);
    driver.publish("c", "1");
    assert_eq!(delivered(&driver), before);
    assert!(driver.budget.stored() > 0);
    driver.pass(Duration::from_secs(4000));
    assert_eq!(driver.budget.stored(), 0);
}

#[test]
fn a_key_of_a_released_connection_means_nobody_else() {
    let mut driver = Driver::new(Setup::default());
    let old = subscriber(&mut driver, 0);
    driver.release(&old);
    let mut new = subscriber(&mut driver, 0);
    assert_eq!(old.key.index, new.key.index, "places are used again");
    driver.close(&old, Disconnect::FORCE_DISCONNECT);
    driver.release(&old);
    driver.publish("c", "1");
    assert_eq!(offsets(&driver.read(&mut new)), [1]);
}

#[test]
fn others_are_told_who_came_and_left_and_presence_agrees() {
    let setup = Setup::default();
    let options = ChannelOptions {
        join_leave: true,
        force_push_join_leave: true,
        ..setup.options.clone()
    };
    let mut driver = Driver::new(Setup { options, ..setup });
    let mut watcher = subscriber(&mut driver, 0);
    assert!(driver.read(&mut watcher).is_empty());
    let other = subscriber(&mut driver, 0);
    let said = driver.read(&mut watcher);
    assert!(
        said[0].contains(r#""join":{"info":{"user":"42""#),
        "{said:?}"
    );
    let stats = r#"{"id":5,"presence_stats":{"channel":"c"}}"#;
    driver.send(&mut watcher, stats);
    let said = driver.read(&mut watcher);
    assert_eq!(
        said,
        [r#"{"id":5,"presence_stats":{"num_clients":2,"num_users":1}}"#]
    );
    driver.release(&other);
    let said = driver.read(&mut watcher);
    assert!(said[0].contains(r#""leave":{"info""#), "{said:?}");
    driver.send(&mut watcher, stats);
    assert!(driver.read(&mut watcher)[0].contains(r#""num_clients":1"#));
}
