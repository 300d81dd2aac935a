//! Going over to another configuration while the server runs.
//!
//! What can fail is done first, so that either everything is taken over or nothing. Which settings
//! can be taken over is the configuration's business; here is who has to be told of them.

use std::num::NonZeroUsize;
use std::sync::Arc;

use arc_swap::ArcSwap;
use campanile_engine::application::Interests;
use campanile_engine::channel::Namespaces;
use campanile_engine::node::{Node, Rules};
use tokio::sync::Mutex;

use super::tls::Identity;
use super::{ServeError, assemble};
use crate::api::Gate;
use crate::authority::TokenAuthority;
use crate::config::{Change, Config};
use crate::transport::{Admission, Origins};

/// What became of a new configuration.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Reloaded {
    /// What is otherwise from now on.
    pub changes: Vec<Change>,
    /// What is not, before the server is started again.
    pub pending: Vec<Change>,
}

/// Everybody who goes by settings that may change.
pub(super) struct Live {
    pub(super) node: Arc<Node>,
    pub(super) admission: Arc<Admission>,
    pub(super) origins: Origins,
    pub(super) gate: Gate,
    /// `None` where no TLS is spoken, or the application brought its own.
    pub(super) identity: Option<Arc<Identity>>,
    /// Those that services elsewhere are asked about.
    pub(super) namespaces: Arc<ArcSwap<Namespaces>>,
    /// What handlers of this program want to be asked.
    pub(super) handlers: Interests,
    /// How many connections there are descriptors for.
    pub(super) connections_possible: usize,
    /// What the server was started with.
    pub(super) started: Config,
    pub(super) in_force: Mutex<InForce>,
}

/// What the server goes by now.
pub(super) struct InForce {
    pub(super) config: Config,
    pub(super) authority: Arc<TokenAuthority>,
}

impl Live {
    /// See [`RunningServer::reload`](super::RunningServer::reload).
    pub(super) async fn reload(&self, new: &Config) -> Result<Reloaded, ServeError> {
        let mut in_force = self.in_force.lock().await;
        let next = in_force.config.adopting(new);
        let origins = Origins::new(&next.client.allowed_origins);
        let origins = origins.map_err(|error| ServeError::Origins(error.into()))?;
        let identity = match (&self.identity, &next.http_server.tls) {
            (Some(shown), Some(tls)) => Some((shown, Identity::load(tls)?)),
            _ => None,
        };
        let mut done = Reloaded {
            changes: in_force.config.live_changes(new),
            pending: self.started.pending_changes(new),
        };
        self.origins.replace(&origins);
        self.gate.replace(&next.http_api);
        let limit = connections_max(&next, self.connections_possible);
        let rate = next.client.limits.connection_rate_limit;
        self.admission.limit(limit, rate.map(NonZeroUsize::get));
        if let Some((shown, identity)) = identity
            && shown.become_as(&identity)
        {
            done.changes.push(Change {
                key: "http_server.tls".into(),
                what: "another certificate".into(),
            });
        }
        let namespaces = Arc::new(assemble::namespaces(&next, self.handlers));
        self.namespaces.store(Arc::clone(&namespaces));
        let authority = Arc::new(TokenAuthority::after(
            Some(&in_force.authority),
            &next.client.authentication,
            Arc::clone(&namespaces),
        ));
        let interests = self.node.settings().interests;
        let rules = Rules {
            settings: Arc::new(assemble::settings(&next, interests)),
            namespaces,
            authority: Arc::clone(&authority) as _,
        };
        self.node.replace_rules(rules).await;
        *in_force = InForce {
            config: next,
            authority,
        };
        done.log();
        Ok(done)
    }
}

impl Reloaded {
    fn log(&self) {
        for change in &self.changes {
            tracing::info!(%change, "setting changed");
        }
        for change in &self.pending {
            tracing::warn!(%change, "setting takes a restart");
        }
        let (changes, pending) = (self.changes.len(), self.pending.len());
        tracing::info!(changes, pending, "configuration reloaded");
    }
}

/// How many may connect: what is configured, and no more than there are descriptors for.
pub(super) fn connections_max(config: &Config, possible: usize) -> usize {
    let wanted = config.client.limits.connection_limit;
    wanted.map_or(possible, |wanted| wanted.get().min(possible))
}
