//! Presence that each node keeps of its own sessions, and all are asked for.
//!
//! For brokers that keep none themselves. Costs a message to every node for each look, and for the
//! users of a channel 8 bytes each: where presence is asked for often, let the broker keep it.

use std::collections::HashSet;
use std::sync::Arc;

use campanile_protocol::{ClientId, ClientInfo};

use super::question::{Question, read_attendance, read_clients};
use crate::broker::{BoxFuture, BrokerError};
use crate::channel::ChannelName;
use crate::cluster::{Cluster, Survey, Unasked};
use crate::presence::{MemoryPresence, Presence, PresenceStats};

/// Presence that each node keeps of its own sessions, and all are asked for: a message to every node
/// for each look, and 8 bytes for each user of a channel.
///
/// What one node does not answer is not known, so that there is no answer at all: a list without
/// somebody would say that they are not there.
#[derive(Debug)]
pub struct SurveyPresence {
    here: MemoryPresence,
    cluster: Arc<Cluster>,
}

impl SurveyPresence {
    /// Presence of this node's sessions and of those that `cluster` knows.
    #[must_use]
    pub fn new(cluster: Arc<Cluster>) -> Self {
        let here = MemoryPresence::default();
        Self { here, cluster }
    }

    /// What all others answer.
    async fn ask(&self, question: Question) -> Result<Vec<Vec<u8>>, BrokerError> {
        let survey = self.cluster.ask(&question.encode()).await;
        let Survey { answers, silent } = survey.map_err(|why| match why {
            Unasked::Bus(error) => error,
            Unasked::TooLong => BrokerError::Unreachable,
        })?;
        if !silent.is_empty() {
            return Err(BrokerError::Unanswered);
        }
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }
}

impl Presence for SurveyPresence {
    fn add<'a>(
        &'a self,
        channel: &'a ChannelName,
        info: Arc<ClientInfo>,
    ) -> BoxFuture<'a, Result<(), BrokerError>> {
        self.here.add(channel, info)
    }

    fn remove<'a>(&'a self, channel: &'a ChannelName, client: ClientId) -> BoxFuture<'a, ()> {
        self.here.remove(channel, client)
    }

    fn list<'a>(
        &'a self,
        channel: &'a ChannelName,
        max: usize,
    ) -> BoxFuture<'a, Result<Option<Vec<Arc<ClientInfo>>>, BrokerError>> {
        Box::pin(async move {
            let Some(mut all) = self.here.attendees(channel, max) else {
                return Ok(None);
            };
            for answer in self.ask(Question::Presence(channel.clone(), max)).await? {
                let clients = read_clients(&answer).map_err(|_| BrokerError::Unanswered)?;
                let Some(clients) = clients else {
                    return Ok(None);
                };
                all.extend(clients);
                if all.len() > max {
                    return Ok(None);
                }
            }
            Ok(Some(all))
        })
    }

    fn stats<'a>(
        &'a self,
        channel: &'a ChannelName,
    ) -> BoxFuture<'a, Result<PresenceStats, BrokerError>> {
        Box::pin(async move {
            let (mut clients, users) = self.here.users(channel);
            let mut users: HashSet<_> = users.into_iter().collect();
            for answer in self.ask(Question::PresenceStats(channel.clone())).await? {
                let (more, whose) =
                    read_attendance(&answer).map_err(|_| BrokerError::Unanswered)?;
                clients += more;
                users.extend(whose);
            }
            let users = users.len();
            Ok(PresenceStats { clients, users })
        })
    }

    fn here(&self) -> Option<&MemoryPresence> {
        Some(&self.here)
    }
}
