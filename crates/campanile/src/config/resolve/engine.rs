//! Where streams are kept: bounds that make sense, and settings that have an effect.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use super::Resolver;
use crate::config::engine::{Disk, Durability, Engine};
use crate::config::raw;
use crate::config::schema::SECTIONS;
use crate::config::tree::{Item, Origin};

/// Below this the sync of one interval is seldom done before the next is due.
const SYNC_INTERVAL_MIN: Duration = Duration::from_millis(1);

/// Beyond this it is rather a slip of the unit than a wish to lose so much.
const SYNC_INTERVAL_MAX: Duration = Duration::from_secs(60);

/// Room is made by a segment, an eighth of this, which must be worth more than what is written at
/// once.
const SIZE_LIMIT_MIN: u64 = 16 * 1024 * 1024;

impl Resolver<'_> {
    pub(super) fn engine(&mut self, raw: raw::Engine) -> Engine {
        self.unused_engines(&raw.kind);
        match &*raw.kind {
            "memory" => Engine::Memory,
            "nats" => Engine::Nats(Box::new(self.nats(raw.nats))),
            "redis" => Engine::Redis(Box::new(self.redis(raw.redis))),
            _ => Engine::Disk(self.disk(raw.disk)),
        }
    }

    /// Whoever set something of an engine that is not used believes that it is.
    fn unused_engines(&mut self, used: &str) {
        let reason = format!("has no effect, as engine.type is \"{used}\"");
        let tables = SECTIONS.iter().filter_map(|section| {
            let engine = section.path.strip_prefix("engine.")?;
            (engine.split('.').next() != Some(used)).then_some(section)
        });
        for table in tables {
            for setting in table.settings {
                let path = format!("{}.{}", table.path, setting.name);
                // A file may spell out every default.
                let is_other = |item: &Item| item.value != setting.default_value();
                if self.tree.get(&path).is_some_and(is_other) {
                    self.no_effect(&path, &reason);
                }
            }
        }
    }

    fn disk(&mut self, raw: raw::Disk) -> Disk {
        if raw.path.is_empty() {
            self.invalid("engine.disk.path", "expected the path of a directory");
        }
        if raw.size_limit > 0 && raw.size_limit < SIZE_LIMIT_MIN {
            let reason = format!("expected {SIZE_LIMIT_MIN} (16 MiB) or more, or 0 for no limit");
            self.invalid("engine.disk.size_limit", reason);
        }
        Disk {
            path: PathBuf::from(raw.path),
            durability: if raw.durability == "sync" {
                let reason = "has no effect, as engine.disk.durability is \"sync\"";
                self.no_effect("engine.disk.sync_interval", reason);
                Durability::Sync
            } else {
                self.relaxed(raw.sync_interval)
            },
            size_limit: NonZeroU64::new(raw.size_limit),
            cache_size: raw.cache_size,
        }
    }

    fn relaxed(&mut self, sync_interval: Duration) -> Durability {
        if !(SYNC_INTERVAL_MIN..=SYNC_INTERVAL_MAX).contains(&sync_interval) {
            let reason = "expected 1ms to 60s; to lose nothing in a power cut, \
                          set engine.disk.durability to \"sync\"";
            self.invalid("engine.disk.sync_interval", reason);
        }
        Durability::Relaxed { sync_interval }
    }

    /// Warns where somebody set it.
    fn no_effect(&mut self, path: &str, reason: &str) {
        let item = self.tree.get(path);
        if item.is_some_and(|item| item.origin != Origin::Default && !item.value.is_inert()) {
            self.warn(path, reason);
        }
    }
}
