// The nodes' configuration: the channels of the crash harness, and what matters among several nodes.

import { configuration } from '../crash/settings.mjs';

/** A connection that hears nothing for so long is dead to the server, and to the client (ms). */
export const PING = { interval: 5000, patience: 3000 };

/** Publications in one recovery: more than anybody can miss, so that what is missed was lost elsewhere. */
export const RECOVERY_LIMIT = 10_000;

/** @param engine the `engine` section of one node */
export function nodeConfiguration(engine) {
  const { namespaces, client, ...rest } = configuration(engine);
  return {
    ...rest,
    // Presence shows who is taken to be there although the node that had them is gone.
    namespaces: namespaces.map((one) => (one.name === 'some' ? { ...one, presence: true } : one)),
    client: {
      ...client,
      recovery_max_publication_limit: RECOVERY_LIMIT,
      ping_interval: `${PING.interval}ms`,
      pong_timeout: `${PING.patience}ms`,
    },
    // Two looks of the balancer's at /ready come first.
    shutdown: { delay: '2500ms', drain: '1s', timeout: '10s' },
  };
}
