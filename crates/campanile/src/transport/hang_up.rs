//! Ending a connection of actix behind the response under way.
//!
//! actix goes on to answer what was pipelined behind a request, whatever its response says about
//! closing. What stops it is its signal of a graceful shutdown, which it asks for once for each
//! connection: here that signal is the connection's own as well as the server's.

use std::cell::RefCell;
use std::rc::Rc;

use actix_http::body::BoxBody;
use actix_http::{Extensions, Request, Response};
use actix_server::GracefulShutdownSignal;
use actix_web::HttpRequest;
use tokio::sync::Notify;

use super::line::Line;

/// A connection's own signal, among the data of the connection.
#[derive(Clone, Default)]
struct HangUp(Rc<(Notify, Notify)>);

/// The signals of a worker's connections.
#[derive(Clone)]
pub(super) struct HangUps {
    server: GracefulShutdownSignal,
    /// That of the latest connection: actix announces it and asks for its signal in one go.
    latest: Rc<RefCell<HangUp>>,
}

impl HangUps {
    pub(super) fn new(server: GracefulShutdownSignal) -> Self {
        Self {
            server,
            latest: Rc::default(),
        }
    }

    /// Takes note of a new connection.
    pub(super) fn announce(&self, _: &Line, connection: &mut Extensions) {
        let own = HangUp::default();
        connection.insert(own.clone());
        self.latest.replace(own);
    }

    /// The signal of the connection that was announced.
    pub(super) fn signal(&self) -> impl Future<Output = ()> + use<> {
        let (server, own) = (self.server.clone(), self.latest.borrow().clone());
        async move {
            let (wanted, heard) = &*own.0;
            tokio::select! {
                () = server.notified() => {}
                () = wanted.notified() => {}
            }
            heard.notify_one();
        }
    }
}

/// Refuses a request, and never answers another one on its connection.
pub(super) async fn refuse(request: Request) -> Response<BoxBody> {
    end_behind(request.conn_data()).await;
    let told = "expected a WebSocket handshake without a body\n";
    Response::bad_request().set_body(BoxBody::new(told))
}

/// Makes this request the last one that is carried out on its connection. To be waited for before
/// the request is answered in any way.
pub(super) async fn hang_up(request: &HttpRequest) {
    end_behind(request.conn_data()).await;
}

async fn end_behind(connection: Option<&HangUp>) {
    if let Some(HangUp(signal)) = connection {
        let (wanted, heard) = &**signal;
        wanted.notify_one();
        // A response before that would still be followed by others.
        heard.notified().await;
    }
}
