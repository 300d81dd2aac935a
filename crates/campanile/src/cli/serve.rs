//! `campanile serve`: the flags, and the way to the server.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Args;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

use super::dev::{self, Dev};
use super::{EXIT_CONFIG, EXIT_DATA, EXIT_FAILURE, FileArgs, load, say, secrets, supervisor};
use crate::config::{Flag, LogLevel, Problem, Sources, Unknown};
use crate::{Config, ServeError, Server};

/// Flags of `serve`. They win over the environment, and that over the file.
#[derive(Args, Clone, Debug, Default)]
pub struct ServeArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the help text")]
    pub file: FileArgs,
    /// Let anyone do everything, on a loopback address only
    #[arg(long)]
    pub dev: bool,
    /// IP address to listen on
    #[arg(short, long, alias = "http_server.address", value_name = "IP")]
    pub address: Option<String>,
    /// TCP port to listen on
    #[arg(short, long, alias = "http_server.port")]
    pub port: Option<u16>,
    /// Worker threads; 0 for one per core
    #[arg(long, value_name = "COUNT")]
    pub workers: Option<usize>,
    /// Directory of the data, made where it is missing [default: campanile-data]
    #[arg(long, alias = "engine.disk.path", value_name = "PATH")]
    pub data_dir: Option<String>,
    /// Refuse to start with unknown keys in the file
    #[arg(long)]
    pub strict: bool,
    /// Least severe events to log
    #[arg(long, alias = "log.level", value_name = "LEVEL", value_enum)]
    pub log_level: Option<LogLevel>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the help text")]
    pub centrifugo: CentrifugoFlags,
}

/// Settings for which Centrifugo has flags of the same name, beside those above.
#[derive(Args, Clone, Debug, Default)]
pub struct CentrifugoFlags {
    #[arg(long = "engine.type", hide = true)]
    engine_type: Option<String>,
    #[arg(long = "client.insecure", hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    client_insecure: Option<String>,
    #[arg(long = "http_api.insecure", hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    http_api_insecure: Option<String>,
    #[arg(long = "http_api.external", hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    http_api_external: Option<String>,
    #[arg(long = "health.enabled", hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    health_enabled: Option<String>,
    #[arg(long = "prometheus.enabled", hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    prometheus_enabled: Option<String>,
}

impl ServeArgs {
    /// Everything the server's configuration is made of.
    pub fn sources(&self) -> Sources {
        let centrifugo = &self.centrifugo;
        let port = self.port.map(|port| port.to_string());
        let workers = self.workers.map(|workers| workers.to_string());
        let log_level = self.log_level.map(|level| level.name().to_owned());
        let flags = [
            ("--address", "http_server.address", &self.address),
            ("--port", "http_server.port", &port),
            ("--workers", "http_server.workers", &workers),
            ("--log-level", "log.level", &log_level),
            ("--data-dir", "engine.disk.path", &self.data_dir),
            ("--engine.type", "engine.type", &centrifugo.engine_type),
            (
                "--client.insecure",
                "client.insecure",
                &centrifugo.client_insecure,
            ),
            (
                "--http_api.insecure",
                "http_api.insecure",
                &centrifugo.http_api_insecure,
            ),
            (
                "--http_api.external",
                "http_api.external",
                &centrifugo.http_api_external,
            ),
            (
                "--health.enabled",
                "health.enabled",
                &centrifugo.health_enabled,
            ),
            (
                "--prometheus.enabled",
                "prometheus.enabled",
                &centrifugo.prometheus_enabled,
            ),
        ];
        let given = |(name, path, text): &(&'static str, &'static str, &Option<String>)| {
            let text = (*text).clone()?;
            Some(Flag { name, path, text })
        };
        Sources {
            flags: flags.iter().filter_map(given).collect(),
            is_dev: self.dev,
            unknown: if self.strict {
                Unknown::Refuse
            } else {
                Unknown::Warn
            },
            ..self.file.sources()
        }
    }
}

pub(super) fn run(args: &ServeArgs) -> ExitCode {
    let sources = args.sources();
    let loaded = match load(&sources) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    log_to_stderr(loaded.config.log.level);
    log_origin(&sources, &loaded.warnings);
    let (config, dev) = if args.dev {
        dev::prepare(loaded.config)
    } else {
        (loaded.config, None)
    };
    if let Err(missing) = secrets::require(&config) {
        say(&missing.to_string());
        return ExitCode::from(EXIT_CONFIG);
    }
    match actix_rt::System::new().block_on(serve(config, dev)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::from(if error.is_configuration() {
                EXIT_CONFIG
            } else if error.is_data() {
                EXIT_DATA
            } else {
                EXIT_FAILURE
            })
        }
    }
}

async fn serve(config: Config, dev: Option<Dev>) -> Result<(), ServeError> {
    let socket = supervisor::socket().map_err(ServeError::Bind)?;
    let configured = config.http_server.listen;
    let mut server = Server::new(config);
    if let Some(socket) = socket {
        supervisor::compare(&socket, configured);
        server = server.listen_kept(socket);
    }
    if let Some(dev) = dev.clone() {
        server = server.routes(move |services| dev.configure(services));
    }
    let server = server.run()?;
    if let Some(dev) = &dev {
        dev.announce(server.local_addr());
    }
    supervisor::attend(&server).await;
    match server.wait().await {
        // As it was asked for, and the log has it.
        Err(ServeError::Unfinished) => Ok(()),
        ended => ended,
    }
}

fn log_origin(sources: &Sources, warnings: &[Problem]) {
    match &sources.file {
        Some(file) => tracing::info!(file = %file.display(), "configuration read"),
        None => tracing::info!("no configuration file; using defaults"),
    }
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

/// What tells every stranger's broken request, at error: as many lines a second as they like.
const NOISE: &str = "actix_http::h1::dispatcher";

/// Without the noise, unless everything is wanted or `RUST_LOG` names it.
fn filter(level: LevelFilter, by_module: &str) -> EnvFilter {
    let directives = match (by_module.is_empty(), level >= LevelFilter::DEBUG) {
        (true, true) => level.to_string(),
        (true, false) => format!("{level},{NOISE}=off"),
        // What stands behind counts.
        (false, _) => format!("{NOISE}=off,{by_module}"),
    };
    EnvFilter::builder().parse_lossy(directives)
}

/// `RUST_LOG` says what to log, module by module, where it is set; else the configured level does.
fn log_to_stderr(level: LogLevel) {
    let level = match level {
        LogLevel::None => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let by_module = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    tracing_subscriber::fmt()
        .with_env_filter(filter(level, &by_module))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_requests_of_strangers_are_not_logged() {
        let quiet = format!("{NOISE}=off");
        for (level, by_module, is_quiet) in [
            (LevelFilter::INFO, "", true),
            (LevelFilter::ERROR, "", true),
            (LevelFilter::DEBUG, "", false),
            (LevelFilter::INFO, "info,campanile=debug", true),
            (LevelFilter::INFO, "actix_http::h1::dispatcher=error", false),
        ] {
            let filter = filter(level, by_module).to_string();
            let directives: Vec<_> = filter.split(',').collect();
            assert_eq!(directives.contains(&quiet.as_str()), is_quiet, "{filter}");
            let kept = by_module.split(',').filter(|one| !one.is_empty());
            assert!(
                kept.clone().all(|one| directives.contains(&one)),
                "{filter}"
            );
            if by_module.is_empty() {
                assert!(directives.contains(&level.to_string().as_str()), "{filter}");
            }
        }
    }
}
