//! WebSocket routes of an application that embeds the server: upgrades that are not ours go to its
//! handlers, on the same port and beside ours.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse, web};
use actix_ws::Message;
use campanile::protocol::ws::Opcode;
use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::client::{Client, ECHO, Received, masked};
use crate::support::embedded::Embedded;
use crate::support::http::{Response, Upgrade, exchange, exchange_bytes, request};

const CHAT: &str = "/chat/{room}";

fn start() -> Embedded {
    start_with(json!({}))
}

fn start_with(changes: Value) -> Embedded {
    Embedded::start(changes, |server| {
        server.routes(|services| {
            services.route(CHAT, web::get().to(chat));
            services.route("/page", web::get().to(|| async { "a page" }));
        })
    })
}

/// As the documentation of `actix-ws` has it.
async fn chat(
    request: HttpRequest,
    body: web::Payload,
    room: web::Path<String>,
) -> actix_web::Result<HttpResponse> {
    let (response, mut session, mut messages) = actix_ws::handle(&request, body)?;
    actix_web::rt::spawn(async move {
        while let Some(Ok(message)) = messages.recv().await {
            let outcome = match message {
                Message::Text(text) => session.text(format!("{room}: {text}")).await,
                Message::Ping(payload) => session.pong(&payload).await,
                Message::Close(reason) => return session.close(reason).await,
                _ => Ok(()),
            };
            outcome?;
        }
        Ok(())
    });
    Ok(response)
}

#[test]
fn an_ordinary_websocket_route_works_beside_ours() {
    let application = start();
    let mut ours = application.client(ECHO);
    let mut theirs = application.client("/chat/lobby?x=1");
    theirs.send_text("hello");
    assert_eq!(theirs.receive(), Received::Text("lobby: hello".into()));
    theirs.send(Opcode::Ping, b"p");
    assert_eq!(theirs.receive(), Received::Pong(b"p".into()));
    theirs.send_text(&"x".repeat(30_000));
    let Received::Text(text) = theirs.receive() else {
        panic!("no text");
    };
    assert_eq!(text.len(), 30_000 + "lobby: ".len());
    ours.send_text("echo");
    assert_eq!(ours.receive(), Received::Text("echo".into()));
    theirs.send(Opcode::Close, b"\x0F\xA0bye");
    assert_eq!(
        theirs.receive(),
        Received::Close(Some((4000, "bye".into())))
    );
    drop((ours, theirs));
    application.stop();
}

#[test]
fn frames_that_come_with_the_request_reach_their_handler() {
    let application = start();
    let mut request = Upgrade::new("/chat/lobby").bytes();
    request.extend(masked(Opcode::Text, b"early"));
    let mut theirs = Client::upgrade(application.tcp(), &request);
    assert_eq!(theirs.receive(), Received::Text("lobby: early".into()));
    drop(theirs);
    application.stop();
}

#[test]
fn ordinary_pages_and_refusals_of_their_handlers_come_through() {
    let application = start();
    let get = |bytes: Vec<u8>| Response::parse(&exchange(application.tcp(), &bytes));
    let page = get(request("GET", "/page", &[], ""));
    assert_eq!((page.status, page.body.as_str()), (200, "a page"));
    let no_version = Upgrade::new("/chat/lobby").without("Sec-WebSocket-Version");
    let no_version = no_version.header("Connection", "upgrade, close");
    assert_eq!(get(no_version.bytes()).status, 400);
    application.stop();
}

#[test]
fn what_is_made_with_the_routes_is_there_for_sockets_and_pages() {
    let application = Embedded::start(json!({}), |server| {
        server.routes(|services| {
            services.app_data(web::Data::new(AtomicUsize::new(0)));
            let count = async |count: web::Data<AtomicUsize>| count.load(SeqCst).to_string();
            let join = async |request, body, count: web::Data<AtomicUsize>| {
                count.fetch_add(1, SeqCst);
                actix_ws::handle(&request, body).map(|(response, ..)| response)
            };
            services.route("/count", web::get().to(count));
            services.route("/join", web::get().to(join));
        })
    });
    for seen in ["0", "1", "2"] {
        let count = exchange(application.tcp(), &request("GET", "/count", &[], ""));
        assert_eq!(Response::parse(&count).body, seen);
        drop(application.client("/join"));
    }
    application.stop();
}

#[test]
fn sockets_of_both_count_against_one_limit() {
    let application = start_with(json!({"client": {"connection_limit": 2}}));
    let mut theirs = application.client("/chat/lobby");
    let ours = application.client(ECHO);
    for path in ["/chat/lobby", ECHO] {
        let answer = exchange(application.tcp(), &Upgrade::new(path).bytes());
        assert_eq!(Response::parse(&answer).status, 503, "{path}");
    }
    let page = exchange(application.tcp(), &request("GET", "/page", &[], ""));
    assert_eq!(Response::parse(&page).status, 200);
    theirs.send(Opcode::Close, b"\x03\xE8");
    theirs.expect_close(1000);
    // Its place is free a moment after its end.
    let deadline = Instant::now() + PATIENCE;
    let is_full = || {
        let last_word = b"\x88\x80\0\0\0\0";
        let answer = [&Upgrade::new("/chat/lobby").bytes()[..], last_word].concat();
        exchange_bytes(application.tcp(), &answer).starts_with(b"HTTP/1.1 503 ")
    };
    while is_full() {
        assert!(Instant::now() < deadline, "its place stays taken");
    }
    drop(ours);
    application.stop();
}
