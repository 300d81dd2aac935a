//! What whoever runs the server asks it: is it alive, can it deliver?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, Responder};

use crate::config::Endpoint;

/// Whether clients should be sent here: not before the server listens, and not once it stops.
#[derive(Debug, Default)]
pub struct Readiness(AtomicBool);

impl Readiness {
    /// Turns it on or off.
    pub fn set(&self, is_ready: bool) {
        self.0.store(is_ready, Ordering::Relaxed);
    }

    fn is_ready(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Adds `/health` (where enabled), `/ready` and `/healthcheck`.
pub fn configure(health: &Endpoint, readiness: &Arc<Readiness>, services: &mut ServiceConfig) {
    if health.enabled {
        services.route(&health.handler_prefix, web::get().to(alive));
    }
    let readiness = Arc::clone(readiness);
    services.route(
        "/ready",
        web::get().to(move || {
            let is_ready = readiness.is_ready();
            async move { ready(is_ready) }
        }),
    );
    services.route("/healthcheck", web::get().to(live));
}

/// The process serves.
async fn alive() -> impl Responder {
    HttpResponse::Ok()
        .content_type("application/json")
        .body("{}")
}

/// The tutorials' name for the same, in words.
async fn live() -> impl Responder {
    HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .body("Live and well\n")
}

fn ready(is_ready: bool) -> HttpResponse {
    if is_ready {
        HttpResponse::Ok().json(serde_json::json!({"ready": true}))
    } else {
        HttpResponse::ServiceUnavailable().json(serde_json::json!({"ready": false}))
    }
}
