//! `publish`, `broadcast` and `rpc`.

use campanile_engine::limits::BROADCAST_CHANNELS_MAX;

use super::{BAD_REQUEST, DONE, NOT_FOUND, Rig, UNKNOWN_CHANNEL};

fn published(offset: u64, epoch: &str) -> String {
    format!(r#"{{"result":{{"offset":{offset},"epoch":"{epoch}"}}}}"#)
}

#[actix_web::test]
async fn a_publish_answers_its_place_in_the_stream() {
    let rig = Rig::new();
    let body = r#"{"channel":"chat:1","data":{"a":1}}"#;
    let first = rig.call("publish", body).await;
    let epoch = rig.epoch("chat:1").await;
    assert!(!epoch.is_empty());
    assert_eq!(first, published(1, &epoch));
    assert_eq!(rig.call("publish", body).await, published(2, &epoch));
}

#[actix_web::test]
async fn a_publish_without_history_answers_no_place() {
    let rig = Rig::new();
    assert_eq!(
        rig.call("publish", r#"{"channel":"c","data":1}"#).await,
        DONE
    );
    let skipping = r#"{"channel":"chat:1","data":1,"skip_history":true}"#;
    assert_eq!(rig.call("publish", skipping).await, DONE);
}

#[actix_web::test]
async fn a_publish_is_refused_as_the_reference_says() {
    let rig = Rig::new();
    for (body, refusal) in [
        ("{}", BAD_REQUEST),
        (r#"{"channel":"","data":1}"#, BAD_REQUEST),
        (r#"{"channel":"c"}"#, BAD_REQUEST),
        (r#"{"channel":"c","b64data":"?"}"#, BAD_REQUEST),
        (r#"{"channel":"c","data":1,"b64data":"YQ"}"#, BAD_REQUEST),
        (r#"{"channel":"nope:c","data":1}"#, UNKNOWN_CHANNEL),
        (r#"{"channel":"c","data":null}"#, DONE),
    ] {
        assert_eq!(rig.call("publish", body).await, refusal, "{body}");
    }
}

#[actix_web::test]
async fn payloads_arrive_byte_for_byte() {
    let rig = Rig::new();
    let client = rig.connect("42", 1).await;
    rig.call("subscribe", r#"{"channel":"c","user":"42"}"#)
        .await;
    rig.read(&client);
    rig.call(
        "publish",
        r#"{"channel":"c","data": {"b": 1.50, "a":"\u00e9"} }"#,
    )
    .await;
    let seen = rig.read(&client);
    assert!(
        seen.contains(r#""data":{"b": 1.50, "a":"\u00e9"}"#),
        "{seen}"
    );
    // The base64 of `[7]`, which wins.
    let both = r#"{"channel":"c","data":1,"b64data":"Wzdd","tags":{"k":"v"}}"#;
    rig.call("publish", both).await;
    let seen = rig.read(&client);
    assert!(
        seen.contains(r#""data":[7]"#) && seen.contains(r#""tags":{"k":"v"}"#),
        "{seen}"
    );
    rig.call("publish", r#"{"channel":"c","data":null}"#).await;
    let seen = rig.read(&client);
    assert!(seen.contains(r#""data":null"#), "{seen}");
}

#[actix_web::test]
async fn an_idempotency_key_makes_a_repeat_answer_the_first_place() {
    let rig = Rig::new();
    let body = r#"{"channel":"chat:1","data":1,"idempotency_key":"k"}"#;
    let first = rig.call("publish", body).await;
    rig.call("publish", r#"{"channel":"chat:1","data":2}"#)
        .await;
    assert_eq!(rig.call("publish", body).await, first);
    let long = "k".repeat(1025);
    let long = format!(r#"{{"channel":"c","data":1,"idempotency_key":"{long}"}}"#);
    assert_eq!(rig.call("publish", &long).await, BAD_REQUEST);
}

#[actix_web::test]
async fn an_old_version_is_skipped_and_answers_the_top() {
    let rig = Rig::new();
    let publish = async |version: u64, epoch: &str| {
        let body = format!(
            r#"{{"channel":"chat:1","data":1,"version":{version},"version_epoch":"{epoch}"}}"#
        );
        rig.call("publish", &body).await
    };
    let first = publish(18_446_744_073_709_551_615, "a").await;
    let epoch = rig.epoch("chat:1").await;
    assert_eq!(first, published(1, &epoch));
    assert_eq!(publish(5, "a").await, published(1, &epoch));
    assert_eq!(publish(5, "b").await, published(2, &epoch));
    assert_eq!(
        publish(0, "b").await,
        published(3, &epoch),
        "0 is no version"
    );
}

#[actix_web::test]
async fn a_broadcast_answers_for_each_channel_in_order() {
    let rig = Rig::new();
    let body = r#"{"channels":["chat:1","","nope:1","c"],"data":1}"#;
    let answer = rig.call("broadcast", body).await;
    let place = published(1, &rig.epoch("chat:1").await);
    let responses = [&place, BAD_REQUEST, UNKNOWN_CHANNEL, DONE].join(",");
    assert_eq!(
        answer,
        format!(r#"{{"result":{{"responses":[{responses}]}}}}"#)
    );
}

#[actix_web::test]
async fn a_broadcast_publishes_once_per_channel() {
    let rig = Rig::new();
    let channels: Vec<_> = (0..3000).map(|n| format!(r#""chat:{n}""#)).collect();
    let channels = channels.join(",");
    let body = format!(r#"{{"channels":[{channels}],"data":1,"idempotency_key":"k"}}"#);
    let answer = rig.call("broadcast", &body).await;
    assert_eq!(answer.matches(r#""offset":1,"#).count(), 3000);
    assert_eq!(
        rig.call("broadcast", &body).await,
        answer,
        "the key holds per channel"
    );
}

#[actix_web::test]
async fn a_broadcast_without_channels_or_with_too_many_is_refused() {
    let rig = Rig::new();
    for body in [r#"{"data":1}"#, r#"{"channels":[],"data":1}"#] {
        assert_eq!(rig.call("broadcast", body).await, BAD_REQUEST, "{body}");
    }
    let bad = r#"{"channels":["c"],"b64data":"?"}"#;
    assert_eq!(rig.call("broadcast", bad).await, BAD_REQUEST);
    let channels = vec![r#""c""#; BROADCAST_CHANNELS_MAX + 1].join(",");
    let body = format!(r#"{{"channels":[{channels}],"data":1}}"#);
    assert_eq!(rig.call("broadcast", &body).await, BAD_REQUEST);
}

#[actix_web::test]
async fn there_are_no_rpc_methods() {
    let rig = Rig::new();
    assert_eq!(rig.call("rpc", "{}").await, BAD_REQUEST);
    assert_eq!(rig.call("rpc", r#"{"method":""}"#).await, BAD_REQUEST);
    assert_eq!(
        rig.call("rpc", r#"{"method":"m","params":{}}"#).await,
        NOT_FOUND
    );
}
