//! What whoever runs the server asks it: is it alive, can it deliver?

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, Responder};

use crate::config::Endpoint;
use crate::vitals::Vitals;

/// Whether clients should be sent here: not before the server listens, not once it stops, and not
/// while what is published could not be carried or kept.
#[derive(Default)]
pub struct Readiness {
    is_open: AtomicBool,
    backbone: Vec<Arc<dyn Vitals>>,
}

impl Readiness {
    /// Of a server that stands on these.
    #[must_use]
    pub const fn new(backbone: Vec<Arc<dyn Vitals>>) -> Self {
        Self {
            is_open: AtomicBool::new(false),
            backbone,
        }
    }

    /// Turns it on or off.
    pub fn set(&self, is_ready: bool) {
        self.is_open.store(is_ready, Ordering::Relaxed);
    }

    /// Why clients should not be sent here.
    fn obstacle(&self) -> Option<Cow<'static, str>> {
        if !self.is_open.load(Ordering::Relaxed) {
            return Some("the server is stopping".into());
        }
        self.backbone.iter().find_map(|part| part.obstacle())
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
            let obstacle = readiness.obstacle();
            async move { ready(obstacle.as_deref()) }
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

fn ready(obstacle: Option<&str>) -> HttpResponse {
    match obstacle {
        None => HttpResponse::Ok().json(serde_json::json!({"ready": true})),
        Some(reason) => HttpResponse::ServiceUnavailable()
            .json(serde_json::json!({"ready": false, "reason": reason})),
    }
}
