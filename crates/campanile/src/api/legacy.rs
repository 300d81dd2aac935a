//! The endpoint of API clients from before the methods had paths: section 3.2.
//!
//! As in a batch, the whole request is understood before anything of it is done; only the
//! parameters of a command may be wrong by themselves.

use campanile_engine::node::Node;
use campanile_protocol::Refusal;
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::COMMANDS_MAX;
use super::call::{Call, Method};
use super::reply::{NOT_FOUND, Rejected};
use super::response::{Failure, Response};

#[derive(Deserialize)]
struct Command<'a> {
    id: Option<u64>,
    method: Option<Named>,
    #[serde(default, borrow)]
    params: Option<&'a RawValue>,
}

/// A method by its name or its number; without a value for a number that is nobody's.
#[derive(Clone, Copy)]
struct Named(Option<Method>);

#[derive(Serialize)]
struct Reply {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Response>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
}

/// Carries out the commands of a request one after the other; answers one reply a line.
pub(super) async fn run(node: &Node, body: &[u8]) -> Result<Vec<u8>, Rejected> {
    let commands = parse(body)?;
    let mut lines = Vec::new();
    for command in commands {
        let id = command.id.filter(|id| *id != 0);
        let (result, error) = match carry_out(node, &command).await {
            Ok(response) => (Some(response), None),
            Err(refusal) => (None, Some(refusal.into())),
        };
        if !lines.is_empty() {
            lines.push(b'\n');
        }
        serde_json::to_writer(&mut lines, &Reply { id, result, error })
            .expect("replies are JSON, and a Vec takes them");
    }
    Ok(lines)
}

fn parse(body: &[u8]) -> Result<Vec<Command<'_>>, Rejected> {
    let commands = serde_json::Deserializer::from_slice(body).into_iter();
    // One more than allowed is enough to know that there are too many.
    let commands = commands
        .take(COMMANDS_MAX + 1)
        .collect::<Result<Vec<_>, _>>();
    match commands {
        Ok(commands) if (1..=COMMANDS_MAX).contains(&commands.len()) => Ok(commands),
        _ => Err(Rejected::Malformed),
    }
}

async fn carry_out(node: &Node, command: &Command<'_>) -> Result<Response, Refusal> {
    let Named(method) = command.method.unwrap_or(Named(Some(Method::Publish)));
    let method = method.ok_or(NOT_FOUND)?;
    let params = command.params.map_or("{}", RawValue::get);
    let call = Call::parse(method, params.as_bytes()).map_err(|_| Refusal::BAD_REQUEST)?;
    call.run(node).await
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(NamedVisitor)
    }
}

struct NamedVisitor;

impl Visitor<'_> for NamedVisitor {
    type Value = Named;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the name or number of a method")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Named, E> {
        Ok(Named(Method::numbered(number)))
    }

    fn visit_i64<E: Error>(self, _negative: i64) -> Result<Named, E> {
        Ok(Named(None))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Named, E> {
        let method = Method::named(&name.to_ascii_lowercase());
        let invalid = || E::invalid_value(Unexpected::Str(name), &self);
        method.map(|method| Named(Some(method))).ok_or_else(invalid)
    }
}
