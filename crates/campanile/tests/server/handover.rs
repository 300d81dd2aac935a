//! A socket that outlives the process which serves it, and what its supervisor is told.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::restart;
use crate::support::client::{Client, Received, WEBSOCKET};
use crate::support::http::{self, Response, Upgrade};
use crate::support::server::{Home, Setup};
use crate::support::{API_KEY, PATIENCE};

const CHANNEL: &str = "kept:1";

fn kept_socket() -> Arc<TcpListener> {
    Arc::new(TcpListener::bind("127.0.0.1:0").expect("a port"))
}

fn reach(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("nobody is refused");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream
}

/// Publishes numbers from 0 on, each on a connection of its own, until told to end; how many.
fn publish_until(end: &AtomicBool, address: SocketAddr) -> u64 {
    let mut next = 0;
    while !end.load(Ordering::Relaxed) {
        let body = json!({"channel": CHANNEL, "data": next}).to_string();
        let headers = [("X-API-Key", API_KEY)];
        let request = http::request("POST", "/api/publish", &headers, &body);
        let response = Response::parse(&http::exchange(reach(address), &request));
        let answer: Value = serde_json::from_str(&response.body).expect("JSON");
        assert_eq!(answer["result"]["offset"], json!(next + 1), "{response:?}");
        next += 1;
    }
    next
}

/// Comes, says who it is, and stays until it is sent away; how often it was.
fn visit_until(end: &AtomicBool, address: SocketAddr) -> u32 {
    let mut sent_away = 0;
    while !end.load(Ordering::Relaxed) {
        // Fails if it is refused.
        let mut client = Client::upgrade(reach(address), &Upgrade::new(WEBSOCKET).bytes());
        client.send_json(&json!({"id": 1, "connect": {}}));
        for _ in 0..10 {
            match client.receive() {
                Received::Close(Some((3001, _))) => {
                    sent_away += 1;
                    break;
                }
                Received::Text(_) => {
                    client.send_json(&json!({"id": 2, "rpc": {"method": "none"}}));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    sent_away
}

#[test]
fn a_restart_refuses_nobody_where_the_socket_is_kept() {
    let socket = kept_socket();
    let address = socket.local_addr().expect("it has one");
    // Not chosen, so that there is none.
    let by_default = json!({"shutdown": {"drain": null}});
    let setup = restart::setup().with(by_default);
    let mut server = setup.socket(Arc::clone(&socket)).start();
    assert_eq!(server.address, address);
    let end = Arc::new(AtomicBool::new(false));
    let publisher = thread::spawn({
        let end = Arc::clone(&end);
        move || publish_until(&end, address)
    });
    let visitors: Vec<_> = (0..4)
        .map(|_| {
            let end = Arc::clone(&end);
            thread::spawn(move || visit_until(&end, address))
        })
        .collect();
    let mut idle = Client::session(&server);
    for _ in 0..3 {
        let before = restart::history(&server, CHANNEL);
        let began = Instant::now();
        server = server.restart(Signal::TERM);
        let took = began.elapsed();
        assert!(took < Duration::from_secs(4), "{took:?}");
        idle.expect_close(3001);
        idle = Client::session(&server);
        let after = restart::history(&server, CHANNEL);
        let (before, after) = (before["offset"].as_u64(), after["offset"].as_u64());
        assert!(after >= before, "{after:?} < {before:?}");
    }
    end.store(true, Ordering::Relaxed);
    let published = publisher.join().expect("every publication was taken");
    for visitor in visitors {
        visitor.join().expect("it was never refused");
    }
    assert!(published > 0);
    let kept = restart::history(&server, CHANNEL);
    assert_eq!(kept["offset"], json!(published));
    server.stop();
}

#[test]
fn the_configured_address_gives_way_to_the_socket() {
    let socket = kept_socket();
    let address = socket.local_addr().expect("it has one");
    let server = Setup::new().socket(socket).start();
    assert_eq!(server.address, address);
    assert_eq!(
        server
            .log
            .count("http_server.address and port have no effect"),
        1
    );
    server.stop();
}

#[test]
fn a_supervisor_is_told_when_it_begins_and_ends() {
    let home = Arc::new(Home::new());
    let path = home.path().join("notify");
    let ear = UnixDatagram::bind(&path).expect("a short path");
    ear.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let hear = || {
        let mut told = [0; 512];
        let length = ear.recv(&mut told).expect("it is told");
        String::from_utf8_lossy(&told[..length]).into_owned()
    };
    let server = Setup::new()
        .variable("NOTIFY_SOCKET", path.to_str().expect("text"))
        .variable("WATCHDOG_USEC", "200000")
        .start_in(Arc::clone(&home));
    let ready = hear();
    let address = server.address;
    assert!(ready.starts_with("READY=1\n"), "{ready}");
    assert!(
        ready.contains(&format!("STATUS=serving at {address}")),
        "{ready}"
    );
    assert_eq!(hear().trim(), "WATCHDOG=1");
    assert_eq!(hear().trim(), "WATCHDOG=1");
    server.stop();
    let last = loop {
        let told = hear();
        if told.trim() != "WATCHDOG=1" {
            break told;
        }
    };
    assert!(last.starts_with("STOPPING=1\n"), "{last}");
}

#[test]
fn descriptors_that_were_meant_for_another_process_are_not_served() {
    // As it is in what a service starts.
    let server = Setup::new()
        .variable("LISTEN_FDS", "1")
        .variable("LISTEN_PID", "1")
        .start();
    assert_eq!(server.get("/ready").status, 200);
    server.stop();
}

#[test]
fn a_descriptor_that_is_no_socket_is_an_error_that_says_so() {
    let no_socket = "exec 3</dev/null; export LISTEN_FDS=1 LISTEN_PID=$$";
    let output = Setup::new().prepare(no_socket).run_to_end();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("LISTEN_FDS"), "{told}");
}

#[test]
fn a_drain_that_was_chosen_is_kept_also_where_the_socket_is() {
    let mut server = Setup::new()
        .with(json!({"shutdown": {"drain": "1500ms"}}))
        .socket(kept_socket())
        .start();
    let mut clients: Vec<Client> = (0..30).map(|_| Client::session(&server)).collect();
    server.signal(Signal::TERM);
    let began = Instant::now();
    for client in &mut clients {
        client.expect_close(3001);
    }
    let took = began.elapsed();
    assert!(took > Duration::from_millis(500), "not spread: {took:?}");
    assert_eq!(server.wait(), Some(0));
}
