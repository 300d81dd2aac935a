//! What is done to sessions, or known of channels, on all nodes.
//!
//! A success is only what every node said. Where one did not answer the caller is told 100,
//! temporary: what can be done once can be done again, and the log names the node.

use std::collections::BTreeMap;

use campanile_protocol::{Refusal, UserId};
use futures_util::future::join;

use super::question::{Question, read_channels, read_count};
use super::{Control, NameFilter, Node};
use crate::cluster::{Cluster, KnownNode, NodeId, Survey, Unasked};
use crate::session::{Claim, Order};
use crate::shard::Target;
use crate::throttle::BROKER_FAULTS;

/// Channels with subscribers, over all nodes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ChannelList {
    /// Their names, and how many subscribers each has.
    pub channels: BTreeMap<String, usize>,
    /// Nodes that did not answer: what is subscribed there is missing.
    pub silent: Vec<NodeId>,
}

impl Node {
    /// All nodes that are known here: this one first, then the others as they last told about
    /// themselves.
    pub async fn nodes(&self) -> Vec<KnownNode> {
        let mut nodes = vec![KnownNode {
            info: self.info().await,
            age: std::time::Duration::ZERO,
            is_silent: false,
        }];
        nodes.extend(
            self.cluster()
                .into_iter()
                .flat_map(|cluster| cluster.peers()),
        );
        nodes
    }

    /// Channels that have subscribers now and whose names `filter` accepts, over all nodes.
    ///
    /// Each node looks at each of its channels, and each shard on its worker: let `filter` be
    /// quick. The other nodes apply what it says about the beginning of names only, and tell the
    /// rest.
    ///
    /// # Errors
    /// 100 (temporary) when the other nodes could not be asked. That some of them did not answer is
    /// none.
    pub async fn channels(&self, filter: impl Into<NameFilter>) -> Result<ChannelList, Refusal> {
        let filter = filter.into();
        let here = self.channels_here(filter.clone());
        let Some(cluster) = self.cluster() else {
            let (channels, silent) = (here.await, Vec::new());
            return Ok(ChannelList { channels, silent });
        };
        let question = Question::Channels(filter.beginning.clone().into()).encode();
        let (mut channels, survey) = join(here, cluster.ask(&question)).await;
        let Survey {
            answers,
            mut silent,
        } = survey.map_err(unasked)?;
        for (node, answer) in answers {
            let Ok(more) = read_channels(&answer) else {
                silent.push(node);
                continue;
            };
            let more = more.into_iter().filter(|(name, _)| filter.accepts(name));
            for (name, members) in more {
                *channels.entry(name.to_owned()).or_default() += members;
            }
        }
        Ok(ChannelList { channels, silent })
    }

    pub(super) async fn channels_here(&self, filter: NameFilter) -> BTreeMap<String, usize> {
        let mut channels = BTreeMap::new();
        for part in self
            .every_shard(|done| Control::Channels(filter.clone(), done))
            .await
        {
            for (channel, members) in part {
                *channels.entry(channel.as_str().to_owned()).or_default() += members;
            }
        }
        channels
    }

    /// Gives an order to sessions wherever they are; returns how many there are.
    pub(super) async fn order_everywhere(
        &self,
        target: Target,
        order: Order,
    ) -> Result<usize, Refusal> {
        let Some(cluster) = self.cluster() else {
            return Ok(self.order(target, order).await);
        };
        let question = Question::Order(target.clone(), order.clone()).encode();
        if !Cluster::fits(&question) {
            return Err(unasked(Unasked::TooLong));
        }
        let is_for_one = matches!(&target, Target::User { only: Some(_), .. });
        let here = self.order(target, order);
        if is_for_one {
            // No other node has a session with the same identity.
            return match here.await {
                0 => elsewhere(cluster, &question).await,
                here => Ok(here),
            };
        }
        let (here, elsewhere) = join(here, elsewhere(cluster, &question)).await;
        Ok(here + elsewhere?)
    }

    /// Tells the sessions of a user on other nodes of this claim, now or as soon as possible.
    pub(super) async fn supersede_elsewhere(&self, user: &UserId, claim: Claim) {
        let Some(peers) = &self.peers else { return };
        let target = Target::user(user.as_str());
        let question = Question::Order(target, Order::Yield(claim)).encode();
        if elsewhere(&peers.cluster, &question).await.is_err() {
            peers.contest(user, claim);
        }
    }
}

/// Has an order given on all other nodes; returns how many sessions it was for there.
async fn elsewhere(cluster: &Cluster, order: &[u8]) -> Result<usize, Refusal> {
    let survey = cluster.ask(order).await.map_err(unasked)?;
    let mut silent = survey.silent;
    let mut count = 0;
    for (node, answer) in survey.answers {
        match read_count(&answer) {
            Ok(sessions) => count += sessions,
            Err(_) => silent.push(node),
        }
    }
    if silent.is_empty() {
        return Ok(count);
    }
    if let Some(unsaid) = BROKER_FAULTS.pass() {
        let names = cluster.names(&silent);
        tracing::warn!(nodes = ?names, unsaid, "other nodes have not said that they did what was ordered");
    }
    Err(Refusal::INTERNAL)
}

fn unasked(why: Unasked) -> Refusal {
    if let Some(unsaid) = BROKER_FAULTS.pass() {
        tracing::warn!(error = %why, unsaid, "the other nodes cannot be asked");
    }
    match why {
        Unasked::Bus(_) => Refusal::INTERNAL,
        Unasked::TooLong => Refusal::BAD_REQUEST,
    }
}
