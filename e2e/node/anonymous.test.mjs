// A server that lets clients in without a token.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { newClient, subscribed } from '../lib/client.mjs';
import { Server } from '../lib/server.mjs';
import { next } from '../lib/wait.mjs';

let server;
before(async () => (server = await Server.start({ client: { allow_anonymous_connect_without_token: true } })));
after(() => server.stop());

async function anonymous(t) {
  const client = newClient(t, server.ws);
  const welcome = next(client, 'connected');
  client.connect();
  await welcome;
  return client;
}

test('an anonymous client connects and subscribes where anonymous ones may', async (t) => {
  const client = await anonymous(t);
  const { sub } = await subscribed(client, 'lobby:news');
  const arrived = next(sub, 'publication');
  await server.publish('lobby:news', 'welcome');
  assert.equal((await arrived).data, 'welcome');
});

test('an anonymous client is denied what is for users', async (t) => {
  const sub = (await anonymous(t)).newSubscription('plain:news');
  const refused = next(sub, 'unsubscribed');
  sub.subscribe();
  assert.equal((await refused).code, 103);
});
