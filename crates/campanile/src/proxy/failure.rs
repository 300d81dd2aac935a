//! Why a proxy gave no answer. What is told of it has no payload, header, query or token in it.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde_json::error::Category;

/// Bytes of an answer.
pub(super) const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// See the [module](self).
#[derive(Debug)]
pub(super) enum Failure {
    /// There was no answer in time.
    Timeout,
    /// The connection was not made, or broke.
    Network(Box<dyn Error + Send + Sync>),
    /// The status is not 200.
    Status(u16),
    /// The answer is longer than [`ANSWER_BYTES_MAX`].
    TooLong,
    /// Other answers of the proxy have taken all the room there is for answers.
    Crowded,
    /// The answer is no JSON, or not what was expected of it.
    Malformed(serde_json::Error),
    /// Applications may not use this code for an error.
    ErrorCode(i64),
    /// Nor this one for a disconnect.
    DisconnectCode(i64),
    /// The client has gone, or the server, after so long.
    GivenUp(Duration),
    /// The server stops.
    Unfinished,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no answer in time"),
            Self::Network(error) => write!(f, "{}", Chain(&**error)),
            Self::Status(status) => write!(f, "status {status}, where only 200 is an answer"),
            Self::TooLong => write!(f, "an answer of more than {ANSWER_BYTES_MAX} bytes"),
            Self::Crowded => f.write_str("too many bytes of answers under way"),
            // Its own words may quote what was found.
            Self::Malformed(error) => {
                let what = match error.classify() {
                    Category::Data => "an answer with a field of a wrong type",
                    Category::Eof => "an answer that ends too early",
                    Category::Syntax | Category::Io => "an answer that is no JSON",
                };
                let (line, column) = (error.line(), error.column());
                write!(f, "{what} at line {line} column {column}")
            }
            Self::ErrorCode(code) => {
                write!(
                    f,
                    "an error with code {code}, which is not from 400 to 1999"
                )
            }
            Self::DisconnectCode(code) => {
                write!(
                    f,
                    "a disconnect with code {code}, which is not from 4000 to 4999"
                )
            }
            Self::GivenUp(took) => {
                let seconds = took.as_secs_f64();
                write!(
                    f,
                    "no answer when nobody waited any more, after {seconds:.1} s"
                )
            }
            Self::Unfinished => f.write_str("the server stops"),
        }
    }
}

/// An error with what caused it: the outermost says only that it was sending or connecting.
struct Chain<'a>(&'a (dyn Error + Send + Sync));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
