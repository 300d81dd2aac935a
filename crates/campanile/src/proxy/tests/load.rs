//! Many questions, and those that nobody waits for any more.

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::time::timeout;

use super::super::count;
use super::super::metrics::Kind;
use super::*;

/// One proxy for all calls, over so many connections.
fn narrow(
    backend: &Backend,
    timeout: Duration,
    sockets_max: usize,
) -> (ProxyApplication, Background) {
    let proxies = everything(Proxy {
        timeout,
        ..proxy(backend.url())
    });
    let background = Background::start().unwrap();
    let application = ProxyApplication::new(&proxies, namespaces(), &background, sockets_max);
    (application.unwrap(), background)
}

fn counts(application: &ProxyApplication, kind: Kind) -> (u64, u64) {
    let metrics = application.metrics();
    let label = ("type", kind.name());
    let mut meters = metrics.meters();
    let (_, meter) = meters.find(|(labels, _)| labels[1] == label).unwrap();
    (meter.inflight(), meter.errors())
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let backend = Backend::start();
    let rig = Rig::asking(&backend);
    for _ in 0..20 {
        assert!(rig.rpc("add", "").await.is_ok());
    }
    backend.answer(500, "with a body");
    assert!(rig.rpc("add", "").await.is_err());
    assert!(rig.rpc("add", "").await.is_err());
    let peers: BTreeSet<_> = backend
        .asked()
        .into_iter()
        .map(|asked| asked.peer)
        .collect();
    assert_eq!(peers.len(), 1);
}

#[tokio::test]
async fn a_backend_may_close_after_each_answer() {
    let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
    let (url, served) = wire::says(answer).await;
    let rig = Rig::new(proxy(&url));
    for _ in 0..5 {
        assert!(rig.rpc("add", "").await.is_ok());
    }
    served.abort();
}

#[tokio::test]
async fn hundreds_of_questions_are_under_way_at_once() {
    let backend = Backend::start();
    backend.close();
    let rig = Rig::asking(&backend);
    let questions = join_all((0..300).map(|_| rig.rpc("add", "")));
    let open = async {
        backend.has_been_asked(300).await;
        assert_eq!(counts(&rig.application, Kind::Rpc), (300, 0));
        backend.open();
    };
    let (decisions, ()) = tokio::join!(questions, open);
    assert!(decisions.iter().all(Result::is_ok));
    assert_eq!(counts(&rig.application, Kind::Rpc), (0, 0));
}

#[tokio::test]
async fn no_more_questions_are_sent_than_there_are_connections_for() {
    let backend = Backend::start();
    backend.close();
    let (application, _background) = narrow(&backend, PATIENCE, 8);
    let caller = caller();
    let questions = join_all((0..20).map(|_| application.rpc(&caller, "add", b"")));
    let open = async {
        backend.has_been_asked(4).await;
        assert_eq!(counts(&application, Kind::Rpc).0, 20);
        assert_eq!(backend.asked().len(), 4);
        backend.open();
    };
    let (decisions, ()) = tokio::join!(questions, open);
    assert!(decisions.iter().all(Result::is_ok));
    assert_eq!(backend.asked().len(), 20);
    let peers: BTreeSet<_> = backend
        .asked()
        .into_iter()
        .map(|asked| asked.peer)
        .collect();
    assert!(peers.len() <= 8, "{}", peers.len());
}

#[test]
fn a_service_that_is_asked_many_things_counts_once() {
    let same = everything(proxy("http://localhost"));
    assert_eq!(count(&same), 1);
    let other = Some(Arc::new(proxy("http://localhost")));
    let two = Proxies {
        connect: other,
        ..same
    };
    assert_eq!(count(&two), 2);
}

#[tokio::test]
async fn waiting_for_a_place_takes_from_the_time() {
    let backend = Backend::start();
    let (application, _background) = narrow(&backend, Duration::from_millis(20), 0);
    let decision = application.rpc(&caller(), "add", b"").await;
    assert_eq!(refusal(decision), internal());
    assert!(backend.asked().is_empty());
    assert_eq!(counts(&application, Kind::Rpc), (0, 1));
}

#[tokio::test]
async fn a_backend_that_does_not_answer_in_time_is_asked_less() {
    let backend = Backend::start();
    backend.close();
    let (application, _background) = narrow(&backend, Duration::from_millis(300), 64);
    let caller = caller();
    for asked in [32, 32 + 16, 32 + 16 + 8, 32 + 16 + 8 + 8] {
        let questions = join_all((0..40).map(|_| application.rpc(&caller, "add", b"")));
        assert!(questions.await.iter().all(Result::is_err));
        assert_eq!(backend.asked().len(), asked);
    }
}

#[tokio::test]
async fn answers_that_stall_do_not_take_all_memory() {
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n".to_vec();
    answer.resize(answer.len() + 1024 * 1024 - 1, b' ');
    let (url, served) = wire::stalls(answer).await;
    let rig = Rig::new(Proxy {
        timeout: 20 * PATIENCE,
        ..proxy(&url)
    });
    // There is room for 64 of them.
    let mut questions: FuturesUnordered<_> = (0..70).map(|_| rig.rpc("add", "")).collect();
    for _ in 0..6 {
        let decision = timeout(PATIENCE, questions.next()).await;
        assert_eq!(refusal(decision.unwrap().unwrap()), internal());
    }
    served.abort();
}

#[tokio::test]
async fn an_answer_that_was_read_gives_its_room_back() {
    let backend = Backend::start();
    let rig = Rig::asking(&backend);
    backend.answer(200, "{}".to_owned() + &" ".repeat(1024 * 1024 - 2));
    for _ in 0..70 {
        assert!(rig.rpc("add", "").await.is_ok());
    }
}

#[tokio::test]
async fn a_question_that_nobody_waits_for_is_hung_up() {
    let (url, asked, closed) = wire::says_nothing().await;
    let rig = Rig::new(proxy(&url));
    tokio::select! {
        decision = rig.rpc("add", "") => panic!("{decision:?}"),
        asked = asked => asked.unwrap(),
    }
    closed.await.unwrap();
    assert_eq!(counts(&rig.application, Kind::Rpc), (0, 1), "an error");
}

#[tokio::test]
async fn kinds_and_names_have_counts_of_their_own() {
    let backend = Backend::start();
    let rig = Rig::asking(&backend);
    assert!(rig.rpc("add", "").await.is_ok());
    backend.answer(500, "");
    assert!(rig.subscribe("news", "").await.is_err());
    assert!(rig.subscribe("chat:1", "").await.is_err());
    assert_eq!(counts(&rig.application, Kind::Rpc), (0, 0));
    assert_eq!(
        counts(&rig.application, Kind::Subscribe),
        (0, 2),
        "both namespaces"
    );
    let metrics = rig.application.metrics();
    let labels: Vec<_> = metrics.meters().map(|(labels, _)| labels).collect();
    assert_eq!(labels.len(), 6);
    let first = [
        ("protocol", "http"),
        ("type", "connect"),
        ("name", "default"),
    ];
    assert_eq!(labels[0], first);
}
