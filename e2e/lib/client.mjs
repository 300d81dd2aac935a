// Unmodified SDK clients over the `ws` package, disconnected when their test ends.

import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';
import { userToken } from './jwt.mjs';
import { next } from './wait.mjs';

let users = 0;

/** A user no other test has. */
export const someone = () => `user-${process.pid}-${++users}`;

export function newClient(t, url, options = {}) {
  const client = new Centrifuge(url, {
    websocket: WebSocket,
    minReconnectDelay: 20,
    maxReconnectDelay: 200,
    ...options,
  });
  t.after(() => client.disconnect());
  return client;
}

/** A connected client of its own user, unless `options` brings a token. */
export async function connected(t, url, { user = someone(), ...options } = {}) {
  const client = newClient(t, url, { token: userToken(user), ...options });
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

/** Publications of a subscription in order of arrival, with a wait for the n-th. */
export function collect(sub) {
  const seen = [];
  sub.on('publication', (publication) => seen.push(publication));
  return {
    seen,
    async atLeast(count, ms) {
      if (seen.length < count) {
        await next(sub, 'publication', { accept: () => seen.length >= count, ms });
      }
      return seen;
    },
  };
}
