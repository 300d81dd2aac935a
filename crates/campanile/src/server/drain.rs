//! Being told by a script to send everybody away: `POST` to `drain` below the API's prefix, with the
//! API's key. `GET` asks how far it has come, and orders nothing: whoever looks on may already see
//! the process that has taken over. Not a method of Centrifugo's, and not one of the node's: it is
//! the server that closes its doors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::web::{self, Bytes, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;

use super::doors::Doors;
use crate::api::Gate;

/// What is needed to do as told; the same in all workers.
#[derive(Clone)]
pub(super) struct DrainOrders(Arc<Means>);

struct Means {
    doors: Doors,
    gate: Gate,
    /// Told to stop.
    stops: Arc<watch::Sender<bool>>,
    /// Whether a drain has begun.
    has_begun: AtomicBool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Order {
    /// Whether the process is to end as well.
    exit: bool,
}

impl Means {
    fn tell(&self) -> HttpResponse {
        let node = self.doors.node.id();
        let connections = self.doors.admission.connections();
        HttpResponse::Ok().json(json!({"result": {"node": node, "connections": connections}}))
    }
}

impl DrainOrders {
    /// From whoever `gate` lets pass; `stops` is told to stop.
    pub(super) fn new(doors: &Doors, gate: Gate, stops: &Arc<watch::Sender<bool>>) -> Self {
        Self(Arc::new(Means {
            doors: doors.clone(),
            gate,
            stops: Arc::clone(stops),
            has_begun: AtomicBool::new(false),
        }))
    }

    /// Takes orders below the API's prefix.
    pub(super) fn configure(&self, handler_prefix: &str, services: &mut ServiceConfig) {
        let path = format!("{}/drain", handler_prefix.trim_end_matches('/'));
        let orders = web::resource(path).app_data(Data::new(self.clone()));
        let orders = orders.route(web::get().to(ask));
        services.service(orders.route(web::post().to(drain)));
    }
}

/// Tells who is drained, and how many connections there are.
async fn ask(means: Data<DrainOrders>, request: HttpRequest) -> HttpResponse {
    if means.0.gate.admits(&request) {
        means.0.tell()
    } else {
        HttpResponse::Unauthorized().finish()
    }
}

/// Begins, and tells as much. Ordered once more it changes nothing.
async fn drain(means: Data<DrainOrders>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let means = &means.0;
    if !means.gate.admits(&request) {
        return HttpResponse::Unauthorized().finish();
    }
    let order = if body.is_empty() {
        Ok(Order::default())
    } else {
        serde_json::from_slice(&body)
    };
    let Ok(order) = order else {
        return HttpResponse::BadRequest().body("expected {\"exit\": true} or nothing\n");
    };
    if order.exit {
        // Told twice the server would end at once.
        means
            .stops
            .send_if_modified(|stops| !std::mem::replace(stops, true));
    } else if !means.has_begun.swap(true, Ordering::Relaxed) {
        tracing::info!("told to drain: closing connections, and staying");
        let doors = means.doors.clone();
        actix_web::rt::spawn(async move {
            doors.drain().await;
            tracing::info!("drained");
        });
    }
    means.tell()
}
