//! `subscribe`, `unsubscribe`, `disconnect` and `refresh`.

use super::rig::UNIX;
use super::{BAD_REQUEST, DONE, Rig, UNKNOWN_CHANNEL};
use crate::api::SPARED_MAX;

#[actix_web::test]
async fn every_session_of_the_user_is_subscribed_and_told() {
    let rig = Rig::new();
    let (a, b) = (rig.connect("42", 1).await, rig.connect("42", 2).await);
    let other = rig.connect("43", 3).await;
    let body = r#"{"channel":"chat:1","user":"42","data":{"x":1},"info":{"i":2}}"#;
    assert_eq!(rig.call("subscribe", body).await, DONE);
    for client in [&a, &b] {
        let seen = rig.read(client);
        assert!(
            seen.contains(r#""channel":"chat:1""#) && seen.contains(r#""data":{"x":1}"#),
            "{seen}"
        );
        assert!(seen.contains(r#""positioned":true"#), "{seen}");
    }
    assert_eq!(rig.read(&other), "");
    let presence = rig.call("presence", r#"{"channel":"chat:1"}"#).await;
    assert_eq!(presence.matches(r#""chan_info":{"i":2}"#).count(), 2);
    assert_eq!(
        rig.call("subscribe", body).await,
        DONE,
        "subscribed already"
    );
    assert_eq!(rig.read(&a), "");
}

#[actix_web::test]
async fn one_client_alone_may_be_meant() {
    let rig = Rig::new();
    let (a, b) = (rig.connect("42", 1).await, rig.connect("42", 2).await);
    let body = format!(r#"{{"channel":"c","user":"42","client":"{}"}}"#, a.id);
    assert_eq!(rig.call("subscribe", &body).await, DONE);
    assert!(rig.read(&a).contains("subscribe"));
    assert_eq!(rig.read(&b), "");
}

#[actix_web::test]
async fn nobody_found_is_success() {
    let rig = Rig::new();
    let client = rig.connect("42", 1).await;
    for target in [
        r#""user":"43""#.to_owned(),
        r#""user":"42","client":"nobody""#.to_owned(),
        r#""user":"42","session":"s""#.to_owned(),
        format!(r#""user":"42","client":"{}","session":"s""#, client.id),
        format!(r#""user":"43","client":"{}""#, client.id),
        r#""client":null"#.to_owned(),
    ] {
        for method in ["subscribe", "unsubscribe"] {
            let body = format!(r#"{{"channel":"c",{target}}}"#);
            assert_eq!(rig.call(method, &body).await, DONE, "{target}");
        }
        for method in ["disconnect", "refresh"] {
            assert_eq!(
                rig.call(method, &format!("{{{target}}}")).await,
                DONE,
                "{target}"
            );
        }
        assert_eq!(rig.read(&client), "", "{target}");
    }
}

#[actix_web::test]
async fn without_a_user_the_anonymous_one_is_meant() {
    let rig = Rig::new();
    let (anonymous, named) = (rig.connect("", 1).await, rig.connect("42", 2).await);
    assert_eq!(rig.call("subscribe", r#"{"channel":"c"}"#).await, DONE);
    assert!(rig.read(&anonymous).contains("subscribe"));
    assert_eq!(rig.read(&named), "");
}

#[actix_web::test]
async fn a_subscribe_is_refused_as_the_reference_says() {
    let rig = Rig::new();
    for (body, refusal) in [
        (r#"{"user":"42"}"#, BAD_REQUEST),
        (r#"{"channel":"nope:1","user":"42"}"#, UNKNOWN_CHANNEL),
        (
            r#"{"channel":"nope:1","user":"42","client":"x"}"#,
            UNKNOWN_CHANNEL,
        ),
        (r#"{"channel":"c","b64info":"?"}"#, BAD_REQUEST),
        (r#"{"channel":"c","b64data":"?"}"#, BAD_REQUEST),
    ] {
        assert_eq!(rig.call("subscribe", body).await, refusal, "{body}");
    }
}

#[actix_web::test]
async fn overrides_replace_the_options_of_the_namespace() {
    let rig = Rig::new();
    let client = rig.connect("42", 1).await;
    let overrides = r#"{"presence":{"value":false},"force_positioning":{},"force_recovery":{}}"#;
    let body = format!(r#"{{"channel":"chat:1","user":"42","override":{overrides}}}"#);
    assert_eq!(rig.call("subscribe", &body).await, DONE);
    assert!(!rig.read(&client).contains("positioned"));
    let stats = rig.call("presence_stats", r#"{"channel":"chat:1"}"#).await;
    assert_eq!(stats, r#"{"result":{"num_clients":0,"num_users":0}}"#);
}

#[actix_web::test]
async fn what_was_missed_follows_the_subscribe_push() {
    let rig = Rig::new();
    let client = rig.connect("42", 1).await;
    for n in 1..=3 {
        let body = format!(r#"{{"channel":"chat:1","data":"m{n}"}}"#);
        rig.call("publish", &body).await;
    }
    let epoch = rig.epoch("chat:1").await;
    let since = format!(r#"{{"offset":1,"epoch":"{epoch}"}}"#);
    let body = format!(r#"{{"channel":"chat:1","user":"42","recover_since":{since}}}"#);
    assert_eq!(rig.call("subscribe", &body).await, DONE);
    let seen = rig.read(&client);
    assert!(!seen.contains(r#""m1""#), "{seen}");
    let (second, third) = (seen.find(r#""m2""#).unwrap(), seen.find(r#""m3""#).unwrap());
    assert!(seen.find("subscribe").unwrap() < second && second < third);
}

#[actix_web::test]
async fn a_subscription_too_many_ends_the_session() {
    let rig = Rig::new();
    let client = rig.connect("42", 1).await;
    for channel in ["a", "b", "c"] {
        let body = format!(r#"{{"channel":"{channel}","user":"42"}}"#);
        assert_eq!(rig.call("subscribe", &body).await, DONE);
    }
    assert!(rig.read(&client).contains("channel limit"));
}

#[actix_web::test]
async fn an_unsubscribe_ends_one_subscription_or_all() {
    let rig = Rig::new();
    let client = rig.connect("42", 1).await;
    let told = |channel: &str| {
        format!(
            r#"{{"push":{{"channel":"{channel}","unsubscribe":{{"code":2000,"reason":"server unsubscribe"}}}}}}"#
        )
    };
    for channel in ["a", "b"] {
        rig.call(
            "subscribe",
            &format!(r#"{{"channel":"{channel}","user":"42"}}"#),
        )
        .await;
    }
    rig.read(&client);
    assert_eq!(
        rig.call("unsubscribe", r#"{"channel":"a","user":"42"}"#)
            .await,
        DONE
    );
    let seen = rig.read(&client);
    assert!(
        seen.contains(&told("a")) && !seen.contains(&told("b")),
        "{seen}"
    );

    rig.call("subscribe", r#"{"channel":"a","user":"42"}"#)
        .await;
    rig.read(&client);
    assert_eq!(
        rig.call("unsubscribe", r#"{"channel":"","user":"42"}"#)
            .await,
        DONE
    );
    let seen = rig.read(&client);
    assert!(
        seen.contains(&told("a")) && seen.contains(&told("b")),
        "{seen}"
    );
    assert_eq!(rig.info().await.stats.subscriptions, 0);

    let unknown = r#"{"channel":"nope:1","user":"42"}"#;
    assert_eq!(rig.call("unsubscribe", unknown).await, UNKNOWN_CHANNEL);
}

fn close(code: u16, reason: &str) -> String {
    String::from_utf8_lossy(&[&code.to_be_bytes(), reason.as_bytes()].concat()).into_owned()
}

#[actix_web::test]
async fn a_disconnected_client_is_told_the_code_and_the_reason() {
    let rig = Rig::new();
    for (number, body, told) in [
        (1, r#"{"user":"42"}"#, close(3503, "force disconnect")),
        (
            2,
            r#"{"user":"42","disconnect":null}"#,
            close(3503, "force disconnect"),
        ),
        (
            3,
            r#"{"user":"42","disconnect":{"code":4999,"reason":"bye"}}"#,
            close(4999, "bye"),
        ),
        (
            4,
            r#"{"user":"42","disconnect":{"code":3000,"reason":"bye"}}"#,
            String::new(),
        ),
    ] {
        let client = rig.connect("42", number).await;
        assert_eq!(rig.call("disconnect", body).await, DONE, "{body}");
        assert!(rig.read(&client).contains(&told), "{body}");
    }
    assert_eq!(rig.info().await.stats.clients, 0);
}

#[actix_web::test]
async fn a_disconnect_spares_whom_it_is_told_to() {
    let rig = Rig::new();
    let (spared, gone) = (rig.connect("42", 1).await, rig.connect("42", 2).await);
    let body = format!(r#"{{"user":"42","whitelist":["x","{}"]}}"#, spared.id);
    assert_eq!(rig.call("disconnect", &body).await, DONE);
    assert_eq!(rig.read(&spared), "");
    assert!(rig.read(&gone).contains("force disconnect"));
    let whitelist = vec![r#""x""#; SPARED_MAX + 1].join(",");
    let body = format!(r#"{{"user":"42","whitelist":[{whitelist}]}}"#);
    assert_eq!(rig.call("disconnect", &body).await, BAD_REQUEST);
}

#[actix_web::test]
async fn a_disconnect_that_no_client_could_be_told_is_refused() {
    let rig = Rig::new();
    let client = rig.connect("42", 1).await;
    for disconnect in [
        "{}",
        r#"{"code":4000}"#,
        r#"{"reason":"bye"}"#,
        r#"{"code":4000,"reason":""}"#,
        r#"{"code":0,"reason":"bye"}"#,
        r#"{"code":2999,"reason":"bye"}"#,
        r#"{"code":5000,"reason":"bye"}"#,
        r#"{"code":69536,"reason":"bye"}"#,
    ] {
        let body = format!(r#"{{"user":"42","disconnect":{disconnect}}}"#);
        assert_eq!(rig.call("disconnect", &body).await, BAD_REQUEST, "{body}");
    }
    assert_eq!(rig.read(&client), "");
}

#[actix_web::test]
async fn a_refresh_moves_the_expiry_or_takes_it_away() {
    let rig = Rig::new();
    let client = rig.connect("42", 1).await;
    let body = format!(
        r#"{{"user":"42","expire_at":{},"info":{{"n":1}}}}"#,
        UNIX + 100
    );
    assert_eq!(rig.call("refresh", &body).await, DONE);
    let seen = rig.read(&client);
    assert!(
        seen.contains(r#""refresh":{"expires":true,"ttl":100}"#),
        "{seen}"
    );
    let presence = async || {
        rig.call("subscribe", r#"{"channel":"chat:1","user":"42"}"#)
            .await;
        let presence = rig.call("presence", r#"{"channel":"chat:1"}"#).await;
        rig.call("unsubscribe", r#"{"channel":"chat:1","user":"42"}"#)
            .await;
        rig.read(&client);
        presence
    };
    assert!(presence().await.contains(r#""conn_info":{"n":1}"#));

    assert_eq!(
        rig.call("refresh", r#"{"user":"42","info":{"n":2}}"#).await,
        DONE
    );
    let seen = rig.read(&client);
    assert!(seen.contains(r#""refresh":{}"#), "{seen}");
    assert!(
        presence().await.contains(r#""conn_info":{"n":1}"#),
        "only with an expiry"
    );
}

#[actix_web::test]
async fn a_refresh_that_has_run_out_ends_the_session() {
    let rig = Rig::new();
    let past = format!(r#"{{"user":"42","expire_at":{}}}"#, UNIX - 1);
    for (number, body) in [(1, r#"{"user":"42","expired":true}"#), (2, past.as_str())] {
        let client = rig.connect("42", number).await;
        assert_eq!(rig.call("refresh", body).await, DONE, "{body}");
        assert!(
            rig.read(&client)
                .contains(&close(3005, "connection expired")),
            "{body}"
        );
    }
}
