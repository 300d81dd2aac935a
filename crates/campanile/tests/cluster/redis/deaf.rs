//! Subscriptions that look alive and bring nothing.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use campanile::redis::{Servers, Settings};
use campanile::vitals::Vitals as _;

use crate::support::redis::{Peer, RedisServer, address, settings};
use crate::support::{eventually, run};

/// Passes everything on, but for what comes back over lines of subscriptions while it is deaf.
struct Proxy {
    port: u16,
    is_deaf: Arc<AtomicBool>,
}

impl Proxy {
    fn start(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a connection of this machine");
        let port = listener
            .local_addr()
            .expect("a connection of this machine")
            .port();
        let is_deaf = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&is_deaf);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else {
                    continue;
                };
                let is_subscribed = Arc::new(AtomicBool::new(false));
                let (from, to) = (
                    client.try_clone().expect("a connection of this machine"),
                    server.try_clone().expect("a connection of this machine"),
                );
                let noted = Arc::clone(&is_subscribed);
                thread::spawn(move || {
                    pass(from, to, |bytes| {
                        if bytes.windows(9).any(|word| word == b"SUBSCRIBE") {
                            noted.store(true, Relaxed);
                        }
                        true
                    });
                });
                let is_deaf = Arc::clone(&shared);
                thread::spawn(move || {
                    pass(server, client, |_| {
                        !(is_deaf.load(Relaxed) && is_subscribed.load(Relaxed))
                    });
                });
            }
        });
        Self { port, is_deaf }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, is_passed: impl Fn(&[u8]) -> bool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        if is_passed(&buffer[..len]) && to.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn messages_that_do_not_arrive_are_noticed_and_the_line_is_made_again() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port);
    let settings = Settings {
        io_timeout: Duration::from_millis(500),
        ..settings(Servers::Single(address(proxy.port)))
    };
    let direct = Settings {
        servers: Servers::Single(server.address()),
        ..settings.clone()
    };
    let (mut peer, other) = (Peer::start(settings), Peer::start(direct));
    run(async {
        peer.subscribe("c").await.unwrap();
        proxy.is_deaf.store(true, Relaxed);
        other.keep("c", "1").await.unwrap();
        eventually("it is told", || {
            let obstacle = peer.node.link.obstacle().unwrap_or_default();
            obstacle.contains("do not arrive")
        });
        assert!(peer.node.metric("redis_probe_failures") >= 1);
        // Requests go on all the while.
        peer.keep("c", "2").await.unwrap();
        proxy.is_deaf.store(false, Relaxed);
        peer.lapse("c").await;
        assert_eq!(peer.history("c").await.0, [1, 2]);
        other.keep("c", "3").await.unwrap();
        assert_eq!(peer.publication().await.offset, 3);
        peer.node.wait();
        assert!(peer.node.metric("redis_sub_reconnects") >= 1);
    });
}
