//! Who is there: the others by their hellos, and how this node stands itself.

use std::collections::BTreeMap;

use super::{KnownNode, NodeId, NodeInfo, SILENCE};
use crate::limits::{BEAT_PERIOD, GATHERING, LEASE, PEERS_MAX};
use crate::time::Moment;

/// Whether a node knows who is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It hears itself, but the others may not have said hello yet. So is a node that has just
    /// started.
    Gathering,
    /// It knows whoever has said hello.
    Settled,
    /// It does not hear itself: nobody can tell who else does.
    CutOff,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Registry {
    own: NodeId,
    incarnation: u64,
    /// When this incarnation began, or last heard itself.
    alive: Moment,
    /// When the last hello was said.
    said: Option<Moment>,
    /// Since when this incarnation hears itself.
    hears_since: Option<Moment>,
    /// Whether somebody is new who should not wait for the next beat.
    owes_hello: bool,
    peers: BTreeMap<NodeId, Peer>,
    /// Who was given up, and when it was last heard; no more of them than of peers.
    lost: BTreeMap<NodeId, Moment>,
    /// Since when peers that have come back may have missed what this node said.
    missed: Option<Moment>,
    /// Whether nobody says hello any more, nor forgets anybody.
    has_ended: bool,
}

#[derive(Debug)]
struct Peer {
    incarnation: u64,
    info: NodeInfo,
    heard: Moment,
}

impl Registry {
    pub(super) const fn new(own: NodeId, now: Moment) -> Self {
        Self {
            own,
            incarnation: 1,
            alive: now,
            said: None,
            hears_since: None,
            owes_hello: false,
            peers: BTreeMap::new(),
            lost: BTreeMap::new(),
            missed: None,
            has_ended: false,
        }
    }

    /// The node ends: it is cut off from now on.
    pub(super) const fn end(&mut self) {
        self.has_ended = true;
    }

    pub(super) const fn incarnation(&self) -> u64 {
        self.incarnation
    }

    pub(super) fn standing(&self, now: Moment) -> Standing {
        let is_late = |moment| now.since(moment) > LEASE;
        // A process that stood still may hear its own hello from before that, but not yet those of
        // the others: until it says hello again it knows nothing.
        let is_cut_off = self.has_ended || is_late(self.alive) || self.said.is_some_and(is_late);
        match self.hears_since {
            _ if is_cut_off => Standing::CutOff,
            Some(since) if now.since(since) >= GATHERING => Standing::Settled,
            Some(_) => Standing::Gathering,
            None if self.incarnation == 1 => Standing::Gathering,
            None => Standing::CutOff,
        }
    }

    pub(super) fn is_due(&self, now: Moment) -> bool {
        self.owes_hello || self.said.is_none_or(|said| now.since(said) >= BEAT_PERIOD)
    }

    /// A hello is about to be said; returns the incarnation that says it.
    pub(super) fn beat(&mut self, now: Moment) -> u64 {
        let is_late = |moment| now.since(moment) > LEASE;
        // Either the process stood still, and what it hears now may be of before that, or nobody
        // hears it: the others have given it up in both cases.
        if is_late(self.alive) || self.said.is_some_and(is_late) {
            self.incarnation += 1;
            self.alive = now;
            self.hears_since = None;
        }
        self.said = Some(now);
        self.owes_hello = false;
        self.incarnation
    }

    /// A node said hello. Returns whether there is room to know it.
    pub(super) fn greet(
        &mut self,
        now: Moment,
        from: NodeId,
        incarnation: u64,
        info: NodeInfo,
    ) -> bool {
        if from == self.own {
            if incarnation == self.incarnation {
                self.alive = now;
                self.hears_since.get_or_insert(now);
            }
            return true;
        }
        let peer = Peer {
            incarnation,
            info,
            heard: now,
        };
        let is_full = self.peers.len() >= PEERS_MAX;
        match self.peers.get_mut(&from) {
            Some(known) if known.incarnation > incarnation => {}
            Some(known) => {
                let known = std::mem::replace(known, peer);
                if known.incarnation < incarnation {
                    self.owes_hello = true;
                    self.miss(known.heard);
                }
            }
            None if is_full => return false,
            None => {
                self.owes_hello = true;
                self.peers.insert(from, peer);
                if let Some(heard) = self.lost.remove(&from) {
                    self.miss(heard);
                }
            }
        }
        true
    }

    fn miss(&mut self, since: Moment) {
        self.missed = Some(self.missed.map_or(since, |missed| missed.min(since)));
    }

    /// Since when peers that have come back may have missed what this node said, told once.
    pub(super) const fn take_missed(&mut self) -> Option<Moment> {
        self.missed.take()
    }

    /// A node said goodbye, and does not come back. Returns whether it was known.
    pub(super) fn part(&mut self, from: NodeId, incarnation: u64) -> bool {
        let peer = self.peers.get(&from);
        let is_meant = peer.is_some_and(|peer| peer.incarnation <= incarnation);
        is_meant && self.peers.remove(&from).is_some()
    }

    /// Forgets who was silent too long; returns who that is, and what it was called.
    pub(super) fn lapse(&mut self, now: Moment) -> Vec<(NodeId, NodeInfo)> {
        if self.standing(now) != Standing::Settled {
            return Vec::new();
        }
        let late = self
            .peers
            .extract_if(.., |_, peer| now.since(peer.heard) > LEASE);
        let late: Vec<_> = late.collect();
        for (id, peer) in &late {
            if self.lost.len() >= PEERS_MAX {
                self.lost.pop_first();
            }
            self.lost.insert(*id, peer.heard);
        }
        late.into_iter().map(|(id, peer)| (id, peer.info)).collect()
    }

    pub(super) fn knows(&self, node: NodeId) -> bool {
        self.peers.contains_key(&node)
    }

    pub(super) fn name(&self, node: NodeId) -> Option<&str> {
        self.peers.get(&node).map(|peer| peer.info.name.as_str())
    }

    pub(super) fn peer_count(&self) -> usize {
        self.peers.len()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = NodeId> {
        self.peers.keys().copied()
    }

    pub(super) fn peers(&self, now: Moment) -> Vec<KnownNode> {
        let known = self.peers.values().map(|peer| {
            let age = now.since(peer.heard);
            KnownNode {
                info: peer.info.clone(),
                age,
                is_silent: age > SILENCE,
            }
        });
        known.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(id: NodeId) -> NodeInfo {
        NodeInfo {
            id: id.to_string(),
            name: String::new(),
            version: String::new(),
            uptime: std::time::Duration::ZERO,
            stats: crate::shard::ShardStats::default(),
        }
    }

    #[test]
    fn a_node_that_stood_still_does_not_take_what_waited_in_its_line_for_the_present() {
        let [own, other] = [[1; 16], [2; 16]].map(NodeId::from_random);
        let mut registry = Registry::new(own, Moment::START);
        registry.beat(Moment::START);
        for id in [own, other] {
            assert!(registry.greet(Moment::START, id, 1, info(id)));
        }
        let before = Moment::START + GATHERING;
        assert_eq!(registry.standing(before), Standing::Settled);
        let after = before + 6 * LEASE;
        registry.greet(after, own, 1, info(own));
        assert_eq!(registry.standing(after), Standing::CutOff);
        assert!(registry.lapse(after).is_empty() && registry.knows(other));
    }
}
