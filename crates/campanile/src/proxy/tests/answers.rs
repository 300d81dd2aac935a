//! What the answers of backends mean.

use std::time::{SystemTime, UNIX_EPOCH};

use campanile_engine::authority::Overrides;
use campanile_engine::broker::Version;
use campanile_protocol::codes::Rejection;
use campanile_protocol::{Disconnect, Refusal};
use serde_json::{Value, json};

use super::*;

fn json_payload(json: &str) -> Option<Payload> {
    Some(json.as_bytes().into())
}

fn later() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() + 600
}

/// What a connect is answered when the backend says this.
async fn connected(backend: &Backend, rig: &Rig, answer: &Value) -> Decision<Credentials> {
    backend.answer(200, answer.to_string());
    rig.connect(&ConnectRequest::default()).await
}

fn allowed<T>(decision: Decision<T>) -> T {
    match decision {
        Ok(Verdict::Allowed(allowed)) => allowed,
        Ok(Verdict::AsConfigured) => panic!("left to the configuration"),
        Err(rejection) => panic!("{rejection:?}"),
    }
}

#[tokio::test]
async fn connect_takes_over_everything_that_is_said_about_the_client() {
    let backend = Backend::start();
    let rig = Rig::asking(&backend);
    let answer = r#"{"result": {
        "user": "56", "expire_at": 99, "info": {"a": 1.0}, "b64data": "/wA=", "data": 1,
        "meta": { "m": null }, "caps": [], "labels": {"x": "y"},
        "channels": ["news", "chat:1"],
        "subs": {"chat:1": {
            "cache_recover": true, "info": 1, "b64info": "", "data": 1, "b64data": "AA==", "expire_at": 5,
            "override": {"presence": {"value": true}, "force_recovery": {}, "join_leave": null}
        }}
    }}"#;
    backend.answer(200, answer);
    let credentials = allowed(rig.connect(&ConnectRequest::default()).await);
    let grant = Grant {
        info: json_payload("1"),
        data: Some(Box::from([0])),
        recovers_cache: true,
        expire_at: None,
        overrides: Overrides {
            presence: Some(true),
            force_recovery: Some(false),
            ..Overrides::default()
        },
    };
    let expected = Credentials {
        user: UserId::new("56"),
        expire_at: Some(99),
        info: json_payload(r#"{"a": 1.0}"#),
        meta: json_payload(r#"{ "m": null }"#),
        data: Some(Box::from([0xff, 0])),
        subscriptions: vec![("chat:1".into(), grant), ("news".into(), Grant::default())],
        considers_wishes: false,
    };
    assert_eq!(credentials, expected);
}

#[tokio::test]
async fn an_empty_result_connects_an_anonymous_user_for_ever() {
    let backend = Backend::start();
    let rig = Rig::asking(&backend);
    let nulls = json!({"result": {
        "user": null, "expire_at": 0, "info": null, "b64info": null, "data": null,
        "channels": null, "subs": null, "meta": null, "b64data": "",
    }, "error": null, "disconnect": null});
    for answer in [json!({"result": {}}), nulls] {
        let credentials = allowed(connected(&backend, &rig, &answer).await);
        assert!(credentials.user.is_anonymous() && credentials.expire_at.is_none());
        assert!(credentials.info.is_none() && credentials.meta.is_none());
        assert!(credentials.data.is_none() && credentials.subscriptions.is_empty());
    }
}

#[tokio::test]
async fn connect_without_a_result_is_left_to_the_configuration() {
    let backend = Backend::start();
    let rig = Rig::asking(&backend);
    for answer in [json!({}), json!({"result": null})] {
        let decision = connected(&backend, &rig, &answer).await;
        assert_eq!(decision, Ok(Verdict::AsConfigured));
    }
}

#[tokio::test]
async fn a_channel_of_an_unknown_namespace_is_error_102() {
    let backend = Backend::start();
    let rig = Rig::asking(&backend);
    let unknown = (102, "unknown channel".to_owned(), false);
    for channels in [
        json!({"channels": ["news", "x:1"]}),
        json!({"subs": {"x:1": {}}}),
    ] {
        let decision = connected(&backend, &rig, &json!({"result": channels})).await;
        assert_eq!(refusal(decision), unknown);
    }
}

#[tokio::test]
async fn a_channel_with_too_long_a_name_is_error_107() {
    let backend = Backend::start();
    let rig = Rig::asking(&backend);
    let longest = "x".repeat(255);
    let channels = json!({"result": {"channels": [longest]}});
    assert!(connected(&backend, &rig, &channels).await.is_ok());
    for channels in [
        json!({"channels": ["news", longest.clone() + "x"]}),
        json!({"subs": {longest.clone() + "x": {}}}),
    ] {
        let decision = connected(&backend, &rig, &json!({"result": channels})).await;
        assert_eq!(refusal(decision), (107, "bad request".to_owned(), false));
    }
}

#[tokio::test]
async fn a_no_of_the_application_reaches_the_client() {
    let backend = Backend::start();
    let rig = Rig::asking(&backend);
    let error = json!({"error": {"code": 1000, "message": "no", "temporary": true}});
    let said = (1000, "no".to_owned(), true);
    assert_eq!(refusal(connected(&backend, &rig, &error).await), said);
    assert_eq!(refusal(rig.subscribe("news", "").await), said);
    assert_eq!(refusal(rig.rpc("add", "").await), said);
    let published = rig.application.publish(&caller(), "news", b"1").await;
    assert_eq!(refusal(published), said);
    let both = json!({
        "result": {}, "error": {"code": 400, "message": "no"},
        "disconnect": {"code": 4500, "reason": "go"},
    });
    let decision = connected(&backend, &rig, &both).await;
    assert_eq!(disconnect(decision), (4500, "go".into()), "it comes first");
}

#[tokio::test]
async fn what_has_no_words_gets_some() {
    let backend = Backend::start();
    let rig = Rig::asking(&backend);
    let words = "refused by the application";
    for error in [json!({"code": 1999}), json!({"code": 1999, "message": ""})] {
        let decision = connected(&backend, &rig, &json!({ "error": error })).await;
        assert_eq!(refusal(decision), (1999, words.into(), false));
    }
    for end in [json!({"code": 4000}), json!({"code": 4000, "reason": ""})] {
        let decision = connected(&backend, &rig, &json!({ "disconnect": end })).await;
        assert_eq!(disconnect(decision), (4000, words.into()));
    }
}

#[tokio::test]
async fn codes_that_are_not_for_applications_are_failures() {
    let backend = Backend::start();
    let rig = Rig::asking(&backend);
    for code in [-1, 0, 99, 103, 109, 399, 2000, i64::MAX] {
        let answer = json!({"error": {"code": code, "message": "no"}});
        assert_eq!(
            refusal(connected(&backend, &rig, &answer).await),
            internal()
        );
    }
    for code in [-1, 0, 1000, 3000, 3999, 5000, 70_000] {
        let answer = json!({"disconnect": {"code": code, "reason": "go"}});
        assert_eq!(
            refusal(connected(&backend, &rig, &answer).await),
            internal()
        );
    }
}

#[tokio::test]
async fn subscribe_takes_over_the_grant() {
    let backend = Backend::start();
    let rig = Rig::asking(&backend);
    for answer in ["{}", r#"{"result":{}}"#, r#"{"result":null}"#] {
        backend.answer(200, answer);
        assert_eq!(allowed(rig.subscribe("news", "").await), Grant::default());
    }
    let answer = json!({"result": {
        "expire_at": 99, "info": {"a": 1}, "b64data": "/wA=", "allow": ["x"],
        "override": {
            "presence": {"value": true}, "join_leave": {"value": true},
            "force_recovery": {"value": true}, "force_positioning": {"value": false},
            "force_push_join_leave": {"value": false},
        },
    }});
    backend.answer(200, answer.to_string());
    let expected = Grant {
        info: json_payload(r#"{"a":1}"#),
        data: Some(Box::from([0xff, 0])),
        recovers_cache: false,
        expire_at: Some(99),
        overrides: Overrides {
            presence: Some(true),
            join_leave: Some(true),
            force_push_join_leave: Some(false),
            force_positioning: Some(false),
            force_recovery: Some(true),
        },
    };
    assert_eq!(allowed(rig.subscribe("chat:1", "").await), expected);
}

#[tokio::test]
async fn publish_is_revised() {
    let backend = Backend::start();
    let rig = Rig::asking(&backend);
    let caller = caller();
    let publish = || rig.application.publish(&caller, "news", b"1");
    for answer in [
        "{}",
        r#"{"result":{}}"#,
        r#"{"result":{"data":null,"tags":{}}}"#,
    ] {
        backend.answer(200, answer);
        assert_eq!(allowed(publish().await), Revision::default(), "{answer}");
    }
    let answer = json!({"result": {
        "data": {"a": 1}, "b64data": "/wA=", "skip_history": true, "tags": {"t": "v"},
        "idempotency_key": "k", "delta": true, "version": 7, "version_epoch": "e",
    }});
    backend.answer(200, answer.to_string());
    let expected = Revision {
        data: json_payload(r#"{"a":1}"#),
        tags: Some(Box::new([("t".to_owned(), "v".to_owned())].into())),
        skips_history: true,
        idempotency_key: Some("k".into()),
        version: Some(Version {
            number: 7,
            epoch: "e".into(),
        }),
        wants_delta: true,
    };
    assert_eq!(allowed(publish().await), expected, "here JSON wins");
    backend.answer(200, r#"{"result":{"b64data":"/wA=","version":0}}"#);
    let revision = allowed(publish().await);
    assert_eq!(
        (revision.data, revision.version),
        (Some(Box::from([0xff, 0])), None)
    );
}

#[tokio::test]
async fn rpc_returns_what_the_backend_says() {
    let backend = Backend::start();
    let rig = Rig::asking(&backend);
    for (answer, expected) in [
        (r#"{"result":{"data":{"x": 2 }}}"#, &br#"{"x": 2 }"#[..]),
        (r#"{"result":{"data":1,"b64data":"/wA="}}"#, b"\xff\x00"),
        (r#"{"result":{}}"#, b""),
        ("{}", b""),
    ] {
        backend.answer(200, answer);
        assert_eq!(&*allowed(rig.rpc("add", "").await), expected);
    }
}

#[tokio::test]
async fn methods_are_found_by_their_namespace() {
    let backend = Backend::start();
    let rig = Rig::asking(&backend);
    assert!(allowed(rig.rpc("ping", "{}").await).is_empty());
    assert_eq!(
        rig.rpc("closed:x", "").await,
        Ok(Verdict::AsConfigured),
        "108"
    );
    let not_found = (104, "method not found".to_owned(), false);
    assert_eq!(refusal(rig.rpc("other:x", "").await), not_found);
    assert!(backend.asked().is_empty());
    for method in ["math:add:2", "add", ":add", ""] {
        assert!(rig.rpc(method, "").await.is_ok());
    }
    assert_eq!(backend.asked().len(), 4);
}

#[tokio::test]
async fn a_server_that_answers_pings_alone_knows_no_other_method() {
    let proxies = Proxies {
        rpc: RpcProxies {
            ping: Some("ping".into()),
            ..RpcProxies::default()
        },
        ..Proxies::default()
    };
    let rig = Rig::of(&proxies).unwrap();
    assert_eq!(rig.application.interests(), Interests::RPC);
    assert!(allowed(rig.rpc("ping", "").await).is_empty());
    assert_eq!(refusal(rig.rpc("add", "").await).0, 104);
}

#[tokio::test]
async fn renewals_last_until_the_time_that_is_named() {
    let backend = Backend::start();
    let rig = Rig::asking(&backend);
    let at = later();
    let answer = json!({"result": {"expire_at": at, "info": {"a": 1}, "meta": {"m": 2}}});
    backend.answer(200, answer.to_string());
    let expected = Renewal {
        expire_at: Some(at),
        info: json_payload(r#"{"a":1}"#),
        meta: json_payload(r#"{"m":2}"#),
    };
    assert_eq!(rig.refresh().await, Ok(expected));
    let answer = json!({"result": {"expire_at": at, "info": 1, "b64info": "/wA="}});
    backend.answer(200, answer.to_string());
    let expected = Renewal {
        expire_at: Some(at),
        info: Some(Box::from([0xff, 0])),
        meta: None,
    };
    assert_eq!(rig.sub_refresh("chat:1").await, Ok(expected));
}

#[tokio::test]
async fn whatever_else_is_said_about_a_renewal_is_the_end() {
    let backend = Backend::start();
    let rig = Rig::asking(&backend);
    let at = later();
    for answer in [
        json!({}),
        json!({"result": null}),
        json!({"result": {}}),
        json!({"result": {"expired": true, "expire_at": at}}),
        json!({"result": {"expire_at": 0}}),
        json!({"result": {"expire_at": at - 1200}}),
        json!({"error": {"code": 1000, "message": "no"}}),
        json!({"error": {"code": 1}}),
        json!({"disconnect": {"code": 4000, "reason": "go"}}),
    ] {
        backend.answer(200, answer.to_string());
        assert_eq!(rig.refresh().await, Err(Lapse::Ended), "{answer}");
        assert_eq!(rig.sub_refresh("news").await, Err(Lapse::Ended), "{answer}");
    }
}

#[tokio::test]
async fn where_nothing_is_configured_nobody_is_asked() {
    let backend = Backend::start();
    let rig = Rig::asking(&backend);
    for channel in ["quiet:1", "unknown:1", ""] {
        let granted = rig.subscribe(channel, "x").await;
        assert_eq!(granted, Ok(Verdict::AsConfigured));
        let published = rig.application.publish(&caller(), channel, b"x").await;
        assert_eq!(published, Ok(Verdict::AsConfigured));
        assert_eq!(rig.sub_refresh(channel).await, Err(Lapse::Ended));
    }
    assert!(backend.asked().is_empty());
    let nothing = Rig::of(&Proxies::default()).unwrap();
    assert_eq!(nothing.application.interests(), Interests::NONE);
    let decision = nothing.connect(&ConnectRequest::default()).await;
    assert_eq!(decision, Ok(Verdict::AsConfigured));
    let asked = rig.application.interests();
    let expected = Interests::CONNECTING | Interests::REFRESH | Interests::SUBSCRIBE;
    let expected = expected | Interests::SUB_REFRESH | Interests::PUBLISH | Interests::RPC;
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn a_status_can_stand_for_a_no() {
    let backend = Backend::start();
    let refused = Refusal {
        code: 1404,
        message: "not found".into(),
        temporary: true,
    };
    let end = Disconnect {
        code: 4504,
        reason: "go".into(),
    };
    let transforms = vec![(404, Rejection::from(refused)), (500, Rejection::from(end))];
    let rig = Rig::new(Proxy {
        transforms,
        ..proxy(backend.url())
    });
    backend.answer(404, "nothing there");
    assert_eq!(
        refusal(rig.rpc("add", "").await),
        (1404, "not found".into(), true)
    );
    assert_eq!(
        rig.refresh().await,
        Err(Lapse::Ended),
        "an error is no result"
    );
    backend.answer(500, "{");
    assert_eq!(disconnect(rig.rpc("add", "").await), (4504, "go".into()));
    backend.answer(503, "{}");
    assert_eq!(refusal(rig.rpc("add", "").await), internal());
}
