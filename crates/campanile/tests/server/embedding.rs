//! WebSocket routes of an application that embeds the server: upgrades that are not ours go to its
//! handlers, on the same port and beside ours.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use actix_server::ServerHandle;
use actix_web::{HttpRequest, HttpResponse, web};
use actix_ws::Message;
use campanile::transport::{
    Admission, HandshakeRules, Listener, Origins, StreamEndpoints, WorkerPool, listen,
};
use campanile_engine::budget::MemoryBudget;
use campanile_protocol::ws::{self, Opcode};

use crate::support::PATIENCE;
use crate::support::client::{Client, ECHO, Received, masked};
use crate::support::http::{Response, Upgrade, exchange, request};
use crate::support::node::node;

const CHAT: &str = "/chat/{room}";

/// An application in a thread of this process.
struct Application {
    address: SocketAddr,
    handle: ServerHandle,
    thread: Option<thread::JoinHandle<()>>,
}

impl Application {
    fn start() -> Self {
        let (started, address) = mpsc::channel();
        let thread = thread::spawn(move || actix_rt::System::new().block_on(serve(started)));
        let (address, handle) = address.recv_timeout(PATIENCE).expect("it starts");
        Self {
            address,
            handle,
            thread: Some(thread),
        }
    }

    fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream
    }

    fn client(&self, path: &str) -> Client {
        Client::upgrade(self.tcp(), &Upgrade::new(path).bytes())
    }

    fn stop(mut self) {
        drop(self.handle.stop(true));
        let thread = self.thread.take().expect("it was started");
        thread.join().expect("it ends well");
    }
}

async fn serve(started: Sender<(SocketAddr, ServerHandle)>) {
    let budget = Arc::new(MemoryBudget::new(None));
    let (node, seats) = node(1, &budget);
    let listener = Listener {
        workers: Arc::new(WorkerPool::new(node, seats, ws::Limits::default())),
        compresses: false,
        worker_count: 1,
        websocket_path: None,
        uni_websocket_path: None,
        plain_prefix: None,
        streams: StreamEndpoints::default(),
        echo_path: ECHO.into(),
        requests_max: 64,
        origins: Origins::new::<&str>(&[]).expect("no pattern is a bad one"),
        handshakes: HandshakeRules::default(),
        admission: Arc::new(Admission::new(100, None, budget)),
        tls: None,
        routes: Arc::new(|services| {
            services.route(CHAT, web::get().to(chat));
            services.route("/page", web::get().to(|| async { "a page" }));
        }),
        shutdown_timeout: Duration::from_secs(2),
    };
    let (server, handle, address) =
        listen(listener, ([127, 0, 0, 1], 0).into()).expect("a port is free");
    started.send((address, handle)).expect("the test waits");
    server.await.expect("it serves");
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
    let application = Application::start();
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
    let application = Application::start();
    let mut request = Upgrade::new("/chat/lobby").bytes();
    request.extend(masked(Opcode::Text, b"early"));
    let mut theirs = Client::upgrade(application.tcp(), &request);
    assert_eq!(theirs.receive(), Received::Text("lobby: early".into()));
    drop(theirs);
    application.stop();
}

#[test]
fn ordinary_pages_and_refusals_of_their_handlers_come_through() {
    let application = Application::start();
    let get = |bytes: Vec<u8>| Response::parse(&exchange(application.tcp(), &bytes));
    let page = get(request("GET", "/page", &[], ""));
    assert_eq!((page.status, page.body.as_str()), (200, "a page"));
    let no_version = Upgrade::new("/chat/lobby").without("Sec-WebSocket-Version");
    let no_version = no_version.header("Connection", "upgrade, close");
    assert_eq!(get(no_version.bytes()).status, 400);
    application.stop();
}
