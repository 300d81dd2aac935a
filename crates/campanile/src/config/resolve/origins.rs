//! Which pages may connect: entries that are patterns, and such that a page can fit.

use super::Resolver;
use super::proxy::listed_origin;
use crate::transport::Origins;

impl Resolver<'_> {
    pub(super) fn origins(&mut self, given: &[String]) {
        let place = self.place("client");
        for (index, entry) in given.iter().enumerate() {
            let origin = || listed_origin(&place, "allowed_origins", index);
            let key = || format!("client.allowed_origins[{index}]");
            if let Err(error) = Origins::new(&[entry]) {
                self.invalid_at(origin(), key(), error.to_string());
            } else if let Some(flaw) = Origins::flaw(entry) {
                // Only warned about: Centrifugo starts with it, and others may fit.
                let reason = format!("no page has this origin: it {flaw}");
                self.warn_at(origin(), key(), reason);
            }
        }
    }
}
