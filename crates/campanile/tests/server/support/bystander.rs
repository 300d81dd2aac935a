//! Somebody who does nothing wrong.

use serde_json::json;

use super::client::Client;
use super::server::Server;

const CHANNEL: &str = "bystanders";

/// A subscriber that must not notice anything of what others do.
pub(crate) struct Bystander {
    client: Client,
    publications: u64,
}

impl Bystander {
    pub(crate) fn of(server: &Server) -> Self {
        Self {
            client: Client::subscriber(server, CHANNEL),
            publications: 0,
        }
    }

    /// Publishes to it and expects exactly that: it is still connected, still subscribed, and got
    /// nothing of anybody else's.
    pub(crate) fn assert_untouched(&mut self, server: &Server) {
        self.publications += 1;
        let data = json!({"n": self.publications});
        server.publish(CHANNEL, &data);
        self.client.expect_publication(CHANNEL, &data);
    }
}
