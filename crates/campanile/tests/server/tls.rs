//! The same over TLS.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use campanile_protocol::ws::Opcode;
use rcgen::{CertifiedKey, KeyPair};
use rustix::process::Signal;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};
use serde_json::json;

use crate::support::API_KEY;
use crate::support::client::{Client, ECHO, Received, WEBSOCKET, masked};
use crate::support::embedded::Embedded;
use crate::support::http::{Response, Upgrade, exchange, exchange_bytes, request};
use crate::support::server::{Home, Server, Setup};
use crate::support::stream::{HTTP_STREAM, Stream as Body, emulation, transports};

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A server with a certificate that was made for it, and the only clients that trust it.
struct Secured {
    server: Server,
    trust: Arc<ClientConfig>,
}

fn certificate() -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a name")
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn trust(made: &CertifiedKey<KeyPair>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a certificate");
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("it has them")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn secured(stream: TcpStream, trust: &Arc<ClientConfig>) -> Stream {
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(Arc::clone(trust), name).expect("a client");
    StreamOwned::new(connection, stream)
}

impl Secured {
    fn start() -> Self {
        let made = certificate();
        let trust = trust(&made);
        let server = Setup::new()
            .with(json!({
                "http_server": {"tls": {
                    "enabled": true,
                    "cert_pem": made.cert.pem(),
                    "key_pem": made.signing_key.serialize_pem(),
                }},
                "client": {"queue_max_size": 8 << 20},
            }))
            .with(transports())
            .start();
        Self {
            server,
            trust: Arc::new(trust),
        }
    }

    fn stream(&self) -> Stream {
        secured(self.server.tcp(), &self.trust)
    }

    fn client(&self, path: &str) -> Client<Stream> {
        Client::upgrade(self.stream(), &Upgrade::new(path).bytes())
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Response {
        let request = request(method, path, &[("X-API-Key", API_KEY)], body);
        Response::parse(&exchange(self.stream(), &request))
    }
}

#[test]
fn publications_arrive_over_tls_and_large_ones_too() {
    let secured = Secured::start();
    let mut client = secured.client(WEBSOCKET);
    client.log_in();
    client.subscribe("news");
    for size in [1, 20_000, 200_000] {
        let data = json!("x".repeat(size));
        let body = json!({"channel": "news", "data": data}).to_string();
        let response = secured.request("POST", "/api/publish", &body);
        assert_eq!(
            (response.status, response.body.as_str()),
            (200, r#"{"result":{}}"#)
        );
        client.expect_publication("news", &data);
    }
    // As an unclean end would be an error here, it is a clean one.
    client.send(Opcode::Close, b"\x03\xE8");
    client.expect_close(1000);
    secured.server.stop();
}

#[test]
fn streamed_responses_go_on_over_tls() {
    let secured = Secured::start();
    let mut stream = secured.stream();
    let commands = r#"{"id":1,"connect":{}}"#;
    let request = request("POST", HTTP_STREAM, &[], commands);
    stream.write_all(&request).expect("the server reads");
    let mut body = Body::begun(stream);
    let told = body.message()["connect"].clone();
    let subscribe = r#"{"id":2,"subscribe":{"channel":"news"}}"#;
    let emulated = secured.request("POST", "/emulation", &emulation(&told, subscribe));
    assert_eq!(emulated.status, 204);
    assert!(body.message()["subscribe"].is_object());
    let data = json!("x".repeat(200_000));
    let publish = json!({"channel": "news", "data": data}).to_string();
    assert_eq!(
        secured.request("POST", "/api/publish", &publish).status,
        200
    );
    assert_eq!(body.message()["push"]["pub"]["data"], data);
    // As an unclean end would be an error here, it is a clean one.
    assert_eq!(
        secured
            .request("POST", "/emulation", &emulation(&told, "{"))
            .status,
        204
    );
    body.expect_disconnect(3501, "bad request");
    secured.server.stop();
}

#[test]
fn a_client_that_reads_late_gets_everything_over_tls() {
    let secured = Secured::start();
    let mut client = secured.client(WEBSOCKET);
    client.log_in();
    client.subscribe("news");
    let filler = "x".repeat(100_000);
    let publication = |n: usize| json!({"n": n, "filler": filler});
    for n in 0..60 {
        let body = json!({"channel": "news", "data": publication(n)}).to_string();
        assert_eq!(secured.request("POST", "/api/publish", &body).status, 200);
    }
    for n in 0..60 {
        client.expect_publication("news", &publication(n));
    }
    secured.server.stop();
}

#[test]
fn frames_behind_the_request_and_echoes_work_over_tls() {
    let secured = Secured::start();
    let mut request = Upgrade::new(ECHO).bytes();
    request.extend(masked(Opcode::Text, b"first"));
    let mut client = Client::upgrade(secured.stream(), &request);
    assert_eq!(client.receive(), Received::Text("first".into()));
    client.send(Opcode::Binary, &[9; 50_000]);
    assert_eq!(client.receive(), Received::Binary(vec![9; 50_000]));
    client.send_raw(b"\x81\x00");
    client.expect_close(1002);
    secured.server.stop();
}

#[test]
fn api_metrics_and_refusals_are_served_over_tls() {
    let secured = Secured::start();
    assert_eq!(secured.request("GET", "/ready", "").status, 200);
    assert_eq!(secured.request("POST", "/api/info", "{}").status, 200);
    let metrics = secured.request("GET", "/metrics", "");
    assert!(
        metrics.body.contains("centrifugo_node_num_clients 0\n"),
        "{}",
        metrics.body
    );
    let refused = exchange(
        secured.stream(),
        &Upgrade::new(WEBSOCKET)
            .header("Sec-WebSocket-Version", "7")
            .bytes(),
    );
    assert_eq!(Response::parse(&refused).status, 426);
    secured.server.stop();
}

#[test]
fn plain_text_on_a_tls_port_harms_nobody() {
    let secured = Secured::start();
    let mut client = secured.client(ECHO);
    let bytes = exchange_bytes(secured.server.tcp(), &request("GET", "/health", &[], ""));
    assert!(!bytes.starts_with(b"HTTP/1.1 200"));
    client.send_text("still here");
    assert_eq!(client.receive(), Received::Text("still here".into()));
    secured.server.stop();
}

#[test]
fn clients_over_tls_are_told_of_a_shutdown() {
    let secured = Secured::start();
    let mut client = secured.client(WEBSOCKET);
    client.log_in();
    secured.server.signal(Signal::TERM);
    assert_eq!(client.expect_close(3001), "shutdown");
    secured.server.log.wait_for(": stopped");
}

/// With a list of protocols that would suit other servers of the application.
#[test]
fn an_applications_own_socket_and_certificate_are_served() {
    let made = certificate();
    let mut trust = trust(&made);
    trust.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let mut own = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("it has them")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("they belong together");
    own.alpn_protocols = trust.alpn_protocols.clone();
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = socket.local_addr().expect("it is bound");
    let application = Embedded::start(json!({}), move |server| {
        server.listen(socket).tls(Arc::new(own))
    });
    assert_eq!(application.address(), address);
    let stream = secured(application.tcp(), &Arc::new(trust));
    let mut client = Client::upgrade(stream, &Upgrade::new(ECHO).bytes());
    let agreed = client.stream.conn.alpn_protocol();
    assert_eq!(agreed, Some(&b"http/1.1"[..]));
    client.send_text("secret");
    assert_eq!(client.receive(), Received::Text("secret".into()));
    drop(client);
    application.stop();
}

#[test]
fn a_renewed_certificate_is_shown_to_those_who_come_after_a_reload() {
    let home = Arc::new(Home::new());
    let path = |name: &str| home.path().join(name);
    let write = |made: &CertifiedKey<KeyPair>| {
        fs::write(path("cert.pem"), made.cert.pem()).expect("a writable directory");
        fs::write(path("key.pem"), made.signing_key.serialize_pem()).expect("likewise");
    };
    let [first, second] = [(); 2].map(|()| certificate());
    write(&first);
    let tls = json!({"enabled": true, "cert_pem": path("cert.pem"), "key_pem": path("key.pem")});
    let setup = Setup::new().with(json!({"http_server": {"tls": tls}}));
    let mut server = setup.start_in(Arc::clone(&home));
    let come = |server: &Server, made: &CertifiedKey<KeyPair>| {
        let stream = secured(server.tcp(), &Arc::new(trust(made)));
        Client::upgrade(stream, &Upgrade::new(WEBSOCKET).bytes())
    };
    let mut early = come(&server, &first);
    early.log_in();
    // The key first: a pair that does not fit is refused, and nothing changes.
    let key = second.signing_key.serialize_pem();
    fs::write(path("key.pem"), key).expect("likewise");
    server.signal(Signal::HUP);
    server.log.wait_for("nothing has changed");
    come(&server, &first).log_in();
    write(&second);
    server.reload(json!({}));
    come(&server, &second).log_in();
    early.subscribe("news");
    assert_eq!(server.log.count("http_server.tls: another certificate"), 1);
    server.stop();
}
