//! The baseline: the real-time server that a reader of an Actix WebSocket tutorial ends up with.
//!
//! A task and an unbounded queue for each session, one hub behind one mutex for everybody, JSON as
//! `serde_json::Value`, and a copy of the message for each subscriber. Nothing is sabotaged and
//! nothing is tuned; nothing is verified either (tokens, permissions, limits). It speaks just enough
//! of the Centrifuge JSON protocol for `campanile bench` to drive it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, get, post, rt, web};
use actix_ws::{Message, MessageStream, Session};
use clap::Parser;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{Instant, interval_at};

const PING_INTERVAL: Duration = Duration::from_secs(25);

type Subscribers = HashMap<usize, UnboundedSender<String>>;

/// Who is subscribed to what, for the whole process.
#[derive(Clone, Default)]
struct Hub {
    channels: Arc<Mutex<HashMap<String, Subscribers>>>,
    next_id: Arc<AtomicUsize>,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Subscribers>> {
        self.channels
            .lock()
            .expect("nothing panics while it holds the hub")
    }

    fn subscribe(&self, channel: &str, id: usize, outbox: UnboundedSender<String>) {
        self.lock()
            .entry(channel.to_owned())
            .or_default()
            .insert(id, outbox);
    }

    fn leave(&self, id: usize) {
        self.lock().retain(|_, subscribers| {
            subscribers.remove(&id);
            !subscribers.is_empty()
        });
    }

    fn publish(&self, channel: &str, payload: &Value) {
        let push = json!({"push": {"channel": channel, "pub": {"data": payload}}}).to_string();
        if let Some(subscribers) = self.lock().get(channel) {
            for outbox in subscribers.values() {
                // A closed queue belongs to a session that is about to leave.
                let _ = outbox.send(push.clone());
            }
        }
    }
}

/// What a command is answered with; `None` for a pong and whatever else has no `id`.
fn reply(hub: &Hub, id: usize, outbox: &UnboundedSender<String>, command: &str) -> Option<String> {
    let command: Value = serde_json::from_str(command).ok()?;
    let number = command.get("id")?;
    if command.get("connect").is_some() {
        let connect =
            json!({"client": id.to_string(), "version": "baseline", "ping": 25, "pong": true});
        return Some(json!({"id": number, "connect": connect}).to_string());
    }
    let channel = command.get("subscribe")?.get("channel")?.as_str()?;
    hub.subscribe(channel, id, outbox.clone());
    Some(json!({"id": number, "subscribe": {}}).to_string())
}

async fn run_session(hub: Hub, mut session: Session, mut incoming: MessageStream) {
    let id = hub.next_id.fetch_add(1, Ordering::Relaxed);
    let (outbox, mut queue) = unbounded_channel::<String>();
    let mut ping = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
    'session: loop {
        tokio::select! {
            message = incoming.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    for command in text.lines() {
                        if let Some(reply) = reply(&hub, id, &outbox, command)
                            && session.text(reply).await.is_err()
                        {
                            break 'session;
                        }
                    }
                }
                Some(Ok(Message::Ping(bytes))) => {
                    if session.pong(&bytes).await.is_err() {
                        break;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            },
            Some(push) = queue.recv() => {
                if session.text(push).await.is_err() {
                    break;
                }
            }
            _ = ping.tick() => {
                if session.text("{}").await.is_err() {
                    break;
                }
            }
        }
    }
    hub.leave(id);
    let _ = session.close(None).await;
}

#[get("/connection/websocket")]
async fn websocket(
    request: HttpRequest,
    body: web::Payload,
    hub: web::Data<Hub>,
) -> actix_web::Result<HttpResponse> {
    let (response, session, incoming) = actix_ws::handle(&request, body)?;
    rt::spawn(run_session(hub.get_ref().clone(), session, incoming));
    Ok(response)
}

#[get("/connection/echo")]
async fn echo(request: HttpRequest, body: web::Payload) -> actix_web::Result<HttpResponse> {
    let (response, mut session, mut incoming) = actix_ws::handle(&request, body)?;
    rt::spawn(async move {
        while let Some(Ok(Message::Text(text))) = incoming.next().await {
            if session.text(text).await.is_err() {
                break;
            }
        }
    });
    Ok(response)
}

#[post("/api/publish")]
async fn publish(hub: web::Data<Hub>, request: web::Json<Value>) -> HttpResponse {
    let channel = request.get("channel").and_then(Value::as_str);
    let (Some(channel), Some(payload)) = (channel, request.get("data")) else {
        return HttpResponse::BadRequest().finish();
    };
    hub.publish(channel, payload);
    HttpResponse::Ok().json(json!({"result": {}}))
}

#[derive(Parser)]
struct Args {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8702")]
    listen: SocketAddr,
    /// Worker threads.
    #[arg(long, default_value_t = 2)]
    workers: usize,
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    let args = Args::parse();
    let hub = Hub::default();
    HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(hub.clone()))
            .service(websocket)
            .service(echo)
            .service(publish)
    })
    .workers(args.workers)
    .bind(args.listen)?
    .run()
    .await
}
