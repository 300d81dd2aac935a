//! Bounds that are not configured, and how they relate.

use std::time::Duration;

/// Shards a node can have: a stream keeps the shards that have its subscribers as bits of a word,
/// and a session's id has one byte for its shard.
pub const SHARDS_MAX: usize = 64;

/// Bytes of publications on their way from the broker to the shards of a node. A publisher waits
/// for its share before the stream's lock is taken, so that nothing inside it has to.
pub const INBOX_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What one publication takes of [`INBOX_BYTES_MAX`] beside its payload.
pub const DELIVERY_OVERHEAD_BYTES: usize = 256;

/// What one publication in a history takes of memory beside its payload: its own size, its entry
/// and the allocator's headers.
pub const PUBLICATION_OVERHEAD_BYTES: usize = 160;

/// What a channel that is stored takes of memory beside its name: stream, table and timer entries.
pub const ENTRY_OVERHEAD_BYTES: usize = 400;

/// What one record of the log takes on disk beside the channel's name and the payload, about.
pub const RECORD_OVERHEAD_BYTES: u64 = 48;

/// Bytes of publishes that wait for the disk, counted with [`DELIVERY_OVERHEAD_BYTES`] each; the
/// publishers beyond wait for room.
pub const COMMIT_QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of publishes that are written to the disk at once, counted likewise. One publication may
/// be larger.
pub const GROUP_BYTES_MAX: usize = 1024 * 1024;

/// Bytes that compaction has written again at once: publishers wait behind them.
pub const CARRY_BYTES_MAX: usize = 256 * 1024;

/// Reads of histories from the disk that have begun; those beyond wait.
pub const COLD_READS_MAX: usize = 64;

/// How long the disk may take for one write before publishers are refused.
pub const DISK_PATIENCE: Duration = Duration::from_secs(5);

/// Reads of histories that are kept elsewhere, under way at the same time; those beyond wait.
pub const REMOTE_READS_MAX: usize = 256;

/// How long a node goes on listening to a channel that nobody here is subscribed to: whoever lost
/// its connection comes back within this time, mostly.
pub const LINGER: Duration = Duration::from_secs(5);

/// Channels that are listened to for that reason alone.
pub const LEAVING_CHANNELS_MAX: usize = 65_536;

/// Channels that nobody here is subscribed to, but which were published to from here lately, of
/// which a node remembers where their streams were.
pub const RECENT_CHANNELS_MAX: usize = 16_384;

/// Orders of the application waiting for one shard; the callers beyond wait.
pub const ORDERS_MAX: usize = 1024;

/// Ends of sessions of which the application is told at the same time. Those beyond wait, and so
/// does whoever wants to connect: nothing that it has to be told is left out. That it is told of
/// their beginnings is bounded by the sessions, since that ends with them.
pub const NOTICES_MAX: usize = 1024;

/// Channels that are being joined at the same time, by all shards: so much of a herd is with the
/// broker at once. Those beyond wait, in the order in which they came.
pub const JOINS_MAX: usize = 1024;

/// Bytes that the application is told of the name of a client's library, and of its version.
pub const CLIENT_NAME_BYTES_MAX: usize = 64;

/// Bytes of the headers that are known of one connection: names, values, and 4 for each.
pub const HEADERS_BYTES_MAX: usize = 8 * 1024;

/// Bytes buffered for one subscription while it joins; beyond, the client is told that it missed
/// something.
pub const JOIN_BUFFER_BYTES_MAX: usize = 1024 * 1024;

/// Idempotency keys remembered for one channel.
pub const IDEMPOTENCY_KEYS_MAX: usize = 10_000;

/// The longest idempotency key, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 1024;

/// Levels of a tags filter: it is walked by recursion, for every delivery.
pub const FILTER_DEPTH_MAX: usize = 32;

/// Conditions and their combinations in a tags filter, all of which a delivery may have to try.
pub const FILTER_NODES_MAX: usize = 256;

/// Values that the comparisons of a tags filter list (`in`, `nin`), all together.
pub const FILTER_VALUES_MAX: usize = 1024;

/// Bytes of keys and values in a tags filter: a session keeps one for each of its subscriptions.
pub const FILTER_BYTES_MAX: usize = 16 * 1024;

/// Channels of one broadcast, which are published one by one.
pub const BROADCAST_CHANNELS_MAX: usize = 65_536;

/// Bytes of a broadcast's copies that wait for their place at the same time.
pub const BROADCAST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Copies of a broadcast that do.
pub const BROADCAST_WIDTH_MAX: usize = 1024;

/// Bytes of one message between nodes: below what NATS carries by default (1 MiB).
pub const MESSAGE_BYTES_MAX: usize = 960 * 1024;

/// Bytes of an answer to another node in one message; longer ones are told in parts, so that others
/// get their turn.
pub const ANSWER_PART_BYTES: usize = 64 * 1024;

/// Time between two hellos of a node to the others.
pub const BEAT_PERIOD: Duration = Duration::from_secs(1);

/// Time without a hello after which a node is given up by the others.
pub const LEASE: Duration = Duration::from_secs(5);

/// How long a node that hears itself waits for the hellos of the others before it takes those that
/// it has heard for all: a beat, and the way.
pub const GATHERING: Duration = Duration::from_millis(1200);

/// How long the other nodes have to answer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Other nodes that one knows; those beyond are not counted on.
pub const PEERS_MAX: usize = 1024;

/// Bytes of a node's name, and of its version, that the others are told.
pub const NODE_NAME_BYTES_MAX: usize = 255;

/// Questions to the other nodes that wait for answers; those beyond are refused.
pub const SURVEYS_MAX: usize = 1024;

/// Bytes of answers that all of them have collected; who answers beyond is taken for silent.
pub const SURVEY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of what other nodes want of this one that wait for their turn, counted with
/// [`ERRAND_OVERHEAD_BYTES`] each; those beyond are dropped, and their askers see no answer.
pub const ERRANDS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What one of them takes beside its bytes.
pub const ERRAND_OVERHEAD_BYTES: usize = 256;

/// Of these, how many are under way at the same time.
pub const ERRANDS_MAX: usize = 1024;

/// Users whose sessions on other nodes could not be told that there is a newer one, and are to be
/// told later, where only one may be.
pub const CONTESTED_MAX: usize = 65_536;

const _: () = assert!(
    SHARDS_MAX <= u8::MAX as usize + 1,
    "a client id has one byte for its shard"
);
const _: () = assert!(
    SHARDS_MAX <= u64::BITS as usize,
    "a stream has one word for its shards"
);
const _: () = assert!(
    HEADERS_BYTES_MAX <= u16::MAX as usize,
    "the lengths of a header have two bytes each"
);
const _: () = assert!(
    COMMIT_QUEUE_BYTES_MAX <= u32::MAX as usize,
    "the queue is counted in u32 permits"
);
const _: () = assert!(
    INBOX_BYTES_MAX <= u32::MAX as usize,
    "the budget is counted in u32 permits"
);
