//! The names of what is compared.

use std::fmt;
use std::str::FromStr;

/// Something that publications can be stored in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Subject {
    /// The memory broker.
    Memory,
    /// The disk broker that syncs now and then.
    Relaxed,
    /// The disk broker that syncs before it answers.
    Sync,
    /// Redis with `appendfsync everysec`.
    RedisEverysec,
    /// Redis with `appendfsync always`.
    RedisAlways,
}

impl Subject {
    pub(crate) const ALL: [Self; 5] = [
        Self::Memory,
        Self::Relaxed,
        Self::Sync,
        Self::RedisEverysec,
        Self::RedisAlways,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Relaxed => "relaxed",
            Self::Sync => "sync",
            Self::RedisEverysec => "redis-everysec",
            Self::RedisAlways => "redis-always",
        }
    }

    /// The value of Redis' `appendfsync`; `None` for a broker of Campanile.
    pub(crate) const fn appendfsync(self) -> Option<&'static str> {
        match self {
            Self::Memory | Self::Relaxed | Self::Sync => None,
            Self::RedisEverysec => Some("everysec"),
            Self::RedisAlways => Some("always"),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|subject| subject.name() == name);
        found.ok_or_else(|| format!("one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}
