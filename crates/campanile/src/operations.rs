//! What whoever runs the server asks it: is it alive, can it deliver?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, Responder};
use campanile_engine::broker::{DiskBroker, DiskStatus};

use crate::config::Endpoint;

/// Whether clients should be sent here: not before the server listens, not once it stops, and not
/// while what is published into histories could not be kept.
#[derive(Default)]
pub struct Readiness {
    is_open: AtomicBool,
    /// `None` where nothing is kept on disk.
    store: Option<Arc<DiskBroker>>,
}

impl Readiness {
    /// Of a server that keeps its streams there.
    #[must_use]
    pub const fn new(store: Option<Arc<DiskBroker>>) -> Self {
        Self {
            is_open: AtomicBool::new(false),
            store,
        }
    }

    /// Turns it on or off.
    pub fn set(&self, is_ready: bool) {
        self.is_open.store(is_ready, Ordering::Relaxed);
    }

    /// Why clients should not be sent here.
    fn obstacle(&self) -> Option<&'static str> {
        if !self.is_open.load(Ordering::Relaxed) {
            return Some("the server is stopping");
        }
        trouble(&self.store.as_ref()?.status())
    }
}

/// Why publications into histories are refused, the worst first.
const fn trouble(store: &DiskStatus) -> Option<&'static str> {
    if store.is_failed {
        Some("the disk failed to sync: nothing is stored until a restart")
    } else if store.is_stalled {
        Some("the disk stands still")
    } else if store.is_unwritable {
        Some("the data directory cannot be written")
    } else if store.is_full {
        Some("the disk, or what may be used of it, is full")
    } else {
        None
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
            async move { ready(obstacle) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_takes_nothing_is_an_obstacle_and_the_worst_is_told() {
        let mut status = DiskStatus::default();
        assert_eq!(trouble(&status), None);
        let mut reasons = Vec::new();
        status.is_full = true;
        reasons.extend(trouble(&status));
        status.is_unwritable = true;
        reasons.extend(trouble(&status));
        status.is_stalled = true;
        reasons.extend(trouble(&status));
        status.is_failed = true;
        reasons.extend(trouble(&status));
        reasons.dedup();
        assert_eq!(reasons.len(), 4, "{reasons:?}");
        assert!(reasons[3].contains("restart"));
    }
}
