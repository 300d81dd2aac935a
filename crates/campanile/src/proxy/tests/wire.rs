//! A backend that says any bytes, over TCP or TLS.

use std::sync::Arc;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// Accepts one connection after the other and answers one request on each with these bytes; then it
/// closes.
pub(super) async fn says(answer: &'static str) -> (String, JoinHandle<()>) {
    let (listener, url) = listen("http").await;
    let served = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, served)
}

/// Answers with these bytes on each of many connections, and keeps them all.
pub(super) async fn stalls(answer: Vec<u8>) -> (String, JoinHandle<()>) {
    let (listener, url) = listen("http").await;
    let answer = Arc::new(answer);
    let served = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                read_request(&mut stream).await;
                // Whoever has enough of it hangs up.
                let _ = stream.write_all(&answer).await;
                let _ = stream.read(&mut [0]).await;
            });
        }
    });
    (url, served)
}

/// Says nothing. Tells when it has been asked, and ends when the other side has closed.
pub(super) async fn says_nothing() -> (String, oneshot::Receiver<()>, JoinHandle<()>) {
    let (listener, url) = listen("http").await;
    let (asked, was_asked) = oneshot::channel();
    let closed = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        asked.send(()).unwrap();
        assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)));
    });
    (url, was_asked, closed)
}

/// Answers `{}` over TLS, on one connection after the other.
pub(super) async fn says_over_tls(config: ServerConfig) -> (String, JoinHandle<()>) {
    let (listener, url) = listen("https").await;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let served = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            read_request(&mut stream).await;
            answer(&mut stream).await;
        }
    });
    (url, served)
}

/// A URL where nobody listens.
pub(super) async fn is_nowhere() -> String {
    let (listener, url) = listen("http").await;
    drop(listener);
    url
}

async fn listen(scheme: &str) -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, format!("{scheme}://localhost:{port}"))
}

async fn answer(stream: &mut (impl AsyncWrite + Unpin)) {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    // A client that does not like the certificate is gone.
    let _ = stream.write_all(answer).await;
    let _ = stream.flush().await;
}

/// Reads up to the end of the body, whose length is told.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) {
    let mut text = Vec::new();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return,
            Ok(count) => text.extend_from_slice(&part[..count]),
        }
        let head = String::from_utf8_lossy(&text);
        let Some((head, body)) = head.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap();
        let length: usize = length.lines().next().unwrap().parse().unwrap();
        if body.len() >= length {
            return;
        }
    }
}
