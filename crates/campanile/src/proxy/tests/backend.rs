//! A backend over HTTP: answers as a test decides, and remembers what it was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::Value;
use tokio::sync::watch;

/// What it was asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) target: String,
    /// Several of one name are joined by `|`.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) text: String,
    /// The connection, by its other end.
    pub(super) peer: String,
}

impl Asked {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

struct Shared {
    answer: Mutex<(u16, String)>,
    asked: Mutex<Vec<Asked>>,
    arrived: watch::Sender<usize>,
    is_open: watch::Sender<bool>,
}

/// See the [module](self).
pub(super) struct Backend {
    shared: Arc<Shared>,
    url: String,
    handle: actix_web::dev::ServerHandle,
    system: actix_rt::System,
    thread: Option<thread::JoinHandle<()>>,
}

impl Backend {
    /// Answers `{}` until told otherwise.
    pub(super) fn start() -> Self {
        let shared = Arc::new(Shared {
            answer: Mutex::new((200, "{}".into())),
            asked: Mutex::default(),
            arrived: watch::Sender::new(0),
            is_open: watch::Sender::new(true),
        });
        let (started, start) = mpsc::channel();
        let held = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            actix_rt::System::new().block_on(async move {
                let server = HttpServer::new(move || {
                    let shared = web::Data::from(Arc::clone(&held));
                    App::new()
                        .app_data(shared)
                        .app_data(web::PayloadConfig::new(1 << 20))
                        .default_service(web::to(serve))
                });
                let server = server.workers(1).disable_signals();
                let server = server.bind(("127.0.0.1", 0)).unwrap();
                let url = format!("http://{}", server.addrs()[0]);
                let server = server.run();
                let system = actix_rt::System::current();
                started.send((url, server.handle(), system)).unwrap();
                server.await.unwrap();
            });
        });
        let (url, handle, system) = start.recv().unwrap();
        Self {
            shared,
            url,
            handle,
            system,
            thread: Some(thread),
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn answer(&self, status: u16, body: impl Into<String>) {
        *self.shared.answer.lock().unwrap() = (status, body.into());
    }

    /// Answers nothing until it is opened again.
    pub(super) fn close(&self) {
        self.shared.is_open.send_replace(false);
    }

    pub(super) fn open(&self) {
        self.shared.is_open.send_replace(true);
    }

    pub(super) async fn has_been_asked(&self, times: usize) {
        let mut arrived = self.shared.arrived.subscribe();
        arrived.wait_for(|count| *count >= times).await.unwrap();
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// The one question since the last time.
    pub(super) fn take(&self) -> Asked {
        let mut asked = self.shared.asked.lock().unwrap();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked.pop().unwrap()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.open();
        drop(self.handle.stop(false));
        self.system.stop();
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

async fn serve(shared: web::Data<Shared>, request: HttpRequest, body: String) -> HttpResponse {
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value) in request.headers() {
        let value = value.to_str().unwrap();
        let known = headers.entry(name.to_string());
        known
            .and_modify(|all| *all = format!("{all}|{value}"))
            .or_insert_with(|| value.to_owned());
    }
    shared.asked.lock().unwrap().push(Asked {
        method: request.method().to_string(),
        target: request.uri().to_string(),
        headers,
        text: body,
        peer: request.peer_addr().unwrap().to_string(),
    });
    shared.arrived.send_modify(|count| *count += 1);
    let mut is_open = shared.is_open.subscribe();
    is_open.wait_for(|is_open| *is_open).await.unwrap();
    let (status, body) = shared.answer.lock().unwrap().clone();
    let status = StatusCode::from_u16(status).unwrap();
    let mut response = HttpResponse::build(status);
    if status.is_redirection() {
        response.insert_header(("Location", "/elsewhere"));
    }
    response.body(body)
}
