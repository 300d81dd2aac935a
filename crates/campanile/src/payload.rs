//! Payloads as values of Rust: `serde` types in and out.
//!
//! A payload travels as the bytes that it came in: the codec of a client or of the HTTP API cuts it
//! out of its message without looking inside, histories and brokers keep it so, and it is put into
//! messages as it is. So the one time that it is parsed is here, and only where somebody wants to
//! know what it says. What is not JSON is left alone: the bytes themselves are a payload, which
//! clients of the Protobuf protocol get as they are. A client of the JSON protocol cannot be told
//! what is no JSON, and is closed with 3506 when such a payload is published in a channel of its; a
//! namespace's `publication_data_format` refuses it before.
//!
//! ```
//! use campanile::handlers::{Decision, Handlers, SessionHandle, Verdict};
//! use campanile::payload::{self, Payload};
//! use campanile::protocol::Refusal;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize)]
//! struct Sum { terms: Vec<i64> }
//!
//! #[derive(Serialize)]
//! struct Total { total: i64 }
//!
//! struct Calculator;
//!
//! impl Handlers for Calculator {
//!     async fn rpc(&self, _: &SessionHandle, method: &str, data: &[u8]) -> Decision<Payload> {
//!         match method {
//!             "sum" => {
//!                 let Sum { terms } = payload::parse(data)?;
//!                 Ok(Verdict::Allowed(payload::json(&Total { total: terms.iter().sum() })?))
//!             }
//!             "echo" => Ok(Verdict::Allowed(data.into())),
//!             _ => Err(Refusal::METHOD_NOT_FOUND.into()),
//!         }
//!     }
//! }
//! ```

use std::fmt;

use campanile_protocol::Refusal;
use campanile_protocol::codes::Rejection;
use serde::{Deserialize, Serialize};

pub use campanile_protocol::Payload;

/// A payload of this value, as JSON.
///
/// # Errors
/// The value has no JSON: a map whose keys are no texts, for example.
pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Payload, EncodeError> {
    serde_json::to_vec(value)
        .map(Vec::into_boxed_slice)
        .map_err(EncodeError)
}

/// The value that a payload of JSON is.
///
/// A text that is borrowed (`&str`) can only be one without escapes: a line break or a quotation
/// mark in it is an error. `String` takes all of them, and so does a `Cow` in a field under
/// `#[serde(borrow)]`.
///
/// # Errors
/// It is not JSON, or not of this type. In a handler `?` makes it the answer 107, bad request.
pub fn parse<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, ParseError> {
    serde_json::from_slice(payload).map_err(ParseError)
}

/// A value that has no JSON.
#[derive(Debug)]
pub struct EncodeError(serde_json::Error);

/// A payload that is no such value.
#[derive(Debug)]
pub struct ParseError(serde_json::Error);

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value has no JSON")
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the payload is not what was expected")
    }
}

impl std::error::Error for EncodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl std::error::Error for ParseError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// Our fault: the client is told that much, and the log why.
impl From<EncodeError> for Rejection {
    fn from(error: EncodeError) -> Self {
        tracing::error!(error = %error.0, "a value of the application has no JSON");
        Refusal::INTERNAL.into()
    }
}

/// The client's fault.
impl From<ParseError> for Rejection {
    fn from(_: ParseError) -> Self {
        Refusal::BAD_REQUEST.into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn values_become_payloads_and_payloads_values() {
        let payload = json(&("ä", 1, [true])).expect("it has JSON");
        assert_eq!(&*payload, "[\"ä\",1,[true]]".as_bytes());
        let (text, number, flags): (&str, u8, Vec<bool>) = parse(&payload).expect("it is one");
        assert_eq!((text, number, flags), ("ä", 1, vec![true]));
    }

    #[test]
    fn what_is_no_such_value_is_the_clients_fault_and_what_has_no_json_ours() {
        let error = parse::<u8>(b"\"1\"").expect_err("a text");
        assert_eq!(Rejection::from(error), Refusal::BAD_REQUEST.into());
        let error = json(&BTreeMap::from([((1, 2), 3)])).expect_err("keys are texts");
        assert_eq!(Rejection::from(error), Refusal::INTERNAL.into());
    }
}
