//! Who has what, as far as is known: a way to each.

use std::sync::Arc;

use super::dial::Address;
use super::lane::Lane;
use super::slots;
use super::topology::Topology;

/// Who must have what was done before it is answered.
#[derive(Clone, Copy)]
pub(super) enum Safety {
    /// Whoever did it.
    Primary,
    /// As many others as are configured, too.
    Replicas,
}

/// Who has what, and a lane to each.
#[derive(Default)]
pub(super) struct Map {
    pub(super) topology: Topology,
    /// In the topology's order.
    pub(super) lanes: Vec<Arc<Lane>>,
    /// Likewise, for what replicas must have before it is answered: whatever comes behind it on the
    /// same line waits for them too. Empty where nothing must.
    pub(super) safe_lanes: Vec<Arc<Lane>>,
    /// The lane of each slot; empty until anybody is known.
    slots: Box<[Option<u16>]>,
    /// Why nobody is known.
    pub(super) unknown: Option<String>,
}

impl Map {
    pub(super) fn new(
        lanes: Vec<Arc<Lane>>,
        safe_lanes: Vec<Arc<Lane>>,
        topology: Topology,
    ) -> Self {
        let mut slots = vec![None; usize::from(slots::SLOTS)].into_boxed_slice();
        for (index, shard) in topology.shards.iter().enumerate() {
            let index = u16::try_from(index).ok();
            for range in &shard.slots {
                let range = usize::from(*range.start())..usize::from(*range.end()) + 1;
                if let Some(slots) = slots.get_mut(range) {
                    slots.fill(index);
                }
            }
        }
        Self {
            topology,
            lanes,
            safe_lanes,
            slots,
            unknown: None,
        }
    }

    pub(super) fn with_unknown(&self, unknown: Option<String>) -> Self {
        Self {
            topology: self.topology.clone(),
            lanes: self.lanes.clone(),
            safe_lanes: self.safe_lanes.clone(),
            slots: self.slots.clone(),
            unknown,
        }
    }

    pub(super) fn lane(&self, slot: u16, safety: Safety) -> Option<Arc<Lane>> {
        let index = (*self.slots.get(usize::from(slot))?)?;
        self.all(safety).get(usize::from(index)).map(Arc::clone)
    }

    pub(super) fn lane_to(&self, address: &Address, safety: Safety) -> Option<Arc<Lane>> {
        let mut lanes = self.all(safety).iter();
        lanes.find(|lane| lane.address == *address).map(Arc::clone)
    }

    fn all(&self, safety: Safety) -> &[Arc<Lane>] {
        match safety {
            Safety::Replicas if !self.safe_lanes.is_empty() => &self.safe_lanes,
            _ => &self.lanes,
        }
    }
}
