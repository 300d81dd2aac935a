//! All that was added: who may connect, and what is told when.
//!
//! The application does its work as before. What this knows of a request is what has changed when
//! it is done.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::{fs, io};

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::ErrorInternalServerError;
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, Bytes, Data, ServiceConfig};
use actix_web::{Error, HttpResponse, rt};
use campanile::engine::broker::Version;
use campanile::engine::node::PublishRequest;
use campanile::engine::shard::Target;
use campanile::handlers::{Arrival, Credentials, Decision, Grant, Handlers, Interests, Verdict};
use campanile::protocol::Disconnect;
use campanile::{Config, Node, payload};

use crate::app::{self, Desk};

const CHANNEL: &str = "orders";
/// From 4500 to 4999: clients do not come back by themselves.
const SIGNED_OUT: Disconnect = Disconnect {
    code: 4501,
    reason: Cow::Borrowed("signed out"),
};
const LIVE: Bytes = Bytes::from_static(include_bytes!("../page/live.js"));
const SDK: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/node_modules/centrifuge/build/index.mjs"
);

/// One channel, which keeps the latest list for whoever comes, or comes back.
pub(crate) fn config() -> Result<Config, Box<dyn StdError>> {
    Ok(Config::from_toml(
        "
        [client]
        allowed_origins = ['same-origin']

        [channel.without_namespace]
        history_size = 1
        history_ttl = '720h'
        force_recovery = true
        force_recovery_mode = 'cache'
        auto_cache_recover = true

        [engine]
        type = 'memory'
        ",
    )?)
}

/// The routes of the application, watched, and the page's scripts beside them.
pub(crate) fn routes(desk: Data<Desk>) -> io::Result<impl Fn(&mut ServiceConfig) + Send + Sync> {
    let sdk = fs::read(SDK)
        .map_err(|error| io::Error::new(error.kind(), format!("{SDK}: {error}: run `npm ci`")))?;
    let sdk = Bytes::from(sdk);
    Ok(move |services: &mut ServiceConfig| {
        let sdk = sdk.clone();
        services
            .app_data(desk.clone())
            .route("/live.js", web::get().to(|| script(LIVE)))
            .route(
                "/centrifuge.mjs",
                web::get().to(move || script(sdk.clone())),
            )
            .service(web::scope("").wrap(from_fn(watch)).configure(app::routes));
    })
}

async fn script(text: Bytes) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/javascript; charset=utf-8")
        .body(text)
}

/// Tells everybody what a request has changed.
async fn watch(
    desk: Data<Desk>,
    node: Data<Node>,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if request.method().is_safe() {
        return next.call(request).await;
    }
    let session = desk.session(app::cookies(request.headers()));
    let before = desk.orders().version;
    // A task of its own: the client may go away when the work is done and nobody knows of it yet.
    let work = rt::spawn(async move {
        let response = next.call(request).await;
        if desk.orders().version != before {
            publish(&node, &desk).await;
        }
        if let Some(session) = session.filter(|session| !desk.is_signed_in(session)) {
            // Only where there are other nodes, one of which has not answered.
            if let Err(error) = node
                .disconnect(Target::user(session.user), SIGNED_OUT)
                .await
            {
                tracing::warn!(%error, "a session may have outlived its user's signing out");
            }
        }
        response
    });
    work.await.map_err(ErrorInternalServerError)?
}

/// Publishes the list as it is. What is older than what was published already is left out.
pub(crate) async fn publish(node: &Node, desk: &Desk) {
    if let Err(error) = try_publish(node, desk).await {
        // What was asked for is done all the same, and the next change brings this one too.
        tracing::warn!(error, "the orders were not published");
    }
}

async fn try_publish(node: &Node, desk: &Desk) -> Result<(), Box<dyn StdError>> {
    let orders = desk.orders();
    let mut publication = PublishRequest::from(payload::json(&orders)?);
    publication.version = Some(Version {
        number: orders.version,
        epoch: "".into(),
    });
    node.publish(CHANNEL, publication).await?;
    Ok(())
}

/// Who may connect: whoever has the cookie of the pages.
pub(crate) struct Staff(pub(crate) Data<Desk>);

impl Handlers for Staff {
    fn interests(&self) -> Interests {
        Interests::CONNECTING
    }

    async fn connecting(&self, arrival: Arrival<'_>) -> Decision<Credentials> {
        let cookies = arrival.headers.text("cookie").unwrap_or_default();
        let session = self.0.session(cookies).ok_or(SIGNED_OUT)?;
        let credentials = Credentials::of(&session.user);
        let credentials = credentials.subscribed_to(CHANNEL, Grant::as_configured());
        Ok(Verdict::Allowed(credentials))
    }
}
