//! `campanile serve`: the flags, and the way to the server.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

use super::dev::{self, Dev};
use super::terminal::Terminal;
use super::{EXIT_CONFIG, EXIT_DATA, EXIT_FAILURE, FileArgs, load, say, secrets, supervisor};
use crate::config::{Flag, LogLevel, Problem, Sources, Unknown};
use crate::{Config, RunningServer, ServeError, Server};

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
    let log = log_to_stderr(loaded.config.log.level);
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
    match actix_rt::System::new().block_on(serve(config, Origin { sources, dev, log })) {
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

/// Where the configuration comes from, and comes from again, and who else has to be told.
struct Origin {
    sources: Sources,
    dev: Option<Dev>,
    log: LogLevels,
}

/// Changes what is logged.
type LogLevels = Box<dyn Fn(LogLevel)>;

async fn serve(config: Config, origin: Origin) -> Result<(), ServeError> {
    // Before anybody can know that the server runs: until then it ends the process.
    let terminal = Terminal::of_process();
    let mut hang_ups = signal(SignalKind::hangup()).map_err(ServeError::Io)?;
    let socket = supervisor::socket().map_err(ServeError::Bind)?;
    let configured = config.http_server.listen;
    let mut server = Server::new(config);
    if let Some(socket) = socket {
        supervisor::compare(&socket, configured);
        server = server.listen_kept(socket);
    }
    if let Some(dev) = origin.dev.clone() {
        server = server.routes(move |services| dev.configure(services));
    }
    let server = server.run()?;
    if let Some(dev) = &origin.dev {
        dev.announce(server.local_addr());
    }
    let reloading = async {
        while hang_ups.recv().await.is_some() {
            if terminal.has_hung_up() {
                tracing::info!("the terminal is gone");
                let _ = server.stop().await;
                break;
            }
            supervisor::reloading(reload(&server, &origin)).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = supervisor::attend(&server) => {}
        () = reloading => {}
    }
    match server.wait().await {
        // As it was asked for, and the log has it.
        Err(ServeError::Unfinished) => Ok(()),
        ended => ended,
    }
}

/// Goes over to what the configuration says now. What it was stays in force if that is no good.
async fn reload(server: &RunningServer, origin: &Origin) {
    let Some(config) = read_again(origin) else {
        return tracing::error!("nothing has changed");
    };
    match server.reload(&config).await {
        Ok(_) => (origin.log)(config.log.level),
        Err(error) => tracing::error!(%error, "nothing has changed"),
    }
}

/// The configuration as it is now, if it is one to run on.
fn read_again(origin: &Origin) -> Option<Config> {
    let loaded = match crate::config::load(&origin.sources) {
        Ok(loaded) => loaded,
        Err(error) => {
            error.problems().iter().for_each(log_problem);
            return None;
        }
    };
    log_origin(&origin.sources, &loaded.warnings);
    let config = match &origin.dev {
        Some(dev) => dev.again(loaded.config),
        None => loaded.config,
    };
    match secrets::require(&config) {
        Ok(()) => Some(config),
        Err(missing) => {
            tracing::error!("{missing}");
            None
        }
    }
}

fn log_problem(problem: &Problem) {
    tracing::error!("{problem}");
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
fn log_to_stderr(level: LogLevel) -> LogLevels {
    let by_module = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_env_filter(filter(severity(level), &by_module))
        .with_filter_reloading();
    let filters = log.reload_handle();
    log.init();
    Box::new(move |level| {
        // It fails when there is no log any more, and then there is nobody to tell.
        let _ = filters.reload(filter(severity(level), &by_module));
    })
}

const fn severity(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::None => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
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
