//! Many sessions in one channel. Nothing here is asserted of time: it is printed.

use futures_util::future::join_all;

use super::server::{Server, calls, info_number};
use super::*;

const SESSIONS: u32 = 100_000;

#[tokio::test]
async fn a_hundred_thousand_sessions_are_counted_without_looking_at_them() {
    let server = Server::start();
    let (a, b) = (Node::start(&server).await, Node::start(&server).await);
    let redis = &a.presence.shared.redis;
    let before = info_number(redis, b"memory", "used_memory").await;
    let began = Instant::now();
    for first in (0..SESSIONS).step_by(10_000) {
        let some = first..first + 10_000;
        // Every tenth user has two sessions, one on each node.
        let user = |number: u32| {
            format!(
                "user-{}",
                if number % 20 == 1 { number - 1 } else { number }
            )
        };
        let adds = some.map(async |number| {
            let node = if number % 2 == 0 { &a } else { &b };
            node.add("c", &session(&user(number), number)).await;
        });
        join_all(adds).await;
    }
    println!("added: {:?} each", began.elapsed() / SESSIONS);
    let used = info_number(redis, b"memory", "used_memory").await - before;
    println!("bytes each: {}", used / u64::from(SESSIONS));

    let (hlen, hscan) = (calls(redis, "hlen").await, calls(redis, "hscan").await);
    let began = Instant::now();
    for _ in 0..1_000 {
        assert_eq!(a.stats("c").await, (100_000, 95_000));
    }
    println!("stats: {:?}", began.elapsed() / 1_000);
    // One each. A node that a busy machine made lose its lease writes its sessions again meanwhile,
    // and looks at a length with each of these batches, but nobody looks at each session.
    assert!(calls(redis, "hlen").await - hlen < 5_000);
    assert_eq!(calls(redis, "hscan").await, hscan);

    let began = Instant::now();
    assert_eq!(a.list("c").await.len(), 100_000);
    println!("list: {:?}", began.elapsed());
    let pages = calls(redis, "hscan").await - hscan;
    println!("pages: {pages}");
    assert!((90..=220).contains(&pages), "{pages}");
    assert_eq!(a.presence.list(&channel("c"), 10).await, Ok(None));
    assert_eq!(
        calls(redis, "hscan").await - hscan,
        pages,
        "too many to be listed"
    );

    let slow = redis.ask(&[b"SLOWLOG", b"LEN"]).await.unwrap();
    println!("commands of more than 10 ms: {:?}", slow.integer());
    drop(b);
    let began = Instant::now();
    until(async || a.stats("c").await == (50_000, 50_000)).await;
    println!("vanished after {:?}", began.elapsed());
    until(async || a.presence.purged() > 0).await;
    let began = Instant::now();
    let mut a = a;
    let mut leaves = 0;
    while leaves < 50_000 {
        a.notices.recv().await.unwrap();
        leaves += 1;
    }
    println!("purged in {:?}", began.elapsed());
    assert_eq!(a.stats("c").await, (50_000, 50_000));
}
