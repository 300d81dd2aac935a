//! `presence`, `presence_stats`, `history`, `history_remove`, `channels` and `info`.

use std::time::Duration;

use super::{BAD_REQUEST, DONE, INTERNAL, NOT_AVAILABLE, Rig, UNKNOWN_CHANNEL};

#[actix_web::test]
async fn presence_is_a_map_by_client() {
    let rig = Rig::new();
    let empty = rig.call("presence", r#"{"channel":"chat:1"}"#).await;
    assert_eq!(empty, r#"{"result":{"presence":{}}}"#);
    let client = rig.connect("42", 1).await;
    rig.call(
        "subscribe",
        r#"{"channel":"chat:1","user":"42","b64info":"/w=="}"#,
    )
    .await;
    let id = client.id;
    assert_eq!(
        rig.call("presence", r#"{"channel":"chat:1"}"#).await,
        format!(
            r#"{{"result":{{"presence":{{"{id}":{{"user":"42","client":"{id}","conn_info":{{"name":"x"}},"b64chan_info":"/w=="}}}}}}}}"#
        )
    );
    rig.connect("42", 2).await;
    rig.call("subscribe", r#"{"channel":"chat:1","user":"42"}"#)
        .await;
    assert_eq!(
        rig.call("presence_stats", r#"{"channel":"chat:1"}"#).await,
        r#"{"result":{"num_clients":2,"num_users":1}}"#
    );
}

#[actix_web::test]
async fn channels_that_keep_nothing_are_asked_in_vain() {
    let rig = Rig::new();
    for method in ["presence", "presence_stats", "history", "history_remove"] {
        for (body, refusal) in [
            ("{}", BAD_REQUEST),
            (r#"{"channel":""}"#, BAD_REQUEST),
            (r#"{"channel":"nope:1"}"#, UNKNOWN_CHANNEL),
            (r#"{"channel":"c"}"#, NOT_AVAILABLE),
        ] {
            assert_eq!(rig.call(method, body).await, refusal, "{method} {body}");
        }
    }
}

/// The result of a history call with the publications of these offsets.
fn page(offsets: &[u64], top: u64, epoch: &str) -> String {
    let publications: Vec<_> = offsets
        .iter()
        .map(|offset| format!(r#"{{"data":{{"n":{offset}}},"offset":{offset}}}"#))
        .collect();
    let publications = publications.join(",");
    format!(r#"{{"result":{{"publications":[{publications}],"epoch":"{epoch}","offset":{top}}}}}"#)
}

#[actix_web::test]
async fn history_is_read_from_either_end() {
    let rig = Rig::new();
    for n in 1..=4 {
        let body = format!(r#"{{"channel":"chat:1","data":{{"n":{n}}}}}"#);
        rig.call("publish", &body).await;
    }
    let epoch = rig.epoch("chat:1").await;
    for (query, offsets) in [
        (r#""limit":0"#, &[][..]),
        (r#""limit":null"#, &[]),
        (r#""limit":-1"#, &[1, 2, 3, 4]),
        (r#""limit":2"#, &[1, 2]),
        (r#""limit":2,"reverse":true"#, &[4, 3]),
        (r#""limit":-1,"since":{"offset":2}"#, &[3, 4]),
        (r#""limit":1,"since":{"offset":2,"epoch":"EPOCH"}"#, &[3]),
        (
            r#""limit":-1,"since":{"offset":3,"epoch":"EPOCH"},"reverse":true"#,
            &[2, 1],
        ),
        (r#""limit":-1,"since":{}"#, &[1, 2, 3, 4]),
    ] {
        let body = format!(r#"{{"channel":"chat:1",{query}}}"#).replace("EPOCH", &epoch);
        assert_eq!(
            rig.call("history", &body).await,
            page(offsets, 4, &epoch),
            "{query}"
        );
    }
    let default = rig.call("history", r#"{"channel":"chat:1"}"#).await;
    assert_eq!(default, page(&[], 4, &epoch));

    assert_eq!(
        rig.call("history_remove", r#"{"channel":"chat:1"}"#).await,
        DONE
    );
    let all = rig
        .call("history", r#"{"channel":"chat:1","limit":-1}"#)
        .await;
    assert_eq!(all, page(&[], 4, &epoch), "the position stays");
}

#[actix_web::test]
async fn history_is_refused_as_the_reference_says() {
    let rig = Rig::new();
    rig.call("publish", r#"{"channel":"chat:1","data":1}"#)
        .await;
    let unrecoverable = r#"{"error":{"code":112,"message":"unrecoverable position"}}"#;
    for (query, refusal) in [
        (r#""since":{"offset":1,"epoch":"other"}"#, unrecoverable),
        (r#""since":{"offset":0},"reverse":true"#, INTERNAL),
        (r#""since":{},"reverse":true"#, INTERNAL),
        (r#""limit":-2"#, BAD_REQUEST),
    ] {
        let body = format!(r#"{{"channel":"chat:1",{query}}}"#);
        assert_eq!(rig.call("history", &body).await, refusal, "{query}");
    }
}

#[actix_web::test]
async fn payloads_in_a_history_are_embedded_or_encoded() {
    let rig = Rig::new();
    for content in [
        "\"data\":{\"a\":\n\"\\n\"\r}",
        r#""b64data":"/w==""#,
        r#""data":null,"tags":{"k":"v"}"#,
    ] {
        rig.call("publish", &format!(r#"{{"channel":"chat:1",{content}}}"#))
            .await;
    }
    let epoch = rig.epoch("chat:1").await;
    let publications = [
        r#"{"data":{"a":"\n"},"offset":1}"#,
        r#"{"b64data":"/w==","offset":2}"#,
        r#"{"data":null,"offset":3,"tags":{"k":"v"}}"#,
    ];
    let publications = publications.join(",");
    assert_eq!(
        rig.call("history", r#"{"channel":"chat:1","limit":-1}"#)
            .await,
        format!(r#"{{"result":{{"publications":[{publications}],"epoch":"{epoch}","offset":3}}}}"#)
    );
}

#[actix_web::test]
async fn channels_with_subscribers_are_listed_by_pattern() {
    let rig = Rig::new();
    let none = rig.call("channels", "{}").await;
    assert_eq!(none, r#"{"result":{"channels":{}}}"#);
    rig.connect("42", 1).await;
    rig.connect("42", 2).await;
    for channel in ["chat:1", "b"] {
        rig.call(
            "subscribe",
            &format!(r#"{{"channel":"{channel}","user":"42"}}"#),
        )
        .await;
    }
    let both = r#"{"result":{"channels":{"b":{"num_clients":2},"chat:1":{"num_clients":2}}}}"#;
    let one = r#"{"result":{"channels":{"chat:1":{"num_clients":2}}}}"#;
    for (body, told) in [
        ("{}", both),
        (r#"{"pattern":""}"#, both),
        (r#"{"pattern":"*"}"#, both),
        (r#"{"pattern":"chat:*"}"#, one),
        (r#"{"pattern":"chat:[0-9]"}"#, one),
        (r#"{"pattern":"x*"}"#, none.as_str()),
        (r#"{"pattern":"["}"#, INTERNAL),
    ] {
        assert_eq!(rig.call("channels", body).await, told, "{body}");
    }
}

#[actix_web::test]
async fn the_node_tells_what_it_is_and_what_is_in_it() {
    let rig = Rig::new();
    let id = rig.node.id().to_owned();
    assert_eq!(
        rig.call("info", "{}").await,
        format!(
            r#"{{"result":{{"nodes":[{{"uid":"{id}","name":"here_8000","version":"1.2.3","num_clients":0,"num_users":0,"num_channels":0,"num_subs":0}}]}}}}"#
        )
    );
    rig.connect("42", 1).await;
    rig.connect("42", 2).await;
    for channel in ["a", "b"] {
        rig.call(
            "subscribe",
            &format!(r#"{{"channel":"{channel}","user":"42"}}"#),
        )
        .await;
    }
    rig.wait(Duration::from_secs(61));
    assert_eq!(
        rig.call("info", "{}").await,
        format!(
            r#"{{"result":{{"nodes":[{{"uid":"{id}","name":"here_8000","version":"1.2.3","num_clients":2,"num_users":1,"num_channels":2,"uptime":61,"num_subs":4}}]}}}}"#
        )
    );
}
