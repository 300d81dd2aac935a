//! The page, which is in the program, and the SDK, which `npm ci` puts beside it.

use actix_web::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, ContentType};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, HttpResponseBuilder};

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const FILES: [(&str, &str, &str); 4] = [
    (
        "/",
        "text/html; charset=utf-8",
        include_str!("../page/index.html"),
    ),
    ("/app.js", JAVASCRIPT, include_str!("../page/app.js")),
    ("/room.js", JAVASCRIPT, include_str!("../page/room.js")),
    (
        "/style.css",
        "text/css; charset=utf-8",
        include_str!("../page/style.css"),
    ),
];

/// Where `npm ci` in the example's directory puts the SDK.
const SDK: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/node_modules/centrifuge/build/index.mjs"
);

/// Adds the routes of the page.
pub(crate) fn routes(services: &mut ServiceConfig) {
    for (path, content_type, content) in FILES {
        let file = move || async move { page(content_type).body(content) };
        services.route(path, web::get().to(file));
    }
    services.route("/centrifuge.mjs", web::get().to(sdk));
}

async fn sdk() -> HttpResponse {
    match web::block(|| std::fs::read(SDK)).await {
        Ok(Ok(content)) => page(JAVASCRIPT).body(content),
        _ => HttpResponse::NotFound()
            .insert_header(ContentType::plaintext())
            .body("the SDK is missing: run `npm ci` in examples/chat\n"),
    }
}

/// A page loads nothing from elsewhere and connects to nowhere else.
fn page(content_type: &'static str) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .insert_header((CONTENT_TYPE, content_type))
        .insert_header((
            CONTENT_SECURITY_POLICY,
            "default-src 'self'; img-src data:; frame-ancestors 'none'",
        ));
    response
}
