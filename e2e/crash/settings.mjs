// The channels that are tried, and the server's configuration that makes them what they are.

import { EVERY_TRANSPORT } from '../lib/ways.mjs';

/** Publications in one recovery; more is a cause of `recovered: false`. */
export const RECOVERY_LIMIT = 500;
/** Bytes queued for a connection. Half of it bounds one recovery. */
const QUEUE_BYTES = 16 * 1024 * 1024;
export const RECOVERY_BYTES = QUEUE_BYTES / 2;

const HOUR = 3_600_000;

/**
 * Classes of channels, by namespace. `size`, `ttl` and `metaTtl` (ms) are what the server keeps; `weight` is how
 * often single publications go there, `length` from and to how many characters these have.
 */
export const CLASSES = {
  // Nothing is ever trimmed: everything has to be there at the end.
  all: { channels: 3, size: 1_000_000, ttl: HOUR, metaTtl: HOUR, mode: 'stream', weight: 6, length: [120, 400] },
  // Trimmed all the time; recovers short absences.
  some: { channels: 2, size: 20, ttl: HOUR, metaTtl: HOUR, mode: 'stream', weight: 3, length: [120, 400] },
  // Expires whenever nobody publishes for a second.
  brief: { channels: 2, size: 1000, ttl: 1000, metaTtl: HOUR, mode: 'stream', weight: 0, length: [120, 400] },
  // Forgotten with its epoch whenever nobody publishes for three seconds, and nobody is subscribed.
  fading: { channels: 1, size: 1000, ttl: 1000, metaTtl: 3000, mode: 'stream', weight: 0, length: [120, 400] },
  // Fills segments of the log, so that they roll and are compacted.
  large: { channels: 2, size: 100, ttl: HOUR, metaTtl: HOUR, mode: 'stream', weight: 0, length: [1024, 50 * 1024] },
  delta: { channels: 1, size: 300, ttl: HOUR, metaTtl: HOUR, mode: 'stream', weight: 2, length: [1000, 2000] },
  cache: { channels: 1, size: 10, ttl: HOUR, metaTtl: HOUR, mode: 'cache', weight: 1, length: [120, 400] },
  // Its history is removed now and then.
  wiped: { channels: 1, size: 1000, ttl: HOUR, metaTtl: HOUR, mode: 'stream', weight: 2, length: [120, 400] },
  // No history: at most once. Its idempotency keys are remembered all the same.
  fleeting: { channels: 1, size: 0, mode: 'none', weight: 1, length: [120, 400] },
};

export const classOf = (channel) => channel.slice(0, channel.indexOf(':'));

/** The channels of the classes named, or of all. */
export const channelsOf = (...names) =>
  (names.length ? names : Object.keys(CLASSES)).flatMap((name) =>
    Array.from({ length: CLASSES[name].channels }, (_, n) => `${name}:${n + 1}`),
  );

const namespaces = Object.entries(CLASSES).map(([name, { size, ttl, metaTtl, mode }]) => ({
  name,
  allow_subscribe_for_client: true,
  ...(size > 0 && {
    history_size: size,
    history_ttl: `${ttl}ms`,
    history_meta_ttl: `${metaTtl}ms`,
    force_recovery: true,
    allow_history_for_subscriber: true,
  }),
  ...(mode === 'cache' && { force_recovery_mode: 'cache' }),
  ...(name === 'delta' && { allowed_delta_types: ['fossil'], delta_publish: true }),
}));

/** @param engine the `engine` section */
export const configuration = (engine) => ({
  engine,
  namespaces,
  client: { recovery_max_publication_limit: RECOVERY_LIMIT, queue_max_size: QUEUE_BYTES },
  websocket: { compression: true },
  shutdown: { drain: '200ms', timeout: '10s' },
  log: { level: 'info' },
  ...EVERY_TRANSPORT,
});
