//! A running server for tests, and clients that speak to it byte by byte.
//!
//! Nothing here knows what the server should answer: [`server`] starts and stops the program,
//! [`http`] and [`client`] carry bytes, and [`bystander`] is the innocent third party that every
//! attack must leave alone.

pub(crate) mod bystander;
pub(crate) mod client;
pub(crate) mod embedded;
pub(crate) mod http;
pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod server;
pub(crate) mod stream;

use std::time::Duration;

/// How long anything may take before a test calls it hung. Generous: it is spent by failures only.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The key of the server API.
pub(crate) const API_KEY: &str = "key-for-tests-4f2d";

/// Signs the tokens of clients.
pub(crate) const TOKEN_SECRET: &str = "secret-for-tests-9c1e";
