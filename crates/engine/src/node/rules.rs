//! What the operator decides and may decide otherwise while the node runs.
//!
//! All of it is replaced at once: nobody sees a part of the old with a part of the new. Sessions
//! read it at each use, from their shard's copy; what they were granted stays with them.

use std::sync::Arc;

use arc_swap::Guard;
use campanile_protocol::Refusal;

use super::{Control, Node};
use crate::authority::Authority;
use crate::channel::options::ChannelOptions;
use crate::channel::{ChannelName, Namespaces};
use crate::settings::Settings;

/// The rules of a node.
#[derive(Clone)]
pub struct Rules {
    /// The operator's.
    pub settings: Arc<Settings>,
    /// The channels'.
    pub namespaces: Arc<Namespaces>,
    /// Who is who.
    pub authority: Arc<dyn Authority>,
}

impl Node {
    /// Replaces the rules; returns when every shard goes by the new ones. What the application is
    /// interested in stays what it was, and so do the pings: clients were told how often they come.
    #[doc(hidden)] // A server that runs has a `reload` that knows what else has to change.
    pub async fn replace_rules(&self, rules: Rules) {
        let old = self.rules.load_full();
        let settings = Arc::new(Settings {
            interests: old.settings.interests,
            ping_interval: old.settings.ping_interval,
            pong_timeout: old.settings.pong_timeout,
            ..Settings::clone(&rules.settings)
        });
        let rules = Rules { settings, ..rules };
        self.rules.store(Arc::new(rules.clone()));
        self.every_shard(|done| {
            let (settings, namespaces) = (&rules.settings, &rules.namespaces);
            Control::Follow(Arc::clone(settings), Arc::clone(namespaces), done)
        })
        .await;
    }

    /// The operator's rules.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.rules().settings)
    }

    /// The channels' rules.
    #[must_use]
    pub fn namespaces(&self) -> Arc<Namespaces> {
        Arc::clone(&self.rules().namespaces)
    }

    /// Those of this moment; to be let go of soon.
    pub(super) fn rules(&self) -> Guard<Arc<Rules>> {
        self.rules.load()
    }

    /// A channel that has a namespace, and the options of that.
    pub(super) fn resolve(
        &self,
        channel: &str,
    ) -> Result<(ChannelName, Arc<ChannelOptions>), Refusal> {
        let options = self.options_of(channel)?;
        Ok((ChannelName::trusted(channel), options))
    }

    /// The options of a channel's namespace.
    pub(super) fn options_of(&self, channel: &str) -> Result<Arc<ChannelOptions>, Refusal> {
        if channel.is_empty() {
            return Err(Refusal::BAD_REQUEST);
        }
        let rules = self.rules();
        let resolved = rules.namespaces.resolve(channel);
        let resolved = resolved.ok_or(Refusal::UNKNOWN_CHANNEL)?;
        Ok(Arc::clone(resolved.options))
    }
}
