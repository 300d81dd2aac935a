//! What a publish through Redis costs an application that writes the HTTP side itself: a plain
//! Actix-Web handler, one request to Redis for each publish, nothing sabotaged and nothing tuned.

use std::net::SocketAddr;

use actix_web::web::{Bytes, Data, post};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::OnceCell;

use crate::Failure;
use crate::lane::API_KEY;
use crate::redis_server::RedisLane;

#[derive(Args)]
pub(crate) struct FrontArguments {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// Where Redis is.
    #[arg(long)]
    redis: SocketAddr,
}

#[derive(Deserialize)]
struct Publish<'a> {
    channel: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Serialize)]
struct Answer {
    result: Published,
}

#[derive(Serialize)]
struct Published {
    id: String,
}

/// A worker's connections.
struct Store {
    redis: SocketAddr,
    lane: OnceCell<RedisLane>,
}

impl Store {
    async fn publish(&self, channel: &str, payload: &str) -> Result<String, Failure> {
        let connect = || RedisLane::connect(self.redis);
        let lane = self.lane.get_or_try_init(connect).await?;
        lane.publish(channel, payload).await
    }
}

async fn publish(request: HttpRequest, body: Bytes, store: Data<Store>) -> HttpResponse {
    let key = request.headers().get("x-api-key");
    if key.is_none_or(|key| key.as_bytes() != API_KEY.as_bytes()) {
        return HttpResponse::Unauthorized().finish();
    }
    let Ok(publish) = serde_json::from_slice::<Publish<'_>>(&body) else {
        return HttpResponse::BadRequest().finish();
    };
    match store.publish(&publish.channel, publish.data.get()).await {
        Ok(id) => HttpResponse::Ok().json(Answer {
            result: Published { id },
        }),
        Err(failure) => HttpResponse::InternalServerError().body(failure.to_string()),
    }
}

pub(crate) fn run(arguments: &FrontArguments) -> Result<(), Failure> {
    let redis = arguments.redis;
    let server = HttpServer::new(move || {
        let store = Store {
            redis,
            lane: OnceCell::new(),
        };
        App::new()
            .app_data(Data::new(store))
            .route("/api/publish", post().to(publish))
    });
    let server = server.bind(arguments.listen)?;
    rt::System::new().block_on(server.run())?;
    Ok(())
}
