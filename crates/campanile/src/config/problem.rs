//! What can be wrong with a configuration, and how it is told.
//!
//! A load collects every problem before it gives up: an operator should not meet them one start
//! at a time.

use std::fmt;

use serde_json::json;

use super::tree::{Origin, Position};

/// One finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Whether the configuration can be used in spite of it.
    pub severity: Severity,
    /// Where the offending value came from.
    pub origin: Origin,
    /// The key's path as in `channel.namespaces[0].presence`; empty if the file as a whole is meant.
    pub key: String,
    /// What is wrong.
    pub kind: ProblemKind,
}

/// Whether a configuration with this problem can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Yes, though not as written.
    Warning,
    /// No.
    Error,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum ProblemKind {
    /// The file cannot be read as text.
    Unreadable(String),
    /// The file is not of its format.
    Syntax(String),
    /// No such key; perhaps the one named was meant.
    UnknownKey(Option<String>),
    /// A key of Centrifugo that has no effect here, with what that means where it matters.
    Unsupported(&'static str),
    /// The value has another type.
    WrongType {
        /// What is needed, for example `a duration such as "25s"`.
        expected: String,
        /// What was there; the type, never the value, as it may be a secret.
        found: &'static str,
    },
    /// The type is right, the value is not, or does not go with the others.
    Invalid(String),
}

impl Problem {
    pub(crate) fn error(origin: Origin, key: impl Into<String>, kind: ProblemKind) -> Self {
        Self {
            severity: Severity::Error,
            origin,
            key: key.into(),
            kind,
        }
    }

    pub(crate) fn warning(origin: Origin, key: impl Into<String>, kind: ProblemKind) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(origin, key, kind)
        }
    }

    /// Whether the configuration cannot be used.
    pub(crate) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// For `--json`.
    pub fn to_json(&self) -> serde_json::Value {
        let position = match &self.origin {
            Origin::File { position, .. } => *position,
            _ => None,
        };
        json!({
            "severity": match self.severity {
                Severity::Warning => "warning",
                Severity::Error => "error",
            },
            "origin": self.origin.to_string(),
            "line": position.map(|Position { line, .. }| line),
            "column": position.map(|Position { column, .. }| column),
            "key": self.key,
            "message": self.kind.to_string(),
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.kind)
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(reason) => write!(f, "cannot be read: {reason}"),
            Self::Syntax(reason) => write!(f, "syntax error: {reason}"),
            Self::UnknownKey(None) => f.write_str("unknown key"),
            Self::UnknownKey(Some(near)) => write!(f, "unknown key; did you mean \"{near}\"?"),
            Self::Unsupported("") => {
                f.write_str("not supported by Campanile yet; it has no effect")
            }
            Self::Unsupported(note) => write!(f, "not supported by Campanile yet; {note}"),
            Self::WrongType { expected, found } => write!(f, "expected {expected}, found {found}"),
            Self::Invalid(reason) => f.write_str(reason),
        }
    }
}

/// Why a configuration cannot be used: every problem found, warnings too, one a line.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    /// In order of their places.
    pub(crate) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| a.origin.cmp(&b.origin));
        Self { problems }
    }

    /// Everything found, in order of origin.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
