//! What backends are asked, to the letter.

use actix_web::http::header::HeaderName;
use campanile_protocol::command::{ConnectRequest, SubscribeRequest};
use serde_json::json;

use super::*;
use crate::config::Secret;

const COMMON: &str = r#""client":"11111111-1111-1111-1111-111111111111","transport":"websocket","protocol":"json","encoding":"json""#;

#[tokio::test]
async fn connect_tells_who_comes_with_what() {
    let backend = Backend::start();
    let rig = Rig::asking(&backend);
    let subs = [("news".to_owned(), SubscribeRequest::default())];
    let request = ConnectRequest {
        data: Box::from(&br#"{ "k": 1.0 }"#[..]),
        name: "js".into(),
        version: "5.2".into(),
        subs: subs.into(),
        ..ConnectRequest::default()
    };
    assert!(rig.connect(&request).await.is_ok());
    let asked = backend.take();
    let expected = format!(
        r#"{{{COMMON},"name":"js","version":"5.2","data":{{ "k": 1.0 }},"channels":["news"]}}"#
    );
    assert_eq!(asked.text, expected, "the payload as the client wrote it");
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str()),
        ("POST", "/")
    );
    assert!(rig.connect(&ConnectRequest::default()).await.is_ok());
    assert_eq!(
        backend.take().text,
        format!("{{{COMMON}}}"),
        "nothing empty"
    );
}

#[tokio::test]
async fn a_client_with_a_token_is_not_asked_about() {
    let backend = Backend::start();
    let request = ConnectRequest {
        token: "a.b.c".into(),
        ..ConnectRequest::default()
    };
    let decision = Rig::asking(&backend).connect(&request).await;
    assert_eq!(decision, Ok(Verdict::AsConfigured));
    assert!(backend.asked().is_empty());
}

#[tokio::test]
async fn the_other_questions_tell_about_whom_and_what() {
    let backend = Backend::start();
    let rig = Rig::asking(&backend);
    let request = SubscribeRequest {
        channel: "chat:1".into(),
        token: "a.b".into(),
        data: Box::from(&b"[1]"[..]),
        ..SubscribeRequest::default()
    };
    let wished = rig.application.wish(&caller(), &request).await;
    let denied = campanile_protocol::Refusal::PERMISSION_DENIED;
    assert_eq!(wished, Err(denied.into()), "and nobody is asked");
    let subscribed = rig.application.subscribe(&caller(), &request).await;
    assert!(subscribed.is_ok());
    let user = format!(r#"{{{COMMON},"user":"42""#);
    let expected = format!(r#"{user},"channel":"chat:1","token":"a.b","data":[1]}}"#);
    assert_eq!(backend.take().text, expected);

    let published = rig.application.publish(&caller(), "news", b"{}").await;
    assert!(published.is_ok());
    assert_eq!(
        backend.take().text,
        format!(r#"{user},"channel":"news","data":{{}}}}"#)
    );

    assert!(rig.rpc("math:add", "[1,2]").await.is_ok());
    assert_eq!(
        backend.take().text,
        format!(r#"{user},"method":"math:add","data":[1,2]}}"#)
    );

    assert_eq!(rig.refresh().await, Err(Lapse::Ended));
    assert_eq!(backend.take().text, format!("{user}}}"));

    assert_eq!(rig.sub_refresh("chat:1").await, Err(Lapse::Ended));
    assert_eq!(
        backend.take().text,
        format!(r#"{user},"channel":"chat:1"}}"#)
    );
}

#[tokio::test]
async fn the_meta_of_a_connection_is_told_where_that_is_configured() {
    let backend = Backend::start();
    let rig = Rig::new(Proxy {
        include_connection_meta: true,
        ..proxy(backend.url())
    });
    assert!(rig.rpc("add", "").await.is_ok());
    let expected = format!(r#"{{{COMMON},"user":"42","method":"add","meta":{{"k":"v"}}}}"#);
    assert_eq!(backend.take().text, expected);
    assert!(rig.refresh().await.is_err());
    assert_eq!(backend.take().json()["meta"], json!({"k": "v"}));
}

#[tokio::test]
async fn binary_encoding_sends_base64() {
    let backend = Backend::start();
    let rig = Rig::new(Proxy {
        binary_encoding: true,
        ..proxy(backend.url())
    });
    let published = rig
        .application
        .publish(&caller(), "news", b"\xff\x00")
        .await;
    assert!(published.is_ok());
    let asked = backend.take().json();
    assert_eq!(asked["b64data"], "/wA=");
    assert_eq!(asked["encoding"], "binary");
    assert_eq!(asked.get("data"), None);
}

#[tokio::test]
async fn a_payload_that_is_no_json_is_refused_without_asking() {
    let backend = Backend::start();
    let rig = Rig::asking(&backend);
    let bad_request = (107, "bad request".to_owned(), false);
    let published = rig
        .application
        .publish(&caller(), "news", b"\xff\x00")
        .await;
    assert_eq!(refusal(published), bad_request);
    assert_eq!(refusal(rig.rpc("add", "{} {}").await), bad_request);
    assert_eq!(refusal(rig.subscribe("news", "x").await), bad_request);
    let request = ConnectRequest {
        data: Box::from(&b"{"[..]),
        ..ConnectRequest::default()
    };
    assert_eq!(refusal(rig.connect(&request).await), bad_request);
    assert!(backend.asked().is_empty());
}

#[tokio::test]
async fn static_headers_go_with_every_question() {
    let backend = Backend::start();
    let name = HeaderName::from_static("authorization");
    let rig = Rig::new(Proxy {
        endpoint: format!("{}/path?query=1", backend.url()),
        static_headers: vec![(name, Secret::new("Bearer x"))],
        ..proxy("")
    });
    assert!(rig.rpc("add", "").await.is_ok());
    let asked = backend.take();
    assert_eq!(asked.target, "/path?query=1");
    assert_eq!(asked.headers["authorization"], "Bearer x");
    assert_eq!(asked.headers["content-type"], "application/json");
    assert_eq!(asked.headers["accept-encoding"], "identity");
    assert!(asked.headers["user-agent"].starts_with("campanile/"));
}

/// Headers of a request, and emulated ones.
fn headers(real: &[(&str, &str)], emulated: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::default();
    for (name, value) in real {
        headers.push(name, value.as_bytes()).unwrap();
    }
    for (name, value) in emulated {
        headers.push_emulated(name, value.as_bytes()).unwrap();
    }
    headers
}

#[tokio::test]
async fn only_headers_on_the_list_are_passed_on() {
    let backend = Backend::start();
    let rig = Rig::new(Proxy {
        http_headers: ["cookie", "x-both", "content-length", "connection"]
            .map(HeaderName::from_static)
            .into(),
        emulated_headers: ["authorization", "x-both"]
            .map(HeaderName::from_static)
            .into(),
        ..proxy(backend.url())
    });
    let real = [
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("x-both", "real"),
        ("authorization", "real, but not on this list"),
        ("content-length", "7"),
        ("connection", "close"),
        ("x-other", "1"),
    ];
    let emulated = [
        ("Authorization", "emulated"),
        ("X-Both", "emulated"),
        ("Cookie", "emulated, but not on this list"),
    ];
    let headers = headers(&real, &emulated);
    let connect = ConnectRequest::default();
    assert!(rig.connect_with(&connect, &headers).await.is_ok());
    let mut caller = caller();
    Arc::make_mut(&mut caller).headers = Some(Arc::new(headers));
    assert!(rig.application.rpc(&caller, "add", b"").await.is_ok());
    for asked in backend.asked() {
        assert_eq!(asked.headers["authorization"], "emulated");
        assert_eq!(asked.headers["cookie"], "a=1|b=2");
        assert_eq!(asked.headers["x-both"], "real");
        assert_eq!(
            asked.headers["content-length"],
            asked.text.len().to_string()
        );
        assert!(!asked.headers.contains_key("x-other"));
        assert!(!asked.headers.contains_key("connection"));
    }
    assert_eq!(backend.asked().len(), 2);
}

#[tokio::test]
async fn clients_do_not_replace_static_headers() {
    let backend = Backend::start();
    let name = HeaderName::from_static("x-key");
    let rig = Rig::new(Proxy {
        http_headers: vec![name.clone()],
        emulated_headers: vec![name.clone()],
        static_headers: vec![(name, Secret::new("ours"))],
        ..proxy(backend.url())
    });
    for headers in [
        headers(&[("x-key", "theirs")], &[]),
        headers(&[], &[("x-key", "theirs")]),
    ] {
        let connect = ConnectRequest::default();
        assert!(rig.connect_with(&connect, &headers).await.is_ok());
        assert_eq!(backend.take().headers["x-key"], "ours");
    }
}

#[test]
fn a_proxy_that_cannot_be_asked_is_refused_at_the_start() {
    let complaint = |proxy: Proxy| Rig::of(&everything(proxy)).err().unwrap().to_string();
    let endpoint = "rpc.proxy: the endpoint is no http or https URL";
    assert_eq!(complaint(proxy("grpc://localhost:1")), endpoint);
    assert_eq!(complaint(proxy("/path")), endpoint);
    let name = HeaderName::from_static("content-length");
    let complained = complaint(Proxy {
        static_headers: vec![(name, Secret::new("1"))],
        ..proxy("http://localhost")
    });
    assert!(complained.ends_with("the header content-length cannot be set like that"));
}
