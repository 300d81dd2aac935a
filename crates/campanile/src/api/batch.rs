//! Many calls in one request: section 3.1.
//!
//! The whole request is understood before anything of it is done, so that a malformed one has done
//! nothing.

use campanile_engine::node::Node;
use campanile_protocol::Refusal;
use futures_util::stream::{self, StreamExt};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::call::{Call, Method, object};
use super::reply::{NOT_FOUND, Rejected};
use super::response::{Failure, Response};
use super::{COMMANDS_MAX, CONCURRENCY_MAX};

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(default, borrow)]
    commands: Option<Vec<Option<Command<'a>>>>,
    parallel: Option<bool>,
}

/// The first field of a command that names a method, with its value.
#[derive(Clone, Copy)]
struct Command<'a>(Option<(Method, &'a RawValue)>);

/// What the commands came to, in their order.
#[derive(Serialize)]
pub(super) struct Replies {
    replies: Vec<Reply>,
}

enum Reply {
    Result(Method, Response),
    Error(Failure),
}

/// Carries out the commands of a request.
pub(super) async fn run(node: &Node, body: &[u8]) -> Result<Replies, Rejected> {
    let batch: Batch<'_> = object(body)?;
    let commands = batch.commands.unwrap_or_default();
    if commands.len() > COMMANDS_MAX {
        return Err(Rejected::Malformed);
    }
    let calls = commands.into_iter().map(call);
    let calls = calls.collect::<Result<Vec<_>, _>>()?;
    let width = if batch.parallel.unwrap_or_default() {
        CONCURRENCY_MAX
    } else {
        1
    };
    let replies = calls.into_iter().map(|call| reply(node, call));
    let replies = stream::iter(replies).buffered(width).collect().await;
    Ok(Replies { replies })
}

type Understood<'a> = Result<(Method, Call<'a>), Refusal>;

fn call(command: Option<Command<'_>>) -> Result<Understood<'_>, Rejected> {
    let Some(Command(named)) = command else {
        return Ok(Err(Refusal::BAD_REQUEST));
    };
    let Some((method, params)) = named else {
        return Ok(Err(NOT_FOUND));
    };
    Call::parse(method, params.get().as_bytes()).map(|call| Ok((method, call)))
}

async fn reply(node: &Node, call: Understood<'_>) -> Reply {
    let (method, call) = match call {
        Ok(call) => call,
        Err(refusal) => return Reply::Error(refusal.into()),
    };
    match call.run(node).await {
        Ok(response) => Reply::Result(method, response),
        Err(refusal) => Reply::Error(refusal.into()),
    }
}

impl Serialize for Reply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::Result(method, response) => map.serialize_entry(method.name(), response)?,
            Self::Error(failure) => map.serialize_entry("error", failure)?,
        }
        map.end()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Command<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_map(CommandVisitor)
    }
}

struct CommandVisitor;

impl<'de> Visitor<'de> for CommandVisitor {
    type Value = Command<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object with one method")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some((name, params)) = map.next_entry::<String, Option<&RawValue>>()? {
            found = found.or_else(|| Method::named(&name).zip(params));
        }
        Ok(Command(found))
    }
}
