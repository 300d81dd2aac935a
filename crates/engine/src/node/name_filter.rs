//! Which channels are meant, by their names.

use std::fmt;
use std::sync::Arc;

/// Chooses channels by name.
#[derive(Clone)]
pub struct NameFilter {
    accepts: Arc<Accepts>,
    /// What all names that it accepts begin with: other nodes are told that much of it.
    pub(super) beginning: Box<str>,
}

type Accepts = dyn Fn(&str) -> bool + Send + Sync;

impl NameFilter {
    /// Names that `accepts` accepts; all of them begin with `beginning`, which may be empty.
    #[must_use]
    pub fn new(
        beginning: impl Into<Box<str>>,
        accepts: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            accepts: Arc::new(accepts),
            beginning: beginning.into(),
        }
    }

    /// Every name that begins with this; all, when it is empty.
    #[must_use]
    pub fn beginning_with(beginning: impl Into<Box<str>>) -> Self {
        Self::new(beginning, |_| true)
    }

    /// Whether it accepts this name.
    #[must_use]
    pub fn accepts(&self, name: &str) -> bool {
        name.starts_with(&*self.beginning) && (self.accepts)(name)
    }
}

impl<F: Fn(&str) -> bool + Send + Sync + 'static> From<F> for NameFilter {
    fn from(accepts: F) -> Self {
        Self::new("", accepts)
    }
}

impl fmt::Debug for NameFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NameFilter").field(&self.beginning).finish()
    }
}
