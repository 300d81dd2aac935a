//! Ways to be let in, and servers that can less.

use std::time::Duration;

use campanile::nats::Credentials;
use campanile_engine::broker::BrokerError;
use campanile_engine::testkit::contract::passing;

use super::nodes::Peer;
use crate::support::nats::{NatsServer, fresh_prefix, settings};
use crate::support::run;

#[test]
fn who_has_the_password_is_let_in() {
    let server = NatsServer::with(&["-js", "--user", "campanile", "--pass", "secret"]);
    let with = |password: &str| {
        let mut settings = settings(vec![server.url()], &fresh_prefix());
        settings.credentials = Credentials::Password {
            user: "campanile".into(),
            password: password.into(),
        };
        settings
    };
    let peer = Peer::start(with("secret"));
    assert_eq!(run(peer.keep("c", "1")).map(|at| at.offset), Ok(1));
    let stranger = Peer::begin(with("guess"));
    let refused = run(stranger.keep("c", "1"));
    assert_eq!(refused, Err(BrokerError::Unreachable));
    assert!(!stranger.node.is_ready());
}

#[test]
fn who_has_the_token_is_let_in() {
    let server = NatsServer::with(&["-js", "--auth", "word"]);
    let mut settings = settings(vec![server.url()], &fresh_prefix());
    settings.credentials = Credentials::Token("word".into());
    let peer = Peer::start(settings);
    assert_eq!(run(peer.keep("c", "1")).map(|at| at.offset), Ok(1));
}

#[test]
fn channels_without_history_need_no_jetstream() {
    let server = NatsServer::with(&[]);
    let mut settings = settings(vec![server.url()], &fresh_prefix());
    settings.histories = None;
    settings.io_timeout = Duration::from_secs(1);
    let mut peer = Peer::start(settings);
    run(async {
        assert_eq!(peer.subscribe("c").await.map(|at| at.offset), Ok(0));
        peer.publish(passing("c", "1")).await.unwrap();
        assert_eq!(&*peer.publication().await.data, b"1");
        assert_eq!(peer.keep("c", "2").await, Err(BrokerError::Unreachable));
    });
}
