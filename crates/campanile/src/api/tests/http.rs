//! Paths, keys, envelopes, error modes and bodies: section 1.

use actix_web::http::header::CONTENT_LENGTH;
use actix_web::test::TestRequest;

use super::{DONE, NOT_FOUND, Rig, UNKNOWN_CHANNEL};
use crate::api::BODY_BYTES_MAX;
use crate::api::call::Method;
use crate::config::{ErrorMode, Secret};

const PUBLISH: &str = r#"{"channel":"c","data":{}}"#;
const UNKNOWN: &str = r#"{"channel":"nope:c","data":{}}"#;

fn guarded(key: &str) -> Rig {
    let mut rig = Rig::new();
    rig.settings.insecure = false;
    rig.settings.key = Secret::new(key);
    rig
}

type Headers<'a> = &'a [(&'a str, &'a str)];

fn publish(path: &str, headers: Headers<'_>) -> TestRequest {
    let request = TestRequest::post().uri(path).set_payload(PUBLISH);
    headers.iter().fold(request, |request, header| {
        request.insert_header((header.0, header.1))
    })
}

#[actix_web::test]
async fn the_key_is_taken_from_where_the_reference_says() {
    let rig = guarded("secret");
    let cases: &[(u16, &str, Headers<'_>)] = &[
        (200, "", &[("X-API-Key", "secret")]),
        (200, "", &[("Authorization", "apikey secret")]),
        (200, "", &[("Authorization", "ApiKey secret")]),
        (200, "?api_key=secret", &[]),
        (200, "?a=b&api_key=secret", &[]),
        (200, "?api_key=s%65cret", &[]),
        (200, "?api_key=secret", &[("X-API-Key", "wrong")]),
        (200, "?api_key=secret", &[("Authorization", "apikey wrong")]),
        (401, "", &[]),
        (401, "", &[("X-API-Key", "wrong")]),
        (401, "", &[("X-API-Key", "secre")]),
        (401, "", &[("X-API-Key", "secret2")]),
        (401, "", &[("X-API-Key", "")]),
        (
            401,
            "",
            &[("X-API-Key", "wrong"), ("Authorization", "apikey secret")],
        ),
        (401, "", &[("Authorization", "secret")]),
        (401, "", &[("Authorization", "Bearer secret")]),
        (401, "", &[("Authorization", "apikey secret more")]),
        (401, "?api_key=wrong", &[]),
        (401, "?api_key=", &[]),
        (401, "?API_KEY=secret", &[]),
    ];
    for (status, query, headers) in cases {
        let answer = rig
            .send(publish(&format!("/api/publish{query}"), headers))
            .await;
        assert_eq!(answer.status, *status, "{query} {headers:?}");
        assert_eq!(answer.body, if *status == 200 { DONE } else { "" });
    }
}

#[actix_web::test]
async fn every_endpoint_wants_the_key_before_it_looks_at_the_body() {
    let rig = guarded("secret");
    let methods = Method::ALL.map(|method| format!("/api/{}", method.name()));
    for path in methods
        .into_iter()
        .chain(["/api".into(), "/api/batch".into()])
    {
        let answer = rig.post(&path, "no JSON").await;
        assert_eq!((answer.status, answer.body.as_str()), (401, ""), "{path}");
    }
}

#[actix_web::test]
async fn without_a_configured_key_nobody_is_let_in() {
    let rig = guarded("");
    for headers in [
        &[][..],
        &[("X-API-Key", "")],
        &[("Authorization", "apikey ")],
    ] {
        assert_eq!(rig.send(publish("/api/publish", headers)).await.status, 401);
    }
    assert_eq!(
        rig.send(publish("/api/publish?api_key=", &[])).await.status,
        401
    );
}

#[actix_web::test]
async fn an_insecure_api_asks_for_no_key() {
    let mut rig = guarded("secret");
    rig.settings.insecure = true;
    let wrong = publish("/api/publish", &[("X-API-Key", "wrong")]);
    assert_eq!(rig.send(wrong).await.status, 200);
}

#[actix_web::test]
async fn only_post_is_served() {
    let rig = Rig::new();
    for path in ["/api", "/api/publish", "/api/batch", "/api/info"] {
        let answer = rig.send(TestRequest::get().uri(path)).await;
        assert_eq!(answer.status, 405, "{path}");
    }
}

#[actix_web::test]
async fn methods_that_are_not_served_are_not_found() {
    let rig = Rig::new();
    for method in [
        "nope",
        "map_publish",
        "shared_poll_publish",
        "connections",
        "publish/",
    ] {
        let answer = rig.post(&format!("/api/{method}"), "{}").await;
        assert_eq!(answer.status, 404, "{method}");
    }
}

#[actix_web::test]
async fn the_prefix_is_configured() {
    let mut rig = Rig::new();
    for (prefix, publish, legacy) in [("/a/b", "/a/b/publish", "/a/b"), ("/", "/publish", "/")] {
        rig.settings.handler_prefix = prefix.into();
        assert_eq!(rig.post(publish, PUBLISH).await.body, DONE);
        assert_eq!(rig.post(legacy, r#"{"method":"info"}"#).await.status, 200);
        assert_eq!(rig.post("/api/publish", PUBLISH).await.status, 404);
    }
}

#[actix_web::test]
async fn a_disabled_api_is_not_there() {
    let mut rig = Rig::new();
    rig.settings.disabled = true;
    assert_eq!(rig.post("/api/publish", PUBLISH).await.status, 404);
}

#[actix_web::test]
async fn what_is_not_the_json_of_the_method_is_a_plain_bad_request() {
    let rig = Rig::new();
    for (method, body) in [
        ("publish", ""),
        ("publish", "no JSON"),
        ("publish", "{"),
        ("publish", "null"),
        ("publish", r#"["c",[],{}]"#),
        ("publish", r#"{"channel":1,"data":{}}"#),
        ("publish", r#"{"channel":"c","data":{}} x"#),
        ("publish", r#"{"channel":"c","data":{]}"#),
        ("publish", r#"{"channel":"c","version":"1"}"#),
        ("publish", r#"{"channel":"c","version":-1}"#),
        ("publish", r#"{"channel":"c","delta":1}"#),
        ("publish", r#"{"channel":"c","tags":{"a":1}}"#),
        ("broadcast", r#"{"channels":"c"}"#),
        ("history", r#"{"channel":"chat:c","limit":2147483648}"#),
        ("refresh", r#"{"expired":"yes"}"#),
        ("info", ""),
        ("info", "[]"),
        ("presence", r#"["chat:1"]"#),
    ] {
        let answer = rig.post(&format!("/api/{method}"), body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.body, "Bad Request");
        assert!(answer.content_type.starts_with("text/plain"));
    }
}

#[actix_web::test]
async fn fields_that_are_unknown_or_null_are_passed_over() {
    let rig = Rig::new();
    let body = r#" {"channel":"c","data":{},"tags":null,"version":null,"new":[1]} "#;
    assert_eq!(rig.call("publish", body).await, DONE);
}

#[actix_web::test]
async fn a_long_body_is_too_large_whether_it_says_so_or_not() {
    let rig = Rig::new();
    let fits = format!("{PUBLISH}{}", " ".repeat(BODY_BYTES_MAX - PUBLISH.len()));
    assert_eq!(rig.post("/api/publish", &fits).await.status, 200);
    let long = TestRequest::post().uri("/api/publish");
    let long = long.set_payload(format!("{fits} "));
    let long = rig.send(long.insert_header((CONTENT_LENGTH, 1))).await;
    assert_eq!(
        (long.status, long.body.as_str()),
        (413, "Payload Too Large")
    );
    let announced = publish("/api/publish", &[]);
    let announced = announced.insert_header((CONTENT_LENGTH, BODY_BYTES_MAX + 1));
    assert_eq!(rig.send(announced).await.status, 413);
}

#[actix_web::test]
async fn errors_are_statuses_where_the_server_or_the_request_wants_that() {
    let mut rig = Rig::new();
    let transport = ("X-Centrifugo-Error-Mode", "transport");
    let ask = |path: &str, body: &'static str| {
        let request = TestRequest::post().uri(path).set_payload(body);
        request.insert_header(transport)
    };
    for (path, body, status, told) in [
        (
            "/api/publish",
            UNKNOWN,
            404,
            r#"{"code":102,"message":"unknown channel"}"#,
        ),
        (
            "/api/publish",
            "{}",
            400,
            r#"{"code":107,"message":"bad request"}"#,
        ),
        (
            "/api/presence",
            r#"{"channel":"c"}"#,
            400,
            r#"{"code":108,"message":"not available"}"#,
        ),
        (
            "/api/rpc",
            r#"{"method":"m"}"#,
            404,
            r#"{"code":104,"message":"not found"}"#,
        ),
        (
            "/api/channels",
            r#"{"pattern":"["}"#,
            500,
            r#"{"code":100,"message":"internal server error"}"#,
        ),
        (
            "/api/history",
            r#"{"channel":"chat:c","since":{"offset":1,"epoch":"x"}}"#,
            416,
            r#"{"code":112,"message":"unrecoverable position"}"#,
        ),
    ] {
        let answer = rig.send(ask(path, body)).await;
        assert_eq!((answer.status, answer.body.as_str()), (status, told));
        assert_eq!(answer.content_type, "application/json");
    }
    assert_eq!(rig.send(ask("/api/publish", PUBLISH)).await.body, DONE);
    let elsewhere = TestRequest::post().uri("/api/publish").set_payload(UNKNOWN);
    let elsewhere = elsewhere.insert_header((transport.0, "other"));
    assert_eq!(rig.send(elsewhere).await.body, UNKNOWN_CHANNEL);

    rig.settings.error_mode = ErrorMode::Transport;
    assert_eq!(rig.post("/api/publish", UNKNOWN).await.status, 404);
    assert_eq!(rig.call("publish", PUBLISH).await, DONE);
}

#[actix_web::test]
async fn batches_and_the_legacy_endpoint_keep_their_own_way_of_telling_errors() {
    let mut rig = Rig::new();
    rig.settings.error_mode = ErrorMode::Transport;
    let batch = rig
        .call("batch", r#"{"commands":[{"rpc":{"method":"m"}}]}"#)
        .await;
    assert_eq!(batch, format!(r#"{{"replies":[{NOT_FOUND}]}}"#));
    let legacy = rig
        .post("/api", r#"{"method":"rpc","params":{"method":"m"}}"#)
        .await;
    assert_eq!((legacy.status, legacy.body.as_str()), (200, NOT_FOUND));
}
