//! The configuration as its users meet it: texts in, settings or messages out.

mod engine;
mod files;
mod nats;
mod origins;
mod paths;
mod proxies;
mod sources;
mod tokens;

use super::source::{self, Format};
use super::{ConfigError, Loaded, Sources, load_over};

/// Loads a TOML text as `campanile.toml`.
fn load_toml(text: &str, sources: &Sources) -> Result<Loaded, ConfigError> {
    let root = source::parse(Format::Toml, text, "campanile.toml").map_err(ConfigError::new)?;
    load_over(root, sources)
}

/// Loads a JSON text as `config.json`.
fn load_json(text: &str) -> Result<Loaded, ConfigError> {
    let root = source::parse(Format::Json, text, "config.json").map_err(ConfigError::new)?;
    load_over(root, &Sources::default())
}

/// What is wrong with a TOML text, line by line.
fn errors(text: &str) -> Vec<String> {
    let error = load_toml(text, &Sources::default()).expect_err("an error");
    error.problems().iter().map(ToString::to_string).collect()
}

/// What an otherwise usable TOML text is warned about.
fn warnings(text: &str) -> Vec<String> {
    let loaded = load_toml(text, &Sources::default()).expect("no error");
    loaded.warnings.iter().map(ToString::to_string).collect()
}

/// Sources that consist of environment variables.
fn environment(variables: &[(&str, &str)]) -> Sources {
    let variable = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Sources {
        environment: variables.iter().map(variable).collect(),
        ..Sources::default()
    }
}
