//! The tables about where history and offsets are kept.

use super::Setting;

pub(super) const ENGINE: &[Setting] = &[
    // Centrifugo's default is memory. A server that forgets is a choice here, not an accident.
    Setting::one_of(
        "type",
        &["disk", "memory", "nats", "redis"],
        "disk",
        "Where history and offsets are kept: on disk, in memory until the process ends, or in NATS or Redis, which many nodes share.",
    ),
];

pub(super) const DISK: &[Setting] = &[
    Setting::text(
        "path",
        "campanile-data",
        "Directory of the data, made where it is missing; one server's alone.",
    )
    .ours(),
    Setting::one_of(
        "durability",
        &["relaxed", "sync"],
        "relaxed",
        "What an acknowledgement waits for: written, or written and synced to the device.",
    )
    .ours(),
    Setting::duration(
        "sync_interval",
        "200ms",
        "With relaxed, how often what was written is synced: what a power cut may take.",
    )
    .ours(),
    Setting::count(
        "size_limit",
        "0",
        "Bytes on disk from which on publishes into history are refused; 0 for no limit.",
    )
    .ours(),
    Setting::count(
        "cache_size",
        "67108864",
        "Bytes of the newest publications that are kept in memory too.",
    )
    .ours(),
];
