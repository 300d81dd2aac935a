//! Deliveries that a broker loses or repeats.

use campanile_engine::testkit::{Driver, Setup};

use super::{offsets, recoverable, subscriber};

/// Publishes `count` times and loses the first `lost` deliveries of each shard.
fn publish_losing(driver: &mut Driver, count: usize, lost: usize) {
    driver.manual = true;
    for _ in 0..count {
        driver.publish("c", "1");
    }
    for worker in &mut driver.workers {
        worker.pull();
        worker.line.drain(..lost);
    }
    driver.manual = false;
    driver.settle();
}

#[test]
fn a_gap_is_repaired_in_order_for_everybody() {
    let mut driver = Driver::new(recoverable());
    let mut peers: Vec<_> = (0..3).map(|_| subscriber(&mut driver, 0)).collect();
    driver.publish("c", "1");
    publish_losing(&mut driver, 5, 3);
    driver.publish("c", "1");
    for peer in &mut peers {
        assert_eq!(offsets(&driver.read(peer)), [1, 2, 3, 4, 5, 6, 7]);
    }
    assert_eq!(driver.workers[0].shard.totals().repairs, 1);
}

#[test]
fn what_is_repeated_is_passed_over() {
    let mut driver = Driver::new(recoverable());
    let mut peer = subscriber(&mut driver, 0);
    driver.manual = true;
    for _ in 0..3 {
        driver.publish("c", "1");
    }
    driver.workers[0].pull();
    let line = &mut driver.workers[0].line;
    let repeats: Vec<_> = line
        .iter()
        .flat_map(|one| [one.clone(), one.clone()])
        .collect();
    let first = line[0].clone();
    *line = repeats.into();
    line.push_back(first);
    driver.manual = false;
    driver.settle();
    assert_eq!(offsets(&driver.read(&mut peer)), [1, 2, 3]);
}

#[test]
fn a_gap_that_history_does_not_cover_is_told() {
    let mut setup = recoverable();
    setup.options.history_size = 2;
    let mut driver = Driver::new(setup);
    let mut peer = subscriber(&mut driver, 0);
    let mut server_side = driver.connect(0, "43 c");
    driver.read(&mut server_side);
    driver.publish("c", "1");
    publish_losing(&mut driver, 5, 4);
    let said = driver.read(&mut peer);
    assert_eq!(offsets(&said), [1], "nothing comes behind a gap");
    assert!(
        said[1].contains(r#""unsubscribe":{"code":2500,"#),
        "{said:?}"
    );
    let said = driver.read(&mut server_side);
    assert_eq!((offsets(&said), said[1].as_str()), (vec![1], "close 3010"));
}

#[test]
fn who_watches_without_recovery_is_told_of_a_gap_and_begins_afresh() {
    let mut setup = Setup::default();
    setup.options.history_size = 2;
    setup.options.allow_positioning = true;
    let mut driver = Driver::new(setup);
    let mut peer = driver.connect(0, "42");
    let subscribe =
        |id| format!(r#"{{"id":{id},"subscribe":{{"channel":"c","positioned":true}}}}"#);
    driver.send(&mut peer, &subscribe(2));
    let said = driver.read(&mut peer);
    assert!(said[1].contains(r#""positioned":true"#), "{said:?}");
    assert!(!said[1].contains("recover"), "{said:?}");
    publish_losing(&mut driver, 5, 4);
    let said = driver.read(&mut peer);
    assert!(
        said[0].contains(r#""unsubscribe":{"code":2500,"#),
        "{said:?}"
    );
    driver.send(&mut peer, &subscribe(3));
    driver.publish("c", "1");
    let said = driver.read(&mut peer);
    assert!(said[0].contains(r#""offset":5"#), "{said:?}");
    assert_eq!(offsets(&said), [6]);
}

#[test]
fn subscribers_without_positions_go_on_after_a_gap() {
    let mut setup = Setup::default();
    setup.options.history_size = 2;
    let mut driver = Driver::new(setup);
    let mut peer = subscriber(&mut driver, 0);
    driver.publish("c", "1");
    publish_losing(&mut driver, 5, 4);
    driver.publish("c", "1");
    let said = driver.read(&mut peer);
    assert_eq!(
        offsets(&said),
        [1, 5, 6, 7],
        "what can be had is delivered: {said:?}"
    );
}

#[test]
fn a_gap_that_cannot_be_read_is_told_and_the_channel_goes_on() {
    let mut driver = Driver::new(recoverable());
    let mut peer = subscriber(&mut driver, 0);
    driver.publish("c", "1");
    driver.manual = true;
    for _ in 0..3 {
        driver.publish("c", "1");
    }
    driver.workers[0].pull();
    driver.workers[0].line.pop_front();
    driver.broker.set_unreachable(true);
    driver.manual = false;
    driver.settle();
    let said = driver.read(&mut peer);
    assert_eq!(offsets(&said), [1]);
    assert!(said[1].contains(r#""code":2500"#), "{said:?}");
    driver.broker.set_unreachable(false);
    driver.send(
        &mut peer,
        r#"{"id":3,"subscribe":{"channel":"c","recover":true,"offset":1}}"#,
    );
    driver.publish("c", "1");
    assert_eq!(offsets(&driver.read(&mut peer)), [2, 3, 4, 5]);
}

#[test]
fn what_is_lost_during_a_repair_is_repaired_too() {
    for seed in 0..50 {
        let mut driver = Driver::new(Setup {
            seed,
            ..recoverable()
        });
        let mut peer = subscriber(&mut driver, 0);
        driver.broker.hesitate(8);
        driver.manual = true;
        for round in 0..12_u64 {
            driver.publish("c", "1");
            driver.workers[0].pull();
            if (round + seed) % 3 == 0 {
                driver.workers[0].line.pop_back();
            }
            driver.deliver(0);
            driver.begin(0);
            driver.poll(0, 0);
        }
        driver.manual = false;
        driver.settle();
        driver.publish("c", "1");
        let said = driver.read(&mut peer);
        assert_eq!(offsets(&said), (1..=13).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn who_enters_during_a_repair_receives_everything_once() {
    for seed in 0..200 {
        let mut driver = Driver::new(Setup {
            seed,
            ..recoverable()
        });
        let mut old = subscriber(&mut driver, 0);
        let mut new = driver.connect(0, "43");
        driver.read(&mut new);
        driver.broker.hesitate(8);
        driver.manual = true;
        for round in 0..12_u64 {
            if round == 4 {
                driver.send(&mut new, r#"{"id":2,"subscribe":{"channel":"c"}}"#);
            }
            driver.publish("c", "1");
            driver.workers[0].pull();
            if (round + seed) % 4 == 0 {
                driver.workers[0].line.pop_back();
            }
            driver.deliver(0);
            driver.begin(0);
            let running = driver.workers[0].running_count();
            driver.poll(0, usize::try_from(seed).expect("small") % running.max(1));
        }
        driver.manual = false;
        driver.settle();
        driver.publish("c", "1");
        assert_eq!(
            offsets(&driver.read(&mut old)),
            (1..=13).collect::<Vec<_>>()
        );
        let said = driver.read(&mut new);
        if said.iter().all(|message| !message.contains("2500")) {
            let offsets = offsets(&said);
            let value: serde_json::Value = serde_json::from_str(&said[0]).expect("JSON");
            let top = value["subscribe"]["offset"].as_u64().unwrap_or(0);
            assert_eq!(
                offsets,
                (top + 1..=13).collect::<Vec<_>>(),
                "seed {seed} {said:?}"
            );
        }
    }
}
