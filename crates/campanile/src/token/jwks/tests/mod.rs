//! Keys from a real server, which changes its mind, fails and is asked too often.

mod publisher;
mod trust;

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{FETCHES_KEPT, FETCHES_MAX, Jwks, JwksEndpoint, NoKey, POLICY, Policy, URLS_MAX};
use crate::token::tests::signer::Signer;
use publisher::{Page, Publisher};

const NEVER: Duration = Duration::from_hours(24);

/// May be asked again at any time; keys stay good.
const EAGER: Policy = Policy {
    interval: Duration::ZERO,
    refresh: NEVER,
    wait: NEVER,
    end: NEVER,
    ..POLICY
};

fn key(id: &str) -> Value {
    Signer::ed25519().jwk(id)
}

fn jwks(publisher: &Publisher, policy: Policy) -> Jwks {
    let endpoint = JwksEndpoint::parse(&publisher.url("/jwks")).unwrap();
    Jwks::with(endpoint, policy)
}

/// How many keys there are of this id.
async fn find(jwks: &Jwks, publisher: &Publisher, id: &str) -> Result<usize, NoKey> {
    let found = jwks.find(&publisher.url("/jwks"), id).await;
    found.map(|keys| keys.len())
}

/// Polls until everything that can be said without waiting is said.
async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Waits for the fetch that is under way.
async fn landed(jwks: &Jwks, url: &str) {
    let flight = jwks.shared.places().get(url).unwrap().flight.clone();
    if let Some(mut flight) = flight {
        while flight.changed().await.is_ok() {}
    }
}

#[tokio::test]
async fn keys_are_fetched_once_for_everybody() {
    let publisher = Publisher::with(Page::Silence);
    let jwks = jwks(&publisher, POLICY);
    let everybody = join_all((0..50).map(|_| find(&jwks, &publisher, "1")));
    let publish = async { publisher.set("/jwks", Page::keys(&[key("1")])) };
    let (found, ()) = tokio::join!(everybody, publish);
    assert_eq!(found, [Ok(1); 50]);
    assert_eq!(find(&jwks, &publisher, "1").await, Ok(1));
    assert_eq!(publisher.asked(), ["/jwks"]);
}

#[tokio::test]
async fn a_new_key_is_found_when_it_is_first_used() {
    let publisher = Publisher::with(Page::keys(&[key("1")]));
    let jwks = jwks(&publisher, EAGER);
    assert_eq!(find(&jwks, &publisher, "1").await, Ok(1));
    publisher.set("/jwks", Page::keys(&[key("1"), key("2"), key("2")]));
    assert_eq!(find(&jwks, &publisher, "2").await, Ok(2));
    assert_eq!(find(&jwks, &publisher, "3").await, Err(NoKey::Unknown));
    assert_eq!(find(&jwks, &publisher, "1").await, Ok(1));
    assert_eq!(publisher.asked().len(), 3);
}

#[tokio::test]
async fn a_flood_of_unknown_ids_fetches_once_in_an_interval() {
    let publisher = Publisher::with(Page::keys(&[key("1")]));
    let patient = Policy {
        interval: NEVER,
        ..EAGER
    };
    let jwks = jwks(&publisher, patient);
    assert_eq!(find(&jwks, &publisher, "x").await, Err(NoKey::Unknown));
    for id in 0..1000 {
        let found = at_once(find(&jwks, &publisher, &format!("x{id}"))).await;
        assert_eq!(found, Some(Err(NoKey::Unavailable)), "at once");
    }
    assert_eq!(find(&jwks, &publisher, "1").await, Ok(1), "others go on");
    assert_eq!(publisher.asked().len(), 1);
}

#[tokio::test]
async fn who_joins_a_fetch_that_began_earlier_is_not_told_that_there_is_no_key() {
    let publisher = Publisher::with(Page::Silence);
    let jwks = jwks(&publisher, EAGER);
    let first = find(&jwks, &publisher, "2");
    let second = find(&jwks, &publisher, "2");
    let publish = async { publisher.set("/jwks", Page::keys(&[key("1")])) };
    let (first, second, ()) = tokio::join!(first, second, publish);
    assert_eq!(first, Err(NoKey::Unknown));
    // Published since then, perhaps.
    assert_eq!(second, Err(NoKey::Unavailable));
}

#[tokio::test]
async fn a_key_that_was_removed_is_refused_when_its_age_has_come() {
    let publisher = Publisher::with(Page::keys(&[key("1"), key("2")]));
    let impatient = Policy {
        refresh: Duration::ZERO,
        wait: Duration::ZERO,
        ..EAGER
    };
    let jwks = jwks(&publisher, impatient);
    assert_eq!(find(&jwks, &publisher, "1").await, Ok(1));
    publisher.set("/jwks", Page::keys(&[key("2")]));
    assert_eq!(find(&jwks, &publisher, "1").await, Err(NoKey::Unknown));
    assert_eq!(find(&jwks, &publisher, "2").await, Ok(1));
    publisher.set("/jwks", Page::keys(&[]));
    assert_eq!(find(&jwks, &publisher, "2").await, Err(NoKey::Unknown));
}

#[tokio::test]
async fn keys_are_used_while_they_are_fetched_anew() {
    let publisher = Publisher::with(Page::keys(&[key("1")]));
    let refreshing = Policy {
        refresh: Duration::ZERO,
        ..EAGER
    };
    let jwks = jwks(&publisher, refreshing);
    assert_eq!(find(&jwks, &publisher, "1").await, Ok(1));
    publisher.set("/jwks", Page::Silence);
    let found = at_once(find(&jwks, &publisher, "1")).await;
    assert_eq!(found, Some(Ok(1)));
    publisher.set("/jwks", Page::keys(&[]));
    landed(&jwks, &publisher.url("/jwks")).await;
    assert_eq!(find(&jwks, &publisher, "1").await, Err(NoKey::Unknown));
}

#[tokio::test]
async fn an_endpoint_that_fails_leaves_the_keys_that_were_known_for_a_while() {
    for (end, found) in [(NEVER, Ok(1)), (Duration::ZERO, Err(NoKey::Unavailable))] {
        let publisher = Publisher::with(Page::keys(&[key("1")]));
        let old = Policy {
            refresh: Duration::ZERO,
            wait: Duration::ZERO,
            end,
            ..EAGER
        };
        let jwks = jwks(&publisher, old);
        let url = publisher.url("/jwks");
        let _ = find(&jwks, &publisher, "1").await;
        assert!(jwks.shared.keys(&url).is_some());
        publisher.set("/jwks", Page::status("500 Internal Server Error"));
        assert_eq!(find(&jwks, &publisher, "1").await, found);
    }
}

#[tokio::test]
async fn an_endpoint_that_comes_back_is_believed_again() {
    let publisher = Publisher::with(Page::status("503 Service Unavailable"));
    let eager = jwks(&publisher, EAGER);
    let patient = jwks(&publisher, POLICY);
    for _ in 0..3 {
        assert_eq!(find(&eager, &publisher, "1").await, Err(NoKey::Unavailable));
    }
    assert_eq!(publisher.asked().len(), 3);
    for _ in 0..3 {
        let found = find(&patient, &publisher, "1").await;
        assert_eq!(found, Err(NoKey::Unavailable));
    }
    assert_eq!(publisher.asked().len(), 4, "it is not asked all the time");
    publisher.set("/jwks", Page::keys(&[key("1")]));
    assert_eq!(find(&eager, &publisher, "1").await, Ok(1));
}

#[tokio::test]
async fn what_is_no_document_of_keys_is_none() {
    let elsewhere = Publisher::with(Page::keys(&[key("1")]));
    let redirect = |status: &str| {
        let to = elsewhere.url("/jwks");
        Page::Raw(format!(
            "HTTP/1.1 {status}\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ))
    };
    let padding = " ".repeat(2 << 20);
    let many: Vec<_> = (0..129).map(|id| json!({"kty": "x", "kid": id})).collect();
    let endless = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{{\"keys\":[]}}{padding}");
    for (what, page) in [
        ("redirect", redirect("302 Found")),
        ("kept redirect", redirect("308 Permanent Redirect")),
        (
            "too long",
            Page::Document(format!("{{\"keys\":[]}}{padding}")),
        ),
        ("too long without saying so", Page::Raw(endless)),
        ("too many keys", Page::keys(&many)),
        ("no JSON", Page::Document("<html>".into())),
        ("another document", Page::Document("{}".into())),
        ("nothing", Page::Raw(String::new())),
        ("no HTTP", Page::Raw("SSH-2.0-OpenSSH_9.6\r\n".into())),
        ("no success", Page::status("204 No Content")),
    ] {
        let publisher = Publisher::with(page);
        let jwks = jwks(&publisher, EAGER);
        let found = find(&jwks, &publisher, "1").await;
        assert_eq!(found, Err(NoKey::Unavailable), "{what}");
    }
    assert_eq!(elsewhere.asked(), [""; 0]);
}

#[tokio::test]
async fn a_slow_endpoint_is_not_waited_for_for_ever() {
    let publisher = Publisher::with(Page::Silence);
    let hasty = Policy {
        timeout: Duration::from_millis(50),
        ..POLICY
    };
    let jwks = jwks(&publisher, hasty);
    let found = find(&jwks, &publisher, "1").await;
    assert_eq!(found, Err(NoKey::Unavailable));
}

#[tokio::test]
async fn only_so_many_fetches_are_under_way() {
    let publisher = Publisher::start();
    let jwks = jwks(&publisher, EAGER);
    let most = FETCHES_MAX - FETCHES_KEPT;
    let urls: Vec<_> = (0..=most).map(|n| format!("/{n}")).collect();
    for (number, path) in urls.iter().enumerate() {
        publisher.set(path, Page::Silence);
        let url = publisher.url(path);
        let found = at_once(jwks.find(&url, "1")).await;
        let is_refused = found.is_some_and(|found| found.is_err());
        assert_eq!(is_refused, number == most, "{path}");
    }
    for path in &urls {
        publisher.set(path, Page::keys(&[]));
    }
    for path in &urls[..most] {
        landed(&jwks, &publisher.url(path)).await;
    }
    assert_eq!(publisher.asked().len(), most);
}

#[tokio::test]
async fn issuers_that_are_made_up_do_not_hold_up_those_that_are_real() {
    let publisher = Publisher::with(Page::keys(&[key("1")]));
    let jwks = jwks(&publisher, EAGER);
    assert_eq!(find(&jwks, &publisher, "1").await, Ok(1));
    for number in 0..FETCHES_MAX {
        let path = format!("/{number}");
        publisher.set(&path, Page::Silence);
        let _ = at_once(jwks.find(&publisher.url(&path), "1")).await;
    }
    publisher.set("/jwks", Page::keys(&[key("1"), key("2")]));
    assert_eq!(find(&jwks, &publisher, "2").await, Ok(1));
    for number in 0..FETCHES_MAX {
        publisher.set(&format!("/{number}"), Page::keys(&[]));
    }
}

#[tokio::test]
async fn issuers_that_are_made_up_are_asked_for_seldom() {
    let publisher = Publisher::with(Page::keys(&[key("1")]));
    let jwks = jwks(&publisher, POLICY);
    assert_eq!(find(&jwks, &publisher, "1").await, Ok(1));
    for number in 0..1000 {
        let url = publisher.url(&format!("/{number}"));
        assert!(jwks.find(&url, "1").await.is_err());
    }
    // A second's worth, and what the loop took.
    assert!(publisher.asked().len() < 200, "{}", publisher.asked().len());
    assert_eq!(find(&jwks, &publisher, "1").await, Ok(1));
}

#[tokio::test]
async fn issuers_that_are_made_up_do_not_drive_out_those_that_are_real() {
    let publisher = Publisher::with(Page::keys(&[key("1")]));
    let credulous = Policy {
        new_urls: 1_000_000,
        ..EAGER
    };
    let jwks = jwks(&publisher, credulous);
    assert_eq!(find(&jwks, &publisher, "1").await, Ok(1));
    for number in 0..URLS_MAX + 10 {
        let url = publisher.url(&format!("/{number}"));
        assert!(jwks.find(&url, "1").await.is_err());
        assert!(jwks.shared.places().len() <= URLS_MAX);
    }
    let asked = publisher.asked().len();
    assert_eq!(asked, URLS_MAX + 11);
    assert_eq!(find(&jwks, &publisher, "1").await, Ok(1));
    assert_eq!(publisher.asked().len(), asked);
}
