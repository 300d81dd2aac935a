//! TEMPORARY
use std::sync::Arc;
use actix_web::web::{self, ServiceConfig};
use campanile_engine::node::{Node, ApiPublication};
use crate::config::HttpApi;
#[derive(serde::Deserialize)]
struct P { channel: String, data: Box<serde_json::value::RawValue> }
/// tmp
pub fn configure(node: Arc<Node>, settings: &HttpApi, services: &mut ServiceConfig) {
    services.route(&format!("{}/publish", settings.handler_prefix), web::post().to(move |b: web::Bytes| { let node = node.clone(); async move {
        let p: P = serde_json::from_slice(&b).unwrap();
        let r = node.publish(&p.channel, ApiPublication { data: p.data.get().as_bytes().into(), ..Default::default() }).await;
        format!("{r:?}")
    }}));
}
