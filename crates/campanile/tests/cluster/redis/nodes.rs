//! Several nodes that share one Redis.

use campanile::config::Secret;
use campanile::redis::{Access, Servers, Settings};
use campanile_engine::broker::BrokerError;
use campanile_engine::testkit::contract::passing;

use crate::support::redis::{Peer, RedisServer, settings};
use crate::support::run;

#[test]
fn nodes_with_different_databases_do_not_hear_each_other() {
    let server = RedisServer::start();
    let first = settings(Servers::Single(server.address()));
    let mut second = first.clone();
    second.access.database = 1;
    let (mut a, mut b) = (Peer::start(first), Peer::start(second));
    run(async {
        a.subscribe("c").await.unwrap();
        b.subscribe("c").await.unwrap();
        a.publish(passing("c", "1")).await.unwrap();
        b.publish(passing("c", "2")).await.unwrap();
        b.keep("c", "3").await.unwrap();
        a.keep("c", "4").await.unwrap();
        for (peer, expected) in [(&mut a, ["1", "4"]), (&mut b, ["2", "3"])] {
            for text in expected {
                assert_eq!(&*peer.publication().await.data, text.as_bytes());
            }
        }
    });
}

#[test]
fn nodes_with_different_prefixes_have_nothing_in_common() {
    let server = RedisServer::start();
    let settings = || settings(Servers::Single(server.address()));
    let (mut a, mut b) = (Peer::start(settings()), Peer::start(settings()));
    run(async {
        a.subscribe("c").await.unwrap();
        b.subscribe("c").await.unwrap();
        a.keep("c", "1").await.unwrap();
        b.keep("c", "2").await.unwrap();
        assert_eq!(&*a.publication().await.data, b"1");
        assert_eq!(&*b.publication().await.data, b"2");
        assert_eq!(b.history("c").await.0, [1]);
    });
}

#[test]
fn any_name_is_a_channel_of_its_own() {
    let server = RedisServer::start();
    let settings = settings(Servers::Single(server.address()));
    let (mut a, b) = (Peer::start(settings.clone()), Peer::start(settings));
    let names = [
        "}",
        "{",
        "{}",
        "a}b",
        "%7D",
        "%",
        " ",
        "a b",
        "é\u{0}\r\n",
        "*",
        "c.d",
    ];
    run(async {
        for name in names {
            a.subscribe(name).await.unwrap();
        }
        for name in names {
            b.keep(name, "1").await.unwrap();
            let delivery = a.delivery().await;
            assert_eq!(
                (delivery.channel.as_str(), delivery.event.offset()),
                (name, Some(1))
            );
            assert_eq!(b.history(name).await.0, [1]);
        }
    });
}

#[test]
fn joining_stores_nothing() {
    let server = RedisServer::start();
    let peer = Peer::start(settings(Servers::Single(server.address())));
    run(async {
        let mut epochs = Vec::new();
        for name in 0..100 {
            epochs.push(peer.subscribe(&name.to_string()).await.unwrap().epoch);
        }
        assert!(epochs.iter().all(|epoch| *epoch == epochs[0]));
        assert_eq!(server.ask(&["DBSIZE"]), ":1\r\n", "the era alone");
        let published = peer.keep("0", "1").await.unwrap();
        assert_eq!(published.epoch, epochs[0], "what its subscribers were told");
    });
}

#[test]
fn a_password_is_said_and_a_wrong_one_is_told() {
    let server = RedisServer::with_password("right");
    let with = |password| Settings {
        access: Access {
            password: Secret::new(password),
            ..Access::default()
        },
        ..settings(Servers::Single(server.address()))
    };
    let peer = Peer::start(with("right"));
    run(async { peer.keep("c", "1").await.unwrap() });
    let wrong = Peer::begin(with("wrong"));
    crate::support::eventually("the reason", || {
        use campanile::vitals::Vitals as _;
        wrong
            .node
            .link
            .obstacle()
            .is_some_and(|obstacle| obstacle.contains("WRONGPASS"))
    });
    let refused = run(wrong.publish(passing("c", "1")));
    assert_eq!(refused, Err(BrokerError::Unreachable));
}

#[test]
fn a_node_that_ends_leaves_no_connection() {
    let server = RedisServer::start();
    let peer = Peer::start(settings(Servers::Single(server.address())));
    let named = || {
        server
            .ask(&["CLIENT", "LIST"])
            .matches("name=campanile")
            .count()
    };
    assert_eq!(named(), 2);
    drop(peer);
    crate::support::eventually("the end of both", || named() == 0);
}

#[test]
fn a_user_who_may_not_ask_for_replication_still_notices_a_shorter_stream() {
    let server = RedisServer::start();
    server.ask(&["ACL", "SETUSER", "default", "-info"]);
    let peer = Peer::start(settings(Servers::Single(server.address())));
    run(async {
        for _ in 0..3 {
            peer.keep("c", "1").await.unwrap();
        }
        let before = peer.history("c").await.1;
        let keys = server.ask(&["KEYS", "*.m.*"]);
        // As a replica would have it that lagged.
        server.ask(&["HSET", keys.lines().nth(2).unwrap(), "o", "2"]);
        let (offsets, after) = peer.history("c").await;
        assert_ne!(after.epoch, before.epoch);
        assert!(offsets.is_empty() && after.offset == 0);
    });
}
