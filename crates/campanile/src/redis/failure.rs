//! Why Redis did not do what was asked, and what its refusals mean.

use std::fmt;

use campanile_engine::broker::BrokerError;

use super::reply::Reply;

/// Why there is no answer, or not the one that was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    /// Nothing was done: there is no line to Redis, or it cannot serve now.
    Unreachable,
    /// Nothing was done: too much is under way.
    Busy,
    /// It was sent, and whether it was done nobody knows.
    Unanswered,
    /// Nothing was done: Redis says why.
    Refused(Box<str>),
    /// It was done, and what Redis answers is not what such a request has for an answer.
    Nonsense,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("redis cannot be reached"),
            Self::Busy => f.write_str("too many requests to redis are under way"),
            Self::Unanswered => f.write_str("redis does not answer"),
            Self::Refused(reason) => write!(f, "redis refuses: {reason}"),
            Self::Nonsense => f.write_str("redis answers something else than it was asked for"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for BrokerError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unreachable => Self::Unreachable,
            Failure::Busy => Self::Busy,
            Failure::Refused(reason) if reason.starts_with("OOM") => Self::OutOfMemory,
            Failure::Refused(reason) if reason.starts_with("MISCONF") => Self::StorageFailed,
            Failure::Refused(_) => Self::Unreachable,
            Failure::Unanswered | Failure::Nonsense => Self::Unanswered,
        }
    }
}

/// What a refusal says about where to ask.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Redirection {
    /// The script's text has to be told.
    Unknown,
    /// The slot is elsewhere, for good.
    Moved,
    /// The slot is being moved, and its keys are at this address already.
    Ask(Box<str>),
    /// Nobody serves this now; somebody will soon: a slot that is being moved, a failover, a start.
    Later,
}

impl Redirection {
    /// What `reply` says, if it is a refusal of that kind.
    pub(super) fn of(reply: &Reply) -> Option<Self> {
        let Reply::Error(text) = reply else {
            return None;
        };
        let text = std::str::from_utf8(text).ok()?;
        let mut words = text.split(' ');
        match words.next()? {
            "NOSCRIPT" => Some(Self::Unknown),
            "MOVED" => Some(Self::Moved),
            "ASK" => words.nth(1).map(|address| Self::Ask(address.into())),
            "TRYAGAIN" | "CLUSTERDOWN" | "READONLY" | "LOADING" | "MASTERDOWN" => Some(Self::Later),
            // A replica that was a primary when the script began to run says so from inside of it.
            "ERR" if text.contains("READONLY") => Some(Self::Later),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> Reply {
        Reply::Error(bytes::Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn refusals_say_where_to_ask() {
        let of = |text| Redirection::of(&error(text));
        assert_eq!(
            of("NOSCRIPT No matching script."),
            Some(Redirection::Unknown)
        );
        assert_eq!(of("MOVED 3999 127.0.0.1:6381"), Some(Redirection::Moved));
        let ask = Redirection::Ask("127.0.0.1:6381".into());
        assert_eq!(of("ASK 3999 127.0.0.1:6381"), Some(ask));
        assert_eq!(of("READONLY You can't write"), Some(Redirection::Later));
        assert_eq!(of("ERR wrong number of arguments"), None);
        assert_eq!(Redirection::of(&Reply::Nil), None);
    }
}
