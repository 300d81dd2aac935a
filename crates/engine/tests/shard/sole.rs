//! Users who may have one connection only: section 6.5 of the client protocol.

use campanile_engine::settings::Settings;
use campanile_engine::testkit::{Driver, Random, Setup};

fn sole(shards: usize, seed: u64) -> Driver {
    let settings = Settings {
        has_one_connection: true,
        personal_channel_namespace: Some(String::new()),
        ..Settings::default()
    };
    Driver::new(Setup {
        settings,
        shards,
        seed,
        ..Setup::default()
    })
}

#[test]
fn a_new_connection_ends_the_others_of_its_user_in_all_shards() {
    let mut driver = sole(3, 0);
    let mut others: Vec<_> = [("43", 0), ("44", 2)]
        .into_iter()
        .map(|(user, shard)| driver.connect(shard, user))
        .collect();
    let mut peers: Vec<_> = [0, 0, 1, 2, 1]
        .into_iter()
        .map(|shard| driver.connect(shard, "42"))
        .collect();
    let mut last = peers.pop().expect("there are five");
    for peer in &mut peers {
        let said = driver.read(peer);
        assert!(said[0].starts_with(r#"{"id":1,"connect":"#), "{said:?}");
        assert_eq!(said[1..], ["close 3504"]);
    }
    for peer in others.iter_mut().chain([&mut last]) {
        assert_eq!(driver.read(peer).len(), 1, "only its connect reply");
    }
}

#[test]
fn anonymous_users_are_not_one_user() {
    let mut driver = sole(1, 0);
    let mut first = driver.connect(0, "");
    driver.connect(0, "");
    assert_eq!(driver.read(&mut first).len(), 1);
}

#[test]
fn of_connections_that_come_at_the_same_time_exactly_one_stays() {
    for seed in 0..300 {
        let mut driver = sole(2, seed);
        let random = Random::new(seed);
        driver.broker.hesitate(random.below(4));
        driver.manual = true;
        let mut peers: Vec<_> = (0..4).map(|n| driver.connect(n % 2, "42")).collect();
        for _ in 0..random.below(150) {
            let shard = random.below(2);
            match random.below(3) {
                0 => driver.begin(shard),
                1 => driver.obey(shard),
                _ => {
                    let running = driver.workers[shard].running_count();
                    driver.poll(shard, random.below(running.max(1)));
                }
            }
        }
        driver.manual = false;
        driver.settle();
        let mut stay = 0;
        for peer in &mut peers {
            let said = driver.read(peer);
            assert!(said[0].starts_with(r#"{"id":1,"connect":"#), "{said:?}");
            match said.get(1).map(String::as_str) {
                None => stay += 1,
                end => assert_eq!(end, Some("close 3504")),
            }
        }
        assert_eq!(stay, 1, "seed {seed}");
    }
}
