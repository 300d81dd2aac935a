//! Backends that do not answer as they should.

use std::io;
use std::mem;
use std::sync::Mutex;

use super::*;
use crate::config::Secret;

/// What clients are told, and what becomes of what was to be renewed.
async fn assert_failure(rig: &Rig, why: &str) {
    assert_eq!(
        refusal(rig.connect(&ConnectRequest::default()).await),
        internal(),
        "{why}"
    );
    assert_eq!(
        refusal(rig.subscribe("news", "").await),
        internal(),
        "{why}"
    );
    assert_eq!(refusal(rig.rpc("add", "").await), internal(), "{why}");
    let published = rig.application.publish(&caller(), "news", b"1").await;
    assert_eq!(refusal(published), internal(), "{why}");
    assert_eq!(rig.refresh().await, Err(Lapse::Unavailable), "{why}");
    assert_eq!(
        rig.sub_refresh("news").await,
        Err(Lapse::Unavailable),
        "{why}"
    );
}

#[tokio::test]
async fn every_status_but_200_is_a_failure() {
    let backend = Backend::start();
    let rig = Rig::asking(&backend);
    for status in [201, 204, 301, 302, 308, 400, 401, 404, 429, 500, 503] {
        let body = if status == 204 {
            ""
        } else {
            r#"{"result":{}}"#
        };
        backend.answer(status, body);
        assert_failure(&rig, &status.to_string()).await;
    }
    let elsewhere = backend
        .asked()
        .into_iter()
        .find(|asked| asked.target != "/");
    assert!(elsewhere.is_none(), "redirects are not followed");
}

#[tokio::test]
async fn what_is_no_json_object_is_a_failure() {
    let backend = Backend::start();
    let rig = Rig::asking(&backend);
    for body in [
        "",
        "x",
        "{",
        "null",
        "[]",
        "1",
        "{} {}",
        "\u{feff}{}",
        r#"{"result":1}"#,
    ] {
        backend.answer(200, body);
        assert_failure(&rig, body).await;
    }
}

#[tokio::test]
async fn fields_of_wrong_types_are_failures() {
    let backend = Backend::start();
    let rig = Rig::asking(&backend);
    let connect = [
        r#"{"user":1}"#,
        r#"{"expire_at":"1"}"#,
        r#"{"expire_at":1.5}"#,
        r#"{"b64info":"!"}"#,
        r#"{"channels":"news"}"#,
        r#"{"channels":[null]}"#,
        r#"{"subs":[]}"#,
        r#"{"subs":{"news":1}}"#,
        r#"{"subs":{"news":{"override":{"presence":true}}}}"#,
    ];
    for result in connect {
        backend.answer(200, format!(r#"{{"result":{result}}}"#));
        let decision = rig.connect(&ConnectRequest::default()).await;
        assert_eq!(refusal(decision), internal(), "{result}");
    }
    for result in [
        r#"{"version":-1}"#,
        r#"{"tags":{"a":1}}"#,
        r#"{"b64data":"="}"#,
    ] {
        backend.answer(200, format!(r#"{{"result":{result}}}"#));
        let published = rig.application.publish(&caller(), "news", b"1").await;
        assert_eq!(refusal(published), internal(), "{result}");
    }
    for body in [r#"{"error":{"code":"1000"}}"#, r#"{"disconnect":4000}"#] {
        backend.answer(200, body);
        assert_eq!(refusal(rig.rpc("add", "").await), internal(), "{body}");
    }
}

#[tokio::test]
async fn an_answer_has_a_limit_announced_or_not() {
    let backend = Backend::start();
    let rig = Rig::asking(&backend);
    let room = 1024 * 1024 - r#"{"result":{"data":""}}"#.len();
    let answer = |length| format!(r#"{{"result":{{"data":"{}"}}}}"#, "x".repeat(length));
    backend.answer(200, answer(room));
    assert!(rig.rpc("add", "").await.is_ok());
    backend.answer(200, answer(room + 1));
    assert_failure(&rig, "announced").await;
    backend.answer(200, format!("{{{}", " ".repeat(4 << 20)));
    assert_failure(&rig, "long").await;
}

#[tokio::test]
async fn a_body_without_a_length_is_not_read_for_ever() {
    let chunk = "2000\r\n".to_owned() + &" ".repeat(0x2000) + "\r\n";
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    let endless: &'static str = (head + &chunk.repeat(200)).leak();
    let (url, served) = wire::says(endless).await;
    let rig = Rig::new(proxy(&url));
    assert_eq!(refusal(rig.rpc("add", "").await), internal());
    served.abort();
}

#[tokio::test]
async fn a_connection_that_breaks_is_a_failure() {
    let ok = "HTTP/1.1 200 OK\r\n";
    for answer in [
        String::new(),
        "HTTP/1.1 200".to_owned(),
        "SSH-2.0-OpenSSH\r\n".to_owned(),
        format!("{ok}Content-Length: 10\r\n\r\n{{}}"),
        format!("{ok}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n"),
        format!("{ok}Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        format!("{ok}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}"),
    ] {
        let (url, served) = wire::says(answer.clone().leak()).await;
        let rig = Rig::new(proxy(&url));
        assert_failure(&rig, &answer).await;
        served.abort();
    }
}

#[tokio::test]
async fn a_backend_that_is_not_there_is_a_failure() {
    let rig = Rig::new(proxy(&wire::is_nowhere().await));
    assert_failure(&rig, "refused").await;
}

#[tokio::test]
async fn a_slow_backend_is_not_waited_for() {
    let backend = Backend::start();
    backend.close();
    let rig = Rig::new(Proxy {
        timeout: Duration::from_millis(20),
        ..proxy(backend.url())
    });
    assert_failure(&rig, "slow").await;
}

#[tokio::test]
async fn the_end_of_the_server_is_a_failure_of_what_is_under_way() {
    let backend = Backend::start();
    backend.close();
    let Rig {
        application,
        _background: background,
    } = Rig::asking(&backend);
    let caller = caller();
    let question = application.rpc(&caller, "add", b"");
    let end = async {
        backend.has_been_asked(1).await;
        drop(background);
    };
    let (decision, ()) = tokio::join!(question, end);
    assert_eq!(refusal(decision), internal());
    let renewed = application.refresh(&caller).await;
    assert_eq!(renewed, Err(Lapse::Unavailable));
}

/// What a thread has logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_names_the_proxy_and_the_cause_and_no_secret() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let backend = Backend::start();
    let with_secrets = |url: &str| Proxy {
        section: "proxies.billing".into(),
        static_headers: vec![("x-key".parse().unwrap(), Secret::new("hush"))],
        ..proxy(&format!("{url}/hush?key=hush"))
    };
    // Another test may be the first to come to that line, at this moment and without a log; what
    // tracing remembers of that is to be forgotten.
    let rig = Rig::new(with_secrets(&wire::is_nowhere().await));
    assert!(rig.rpc("hush", r#""hush""#).await.is_err());
    tracing::callsite::rebuild_interest_cache();
    log.0.lock().unwrap().clear();
    for (body, cause) in [
        (
            r#"{"result":{"version":"hush"}}"#,
            "a field of a wrong type at line 1 column 27",
        ),
        (
            r#"{"result":{"b64data":"hush!"}}"#,
            "a field of a wrong type",
        ),
        ("hush", "an answer that is no JSON at line 1 column 1"),
        ("{\"hush\": \"hu", "an answer that ends too early"),
        (
            r#"{"error":{"code":103,"message":"hush"}}"#,
            "an error with code 103",
        ),
    ] {
        backend.answer(200, body);
        let rig = Rig::new(with_secrets(backend.url()));
        let published = rig
            .application
            .publish(&caller(), "hush", br#""hush""#)
            .await;
        assert_eq!(refusal(published), internal());
        assert_logged(&log, cause);
    }
    backend.answer(500, "hush");
    let rig = Rig::new(with_secrets(backend.url()));
    assert!(rig.rpc("hush", r#""hush""#).await.is_err());
    assert_logged(&log, "status 500");
    let rig = Rig::new(with_secrets(&wire::is_nowhere().await));
    assert!(rig.rpc("hush", r#""hush""#).await.is_err());
    assert_logged(&log, "onnect");
    let (url, asked, _closed) = wire::says_nothing().await;
    let rig = Rig::new(with_secrets(&url));
    tokio::select! {
        decision = rig.rpc("hush", "") => panic!("{decision:?}"),
        asked = asked => asked.unwrap(),
    }
    assert_logged(&log, "no answer when nobody waited any more, after 0.");
}

/// The one line since the last time.
fn assert_logged(log: &Log, cause: &str) {
    let line = String::from_utf8(mem::take(&mut *log.0.lock().unwrap())).unwrap();
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(
        line.contains(r#"proxy="proxies.billing""#) && line.contains(cause),
        "{line}"
    );
    assert!(!line.contains("hush"), "{line}");
}
