//! A server that publishes keys, or fails to in every way that a test wants.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use serde_json::Value;

/// What is said at a path.
#[derive(Clone)]
pub(super) enum Page {
    /// A document, well delivered.
    Document(String),
    /// These bytes, whatever they are.
    Raw(String),
    /// Nothing, until the page is another.
    Silence,
}

impl Page {
    pub(super) fn keys(keys: &[Value]) -> Self {
        Self::Document(serde_json::json!({ "keys": keys }).to_string())
    }

    pub(super) fn status(status: &str) -> Self {
        Self::Raw(format!(
            "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ))
    }
}

/// See the [module](self).
pub(super) struct Publisher {
    address: SocketAddr,
    shared: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    pages: HashMap<String, Page>,
    asked: Vec<String>,
}

impl Publisher {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let held = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&held);
                thread::spawn(move || serve(stream.unwrap(), &shared));
            }
        });
        Self { address, shared }
    }

    pub(super) fn with(page: Page) -> Self {
        let publisher = Self::start();
        publisher.set("/jwks", page);
        publisher
    }

    pub(super) fn set(&self, path: &str, page: Page) {
        let (state, changed) = &*self.shared;
        state.lock().unwrap().pages.insert(path.into(), page);
        changed.notify_all();
    }

    /// The paths that were asked for, in order.
    pub(super) fn asked(&self) -> Vec<String> {
        self.shared.0.lock().unwrap().asked.clone()
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

fn serve(mut stream: TcpStream, shared: &(Mutex<State>, Condvar)) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read_exact(&mut byte).is_err() {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let (state, changed) = shared;
    let mut state = state.lock().unwrap();
    state.asked.push(path.clone());
    let page = loop {
        match state.pages.get(&path) {
            Some(Page::Silence) => state = changed.wait(state).unwrap(),
            Some(page) => break page.clone(),
            None => break Page::status("404 Not Found"),
        }
    };
    drop(state);
    let bytes = match page {
        Page::Document(body) => format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ),
        Page::Raw(bytes) => bytes,
        Page::Silence => unreachable!("it was waited for"),
    };
    // Whoever asked may have gone.
    let _ = stream.write_all(bytes.as_bytes());
}
