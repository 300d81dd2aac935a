// Unmodified SDK clients over the `ws` package, disconnected when their test ends.

import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';
import { userToken } from './jwt.mjs';
import { next } from './wait.mjs';

let users = 0;

/** A user no other test has. */
export const someone = () => `user-${process.pid}-${++users}`;

/** @param endpoint a URL for WebSocket, or the SDK's list of transports */
export function newClient(t, endpoint, { Client = Centrifuge, ...options } = {}) {
  const client = new Client(endpoint, {
    websocket: WebSocket,
    minReconnectDelay: 20,
    maxReconnectDelay: 200,
    ...options,
  });
  t.after(() => client.disconnect());
  return client;
}

/** A connected client of its own user, unless `options` brings a token. */
export async function connected(t, endpoint, { user = someone(), ...options } = {}) {
  const client = newClient(t, endpoint, { token: userToken(user), ...options });
  const context = next(client, 'connected');
  client.connect();
  const { client: id } = await context;
  return { client, user, id };
}

/** A subscription once it is subscribed, with the context of that event. */
export async function subscribed(client, channel, options = {}) {
  const sub = client.newSubscription(channel, options);
  const first = next(sub, 'subscribed');
  sub.subscribe();
  return { sub, context: await first };
}

/**
 * Publications of a subscription in order of arrival, with a wait for the n-th.
 * @param emitter a subscription, or a client for its server-side subscriptions
 * @param read what to keep of a publication
 */
export function collect(emitter, read = (publication) => publication) {
  const seen = [];
  emitter.on('publication', (publication) => seen.push(read(publication)));
  return {
    seen,
    async atLeast(count, ms) {
      if (seen.length < count) {
        await next(emitter, 'publication', { accept: () => seen.length >= count, ms });
      }
      return seen;
    },
  };
}
