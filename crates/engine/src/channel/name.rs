//! The name of a channel.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A name that belongs to a configured namespace; made by [`crate::channel::Namespaces`] only.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

impl ChannelName {
    /// Takes `name` as it is; the caller has resolved it.
    pub(crate) fn trusted(name: &str) -> Self {
        Self(name.into())
    }

    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}
