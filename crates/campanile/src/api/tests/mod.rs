//! The API as its clients see it: requests through an application, against a real node in memory.

mod channels;
mod http;
mod many;
mod publishing;
mod rig;
mod sessions;

use rig::Rig;

const OK: u16 = 200;
const DONE: &str = r#"{"result":{}}"#;
const INTERNAL: &str = r#"{"error":{"code":100,"message":"internal server error"}}"#;
const UNKNOWN_CHANNEL: &str = r#"{"error":{"code":102,"message":"unknown channel"}}"#;
const NOT_FOUND: &str = r#"{"error":{"code":104,"message":"not found"}}"#;
const BAD_REQUEST: &str = r#"{"error":{"code":107,"message":"bad request"}}"#;
const NOT_AVAILABLE: &str = r#"{"error":{"code":108,"message":"not available"}}"#;
