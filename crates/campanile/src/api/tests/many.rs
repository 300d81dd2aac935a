//! Batches and the legacy endpoint: section 3.

use super::{BAD_REQUEST, DONE, NOT_FOUND, Rig, UNKNOWN_CHANNEL};
use crate::api::COMMANDS_MAX;

#[actix_web::test]
async fn a_batch_answers_each_command_under_its_name() {
    let rig = Rig::new();
    let commands = [
        r#"{"publish":{"channel":"chat:1","data":1}}"#,
        r#"{"publish":{"channel":"nope:1","data":1}}"#,
        r#"{"presence":{"channel":"chat:1"}}"#,
        "null",
        "{}",
        r#"{"publish":null}"#,
        r#"{"map_publish":{"channel":"c"}}"#,
        r#"{"unsubscribe":{"user":"42"}}"#,
        r#"{"other":1,"presence_stats":{"channel":"chat:1"}}"#,
        r#"{"history":{"channel":"chat:1"}}"#,
        r#"{"broadcast":{"channels":["c"],"data":1}}"#,
    ];
    let commands = commands.join(",");
    for (parallel, offset) in [("false", 1), ("true", 2)] {
        let body = format!(r#"{{"commands":[{commands}],"parallel":{parallel}}}"#);
        let answer = rig.call("batch", &body).await;
        let epoch = rig.epoch("chat:1").await;
        let replies = [
            &format!(r#"{{"publish":{{"offset":{offset},"epoch":"{epoch}"}}}}"#),
            UNKNOWN_CHANNEL,
            r#"{"presence":{"presence":{}}}"#,
            BAD_REQUEST,
            NOT_FOUND,
            NOT_FOUND,
            NOT_FOUND,
            r#"{"unsubscribe":{}}"#,
            r#"{"presence_stats":{"num_clients":0,"num_users":0}}"#,
            &format!(r#"{{"history":{{"publications":[],"epoch":"{epoch}","offset":{offset}}}}}"#),
            r#"{"broadcast":{"responses":[{"result":{}}]}}"#,
        ];
        let replies = replies.join(",");
        assert_eq!(answer, format!(r#"{{"replies":[{replies}]}}"#));
    }
}

#[actix_web::test]
async fn an_empty_batch_has_no_replies() {
    let rig = Rig::new();
    for body in [
        "{}",
        r#"{"commands":[]}"#,
        r#"{"commands":null,"parallel":null}"#,
    ] {
        assert_eq!(rig.call("batch", body).await, r#"{"replies":[]}"#);
    }
}

#[actix_web::test]
async fn a_malformed_batch_does_nothing_at_all() {
    let rig = Rig::new();
    let good = r#"{"publish":{"channel":"chat:1","data":1}}"#;
    for bad in [
        "1",
        "[]",
        r#"{"publish":1}"#,
        r#"{"publish":{"channel":1}}"#,
        "{",
    ] {
        let body = format!(r#"{{"commands":[{good},{bad}]}}"#);
        let answer = rig.post("/api/batch", &body).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (400, "Bad Request"),
            "{bad}"
        );
    }
    let history = rig.call("history", r#"{"channel":"chat:1"}"#).await;
    assert!(history.ends_with(r#""offset":0}}"#), "{history}");
}

#[actix_web::test]
async fn there_may_be_only_so_many_commands() {
    let rig = Rig::new();
    for (count, status) in [(COMMANDS_MAX, 200), (COMMANDS_MAX + 1, 400)] {
        let body = format!(r#"{{"commands":[{}]}}"#, vec!["{}"; count].join(","));
        assert_eq!(rig.post("/api/batch", &body).await.status, status);
        let body = r#"{"method":99}"#.repeat(count);
        assert_eq!(rig.post("/api", &body).await.status, status);
    }
}

#[actix_web::test]
async fn legacy_commands_are_answered_one_a_line() {
    let rig = Rig::new();
    let publish = r#"{"id":1,"method":"publish","params":{"channel":"chat:1","data":{"a":1}}}"#;
    let info = r#"{"id":2,"method":"PRESENCE_STATS","params":{"channel":"chat:1"}}"#;
    let missing = r#"{"params":{"channel":"c","data":1}}"#;
    let bad = r#"{"id":3,"method":"history","params":{"channel":1}}"#;
    let unknown = r#"{"id":4,"method":39,"params":{}}"#;
    let absent = r#"{"id":5,"method":"channels"}"#;
    for separator in ["\n", "", " \r\n "] {
        rig.call("history_remove", r#"{"channel":"chat:1"}"#).await;
        let body = [publish, info, missing, bad, unknown, absent].join(separator);
        let answer = rig.post("/api", &body).await;
        assert_eq!(
            (answer.status, answer.content_type.as_str()),
            (200, "application/json")
        );
        let lines: Vec<_> = answer.body.split('\n').collect();
        let [published, rest @ ..] = lines.as_slice() else {
            panic!("no replies");
        };
        assert!(
            published.starts_with(r#"{"id":1,"result":{"offset":"#),
            "{published}"
        );
        assert_eq!(
            rest,
            [
                r#"{"id":2,"result":{"num_clients":0,"num_users":0}}"#,
                DONE,
                r#"{"id":3,"error":{"code":107,"message":"bad request"}}"#,
                r#"{"id":4,"error":{"code":104,"message":"not found"}}"#,
                r#"{"id":5,"result":{"channels":{}}}"#,
            ]
        );
    }
}

#[actix_web::test]
async fn legacy_methods_have_numbers() {
    let rig = Rig::new();
    let with_channel = r#"{"channel":"chat:1","user":"42"}"#;
    let epoch = rig.epoch("chat:1").await;
    let empty = format!(r#"{{"publications":[],"epoch":"{epoch}","offset":0}}"#);
    for (number, params, result) in [
        (0, r#"{"channel":"c","data":1}"#, "{}"),
        (
            1,
            r#"{"channels":["c"],"data":1}"#,
            r#"{"responses":[{"result":{}}]}"#,
        ),
        (2, with_channel, "{}"),
        (3, with_channel, "{}"),
        (4, with_channel, r#"{"presence":{}}"#),
        (5, with_channel, r#"{"num_clients":0,"num_users":0}"#),
        (6, with_channel, &empty),
        (7, with_channel, "{}"),
        (8, "{}", r#"{"channels":{}}"#),
        (11, with_channel, "{}"),
        (12, with_channel, "{}"),
    ] {
        let body = format!(r#"{{"method":{number},"params":{params}}}"#);
        let answer = rig.post("/api", &body).await.body;
        assert_eq!(answer, format!(r#"{{"result":{result}}}"#), "{number}");
    }
    let info = rig.post("/api", r#"{"method":9,"params":{}}"#).await.body;
    assert!(
        info.starts_with(r#"{"result":{"nodes":[{"uid":""#),
        "{info}"
    );
    for (number, refusal) in [("10", BAD_REQUEST), ("13", NOT_FOUND), ("-1", NOT_FOUND)] {
        let body = format!(r#"{{"method":{number},"params":{{}}}}"#);
        assert_eq!(rig.post("/api", &body).await.body, refusal, "{number}");
    }
}

#[actix_web::test]
async fn a_legacy_request_that_cannot_be_parsed_does_nothing_at_all() {
    let rig = Rig::new();
    let good = r#"{"method":"publish","params":{"channel":"chat:1","data":1}}"#;
    for bad in [
        r#"{"method":"nope"}"#,
        r#"{"method":"batch"}"#,
        r#"{"method":{}}"#,
        r#"{"method":1.5}"#,
        r#"{"id":"1","method":"info"}"#,
        "{",
        "x",
        "1",
    ] {
        let answer = rig.post("/api", &format!("{good}\n{bad}")).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (400, "Bad Request"),
            "{bad}"
        );
    }
    for empty in ["", " \n "] {
        assert_eq!(rig.post("/api", empty).await.status, 400);
    }
    let history = rig.call("history", r#"{"channel":"chat:1"}"#).await;
    assert!(history.ends_with(r#""offset":0}}"#), "{history}");
}
