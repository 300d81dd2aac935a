//! `campanile publish`: one publication through the server API.

use std::io::Read as _;
use std::process::ExitCode;

use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::remote::{Answer, Failure, Http, TlsArgs, local_url, parse_http_url};
use super::{FileArgs, load, print, say};
use crate::api::BODY_BYTES_MAX;

/// Flags of `publish`.
#[derive(Args, Debug)]
pub struct PublishArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the help text")]
    pub file: FileArgs,
    /// The channel
    pub channel: String,
    /// What to publish, as JSON; - for standard input
    #[arg(
        value_name = "JSON",
        required_unless_present = "raw",
        allow_negative_numbers = true
    )]
    pub data: Option<String>,
    /// Publish this text, as a JSON string
    #[arg(
        long,
        value_name = "TEXT",
        conflicts_with = "data",
        allow_hyphen_values = true
    )]
    pub raw: Option<String>,
    /// Where the server is [default: where the configured one listens]
    #[arg(long, value_parser = parse_http_url)]
    pub url: Option<String>,
    /// Key of the server API, for others on this machine to see: better set CAMPANILE_HTTP_API_KEY
    /// [default: the configured one]
    #[arg(long, value_name = "KEY")]
    pub api_key: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the help text")]
    pub tls: TlsArgs,
    /// Print the result as the server gives it
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(args: &PublishArgs) -> ExitCode {
    match publish(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

fn publish(args: &PublishArgs) -> Result<(), ExitCode> {
    // Before the configuration: what was typed is nearer.
    let data = payload(args).map_err(Failure::tell)?;
    let config = load(&args.file.sources())?.config;
    let url = args.url.clone();
    let url = url.unwrap_or_else(|| local_url("http", &config.http_server));
    let key = args.api_key.as_deref();
    let key = key.unwrap_or_else(|| config.http_api.key.expose());
    let path = format!("{}/publish", config.http_api.handler_prefix);
    let channel = serde_json::Value::from(args.channel.as_str());
    let body = format!(r#"{{"channel":{channel},"data":{}}}"#, data.get());
    let result = Http::new(url, &args.tls)
        .and_then(|http| http.post(&path, key, &body))
        .and_then(|answer| result(&answer))
        .map_err(Failure::tell)?;
    if args.json {
        print(result.get());
        return Ok(());
    }
    match serde_json::from_str(result.get()) {
        Ok(Position { offset, epoch }) if offset > 0 => {
            print(&format!("offset {offset}, epoch {epoch}"));
        }
        _ => say("published; the channel keeps no history"),
    }
    Ok(())
}

/// What is to be published, which is JSON.
fn payload(args: &PublishArgs) -> Result<Box<RawValue>, Failure> {
    let text = match (&args.raw, args.data.as_deref()) {
        (Some(raw), _) => serde_json::Value::from(raw.as_str()).to_string(),
        (None, Some("-")) => standard_input()?,
        (None, data) => data.unwrap_or_default().to_owned(),
    };
    serde_json::from_str(&text)
        .map_err(|error| Failure::Usage(format!("not JSON: {error} (--raw publishes text)")))
}

/// Standard input, if it is not longer than the server would accept.
fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    let mut input = std::io::stdin().lock().take(BODY_BYTES_MAX as u64 + 1);
    let read = input.read_to_string(&mut text);
    let length = read.map_err(|error| Failure::Usage(format!("standard input: {error}")))?;
    if length > BODY_BYTES_MAX {
        let reason = format!("standard input: longer than {BODY_BYTES_MAX} bytes");
        return Err(Failure::Usage(reason));
    }
    Ok(text)
}

/// The answer's envelope.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    code: u32,
    message: String,
}

#[derive(Deserialize)]
struct Position {
    #[serde(default)]
    offset: u64,
    #[serde(default)]
    epoch: String,
}

/// The result in an answer. Errors come in an envelope, or with a status of their own.
fn result(answer: &Answer) -> Result<Box<RawValue>, Failure> {
    let envelope = serde_json::from_str::<Envelope<'_>>(&answer.body);
    let refusal = match envelope {
        Ok(Envelope {
            error: Some(refusal),
            ..
        }) => Some(refusal),
        Ok(Envelope {
            result: Some(result),
            ..
        }) if answer.status.is_success() => {
            return Ok(result.to_owned());
        }
        _ => serde_json::from_str(&answer.body).ok(),
    };
    Err(Failure::Refused(match refusal {
        Some(Refusal { code, message }) => format!("error {code}: {message}"),
        None if answer.status == 401 => "401 Unauthorized: the API key is not the server's".into(),
        None => format!("the server answered {}", answer.status),
    }))
}

#[cfg(test)]
mod tests {
    use ureq::http::StatusCode;

    use super::*;

    fn told(status: u16, body: &str) -> Result<String, String> {
        let status = StatusCode::from_u16(status).unwrap();
        let body = body.to_owned();
        match result(&Answer { status, body }) {
            Ok(result) => Ok(result.get().to_owned()),
            Err(failure) => Err(failure.to_string()),
        }
    }

    #[test]
    fn errors_are_understood_in_the_envelope_and_as_statuses() {
        let result = told(200, r#"{"result":{"offset":1}}"#);
        assert_eq!(result.unwrap(), r#"{"offset":1}"#);
        let refusal = r#"{"code":102,"message":"unknown channel"}"#;
        let enveloped = told(200, &format!(r#"{{"error":{refusal}}}"#));
        assert_eq!(enveloped.unwrap_err(), "error 102: unknown channel");
        assert_eq!(
            told(404, refusal).unwrap_err(),
            "error 102: unknown channel"
        );
        assert!(told(401, "").unwrap_err().contains("401"));
        for (status, body) in [(200, "<html>"), (302, r#"{"result":{}}"#), (200, "")] {
            assert!(told(status, body).unwrap_err().contains("answered"));
        }
    }
}
