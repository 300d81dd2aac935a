//! The configuration: from file, environment and flags to values that cannot be wrong.
//!
//! `source` reads, `check` holds what was read against `schema`, `resolve` puts it together. The
//! rest of the program sees [`Config`] and nothing else of this; it neither knows which keys
//! there are nor where a value came from. Keys, nesting and defaults are Centrifugo 6's, so that
//! an existing file loads.

pub mod duration;

mod check;
mod engine;
mod nats;
mod problem;
mod proxies;
mod raw;
mod redis;
mod reload;
mod render;
mod resolve;
mod resolved;
mod schema;
mod secret;
mod shutdown;
mod source;
#[cfg(test)]
mod tests;
mod transports;
mod tree;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use check::Unknown;
pub use engine::{Disk, Durability, Engine};
pub use nats::{Nats, NatsAccess};
pub use problem::{ConfigError, Problem, ProblemKind, Severity};
pub use proxies::{ChannelProxies, Proxies, Proxy, ProxyTls, RpcProxies};
pub use redis::{Redis, RedisAccess, RedisServers};
pub use reload::Change;
pub use render::default_toml;
pub use resolved::*;
pub use secret::Secret;
pub use shutdown::Shutdown;
pub(crate) use source::process_environment;
pub use transports::{BodyTransport, Emulation, UniWebSocket};
pub use tree::{Origin, Position};

use tree::{Item, Value};

/// Where to look for settings.
///
/// Not `Debug`: the environment is full of secrets.
#[derive(Clone, Default)]
pub struct Sources {
    /// The file; `None` for none.
    pub file: Option<PathBuf>,
    /// All environment variables.
    pub environment: Vec<(String, String)>,
    /// What flags say.
    pub flags: Vec<Flag>,
    /// Start from the relaxed defaults of development.
    pub is_dev: bool,
    /// What to make of unknown keys.
    pub unknown: Unknown,
}

/// A setting given on the command line.
#[derive(Clone, Debug)]
pub struct Flag {
    /// As the user knows it, for example `--port`.
    pub name: &'static str,
    /// The setting's path.
    pub path: &'static str,
    /// In the notation of the environment.
    pub text: String,
}

/// A configuration and what there is to say about it.
#[derive(Debug)]
pub struct Loaded {
    /// What to run on.
    pub config: Config,
    /// What is not as written, in order of origin; to be logged.
    pub warnings: Vec<Problem>,
}

impl Loaded {
    /// Every setting with its value, secrets masked, and where it came from, as TOML.
    pub fn to_toml(&self) -> String {
        render::effective_toml(&self.config.written.0)
    }

    /// The same as one JSON object, by path: `{"client.insecure": {"value": …, "from": …}}`.
    pub fn to_json(&self) -> serde_json::Value {
        render::effective_json(&self.config.written.0)
    }
}

impl Config {
    /// The configuration that this TOML text is, and nothing else: neither the environment nor a
    /// file has a say. The keys are those of `campanile config default`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, by line; a key that does not exist is, too.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        Self::from_text(source::Format::Toml, text)
    }

    /// The same of a JSON text.
    ///
    /// # Errors
    ///
    /// As [`Config::from_toml`].
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        Self::from_text(source::Format::Json, text)
    }

    /// The configuration of a file in TOML or JSON, with what the environment of the process says
    /// over it, as the program has it. What is not as written is logged as warnings.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, by place.
    pub fn from_file(path: impl Into<PathBuf>) -> Result<Self, ConfigError> {
        let loaded = load(&Sources {
            file: Some(path.into()),
            environment: process_environment(),
            ..Sources::default()
        })?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        Ok(loaded.config)
    }

    fn from_text(format: source::Format, text: &str) -> Result<Self, ConfigError> {
        let root = source::parse(format, text, "configuration").map_err(ConfigError::new)?;
        let strict = Sources {
            unknown: Unknown::Refuse,
            ..Sources::default()
        };
        Ok(load_over(root, &strict)?.config)
    }
}

/// The configuration file of `directory`, if there is one under a usual name.
pub fn find_file(directory: &Path) -> Option<PathBuf> {
    source::find_file(directory)
}

/// Reads, checks and puts together. Flags win over the environment, that over the file.
///
/// # Errors
///
/// Everything that was found, warnings included, if any of it is an error.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let root = match &sources.file {
        Some(path) => source::read_file(path).map_err(ConfigError::new)?,
        None => source::empty(),
    };
    load_over(root, sources)
}

/// [`load`], when the file was read.
fn load_over(mut root: Item, sources: &Sources) -> Result<Loaded, ConfigError> {
    let environment = source::Environment::new(sources.environment.iter().cloned());
    let mut problems = environment.overlay(&mut root);
    for flag in &sources.flags {
        problems.extend(overlay_flag(&mut root, flag).err());
    }
    let mut defaults = check::defaults();
    if sources.is_dev {
        relax(&mut defaults);
    }
    let checked = check::check(&root, defaults, sources.unknown);
    problems.extend(checked.problems);
    let (config, found) = resolve::resolve(&checked.tree);
    problems.extend(found);
    if let Some(config) = &config
        && sources.is_dev
    {
        problems.extend(refuse_public_dev(config, &checked.tree));
    }
    problems.sort_by(|a, b| a.origin.cmp(&b.origin));
    let is_usable = !problems.iter().any(Problem::is_error);
    match config {
        Some(config) if is_usable => Ok(Loaded {
            config: Config {
                written: reload::Written(Arc::new(checked.tree)),
                ..config
            },
            warnings: problems,
        }),
        _ => Err(ConfigError::new(problems)),
    }
}

fn overlay_flag(root: &mut Item, flag: &Flag) -> Result<(), Problem> {
    let origin = Origin::Flag(flag.name);
    let kind = flag
        .path
        .rsplit_once('.')
        .and_then(|(path, name)| schema::FILE.section(path)?.setting(name))
        .map_or(schema::Kind::Text, |setting| setting.kind);
    let Some(value) = kind.parse(&flag.text, &origin) else {
        let reason = format!("expected {}, found {:?}", kind.expected(), flag.text);
        return Err(Problem::error(
            origin,
            flag.path,
            ProblemKind::Invalid(reason),
        ));
    };
    root.set(flag.path, Item::new(value, origin));
    Ok(())
}

/// What `--dev` stands for. Defaults only: a file and the environment still win.
const DEV_DEFAULTS: [(&str, Value); 5] = [
    ("client.insecure", Value::Bool(true)),
    ("health.enabled", Value::Bool(true)),
    ("prometheus.enabled", Value::Bool(true)),
    ("channel.without_namespace.presence", Value::Bool(true)),
    ("channel.without_namespace.join_leave", Value::Bool(true)),
];

fn relax(defaults: &mut Item) {
    let text = |text: &str| Value::Text(text.to_owned());
    let list = |texts: &[&str]| {
        Value::List(
            texts
                .iter()
                .map(|item| Item::new(text(item), Origin::Dev))
                .collect(),
        )
    };
    let more = [
        ("http_server.address", text("127.0.0.1")),
        // Not any: a page of the wide web has no business with a server on this machine.
        (
            "client.allowed_origins",
            list(&["http://localhost:*", "http://127.0.0.1:*"]),
        ),
        (
            "channel.without_namespace.history_size",
            Value::Integer(100),
        ),
        ("channel.without_namespace.history_ttl", text("300s")),
    ];
    for (path, value) in DEV_DEFAULTS.into_iter().chain(more) {
        defaults.set(path, Item::new(value, Origin::Dev));
    }
}

/// A server that believes everyone must not be reachable by everyone.
fn refuse_public_dev(config: &Config, tree: &Item) -> Option<Problem> {
    const ADDRESS: &str = "http_server.address";
    if config.http_server.listen.ip().is_loopback() {
        return None;
    }
    let origin = tree.get(ADDRESS).map(|item| item.origin.clone());
    let reason = "--dev only listens on a loopback address".to_owned();
    let kind = ProblemKind::Invalid(reason);
    Some(Problem::error(origin.unwrap_or_default(), ADDRESS, kind))
}
