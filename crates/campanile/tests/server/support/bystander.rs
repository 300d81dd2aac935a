//! Somebody who does nothing wrong.

use serde_json::json;

use super::client::Client;
use super::server::Server;

const CHANNEL: &str = "bystanders";

/// A subscriber that must not notice anything of what others do.
pub(crate) struct Bystander(Client);

impl Bystander {
    pub(crate) fn of(server: &Server) -> Self {
        Self(Client::subscriber(server, CHANNEL))
    }

    /// Publishes to it and expects exactly that: it is still connected, still subscribed, and got
    /// nothing of anybody else's. Then it leaves, so that the server need not wait for it.
    pub(crate) fn assert_untouched(mut self, server: &Server) {
        let data = json!({"to": "a bystander"});
        server.publish(CHANNEL, &data);
        self.0.expect_publication(CHANNEL, &data);
    }
}
