//! `campanile health`: is the server alive, can it deliver? For probes of containers that have no
//! other program, and for people.

use std::process::ExitCode;

use clap::Args;

use super::remote::{Answer, Failure, Http, TlsArgs, local_url, parse_http_url};
use super::{FileArgs, load, print};

/// Flags of `health`.
#[derive(Args, Debug)]
pub struct HealthArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the help text")]
    pub file: FileArgs,
    /// Ask whether it can deliver, not only whether it is alive
    #[arg(long)]
    pub ready: bool,
    /// Where the server is [default: where the configured one listens]
    #[arg(long, value_parser = parse_http_url)]
    pub url: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the help text")]
    pub tls: TlsArgs,
}

pub(super) fn run(args: &HealthArgs) -> ExitCode {
    match ask(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

fn ask(args: &HealthArgs) -> Result<(), ExitCode> {
    let config = load(&args.file.sources())?.config;
    let url = args.url.clone();
    let url = url.unwrap_or_else(|| local_url("http", &config.http_server));
    let path = if args.ready {
        "/ready"
    } else {
        config.health.handler_prefix.as_str()
    };
    let answer = Http::new(url, &args.tls).and_then(|http| http.get(path, ""));
    let Answer { status, body } = answer.map_err(Failure::tell)?;
    if status == 200 {
        print(&body);
        return Ok(());
    }
    let hint = if status == 404 && !args.ready {
        " (the server needs health.enabled)"
    } else {
        ""
    };
    let said: Option<serde_json::Value> = serde_json::from_str(&body).ok();
    let said = said.and_then(|said| Some(format!(": {}", said["reason"].as_str()?)));
    let reason = format!("{path} answered {status}{hint}{}", said.unwrap_or_default());
    Err(Failure::Refused(reason).tell())
}
