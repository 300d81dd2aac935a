// The API acts on live connections.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connected, someone, subscribed } from '../lib/client.mjs';
import { inSeconds } from '../lib/jwt.mjs';
import { Raw } from '../lib/raw.mjs';
import { Server } from '../lib/server.mjs';
import { next } from '../lib/wait.mjs';

let server;
before(async () => (server = await Server.start()));
after(() => server.stop());

test('unsubscribe ends a subscription for good', async (t) => {
  const { client, user } = await connected(t, server.ws);
  const { sub } = await subscribed(client, 'plain:out');
  const ended = next(sub, 'unsubscribed');
  await server.api('unsubscribe', { user, channel: 'plain:out' });
  const { code, reason } = await ended;
  assert.deepEqual({ code, reason }, { code: 2000, reason: 'server unsubscribe' });
  assert.deepEqual((await server.api('channels', { pattern: 'plain:out' })).channels, {});
});

test('unsubscribe of one client leaves the user\'s others alone', async (t) => {
  const user = someone();
  const gone = await connected(t, server.ws, { user });
  const kept = await connected(t, server.ws, { user });
  const { sub } = await subscribed(gone.client, 'plain:one-of-two');
  const other = await subscribed(kept.client, 'plain:one-of-two');
  const ended = next(sub, 'unsubscribed');
  await server.api('unsubscribe', { user, client: gone.id, channel: 'plain:one-of-two' });
  await ended;
  const arrived = next(other.sub, 'publication');
  await server.publish('plain:one-of-two', 1);
  await arrived;
});

test('subscribe opens a server-side subscription', async (t) => {
  const { client, user } = await connected(t, server.ws);
  const opened = next(client, 'subscribed');
  await server.api('subscribe', { user, channel: 'room:given', data: { welcome: true } });
  const { channel, data, recoverable } = await opened;
  assert.deepEqual({ channel, data, recoverable }, { channel: 'room:given', data: { welcome: true }, recoverable: true });
  const arrived = next(client, 'publication');
  await server.publish('room:given', 'hello');
  assert.equal((await arrived).data, 'hello');
  const closed = next(client, 'unsubscribed');
  await server.api('unsubscribe', { user, channel: 'room:given' });
  assert.equal((await closed).channel, 'room:given');
});

test('disconnect is terminal by default', async (t) => {
  const { client, user } = await connected(t, server.ws);
  const ended = next(client, 'disconnected');
  await server.api('disconnect', { user });
  const { code, reason } = await ended;
  assert.deepEqual({ code, reason }, { code: 3503, reason: 'force disconnect' });
});

test('disconnect carries a custom terminal code', async (t) => {
  const { client, user } = await connected(t, server.ws);
  const ended = next(client, 'disconnected');
  await server.api('disconnect', { user, disconnect: { code: 4500, reason: 'banned' } });
  const { code, reason } = await ended;
  assert.deepEqual({ code, reason }, { code: 4500, reason: 'banned' });
});

test('disconnect with a temporary code brings the client back', async (t) => {
  const { client, user } = await connected(t, server.ws);
  const lost = next(client, 'connecting');
  const back = next(client, 'connected');
  await server.api('disconnect', { user, disconnect: { code: 4000, reason: 'come again' } });
  assert.equal((await lost).code, 4000);
  await back;
});

test('disconnect spares the whitelist', async (t) => {
  const user = someone();
  const gone = await connected(t, server.ws, { user });
  const spared = await connected(t, server.ws, { user });
  const ended = next(gone.client, 'disconnected');
  await server.api('disconnect', { user, whitelist: [spared.id] });
  await ended;
  await assert.rejects(spared.client.rpc('still-there', {}), { code: 108 });
});

test('refresh announces a new expiry, or ends the connection', async (t) => {
  const user = someone();
  const raw = await Raw.connect(t, server.ws, { user });
  await server.api('refresh', { user, expire_at: inSeconds(600) });
  const { refresh } = (await raw.push('refresh')).push;
  assert.equal(refresh.expires, true);
  assert.ok(refresh.ttl > 590 && refresh.ttl <= 600, `ttl ${refresh.ttl}`);
  await server.api('refresh', { user, expired: true });
  assert.deepEqual(await raw.end(), { code: 3005, reason: 'connection expired' });
});

test('nobody there is success, nonsense is an error', async () => {
  const user = someone();
  for (const method of ['subscribe', 'unsubscribe']) {
    assert.deepEqual(await server.apiReply(method, { user, channel: 'plain:x' }), { result: {} });
    assert.equal((await server.apiReply(method, { user, channel: 'nowhere:x' })).error.code, 102);
  }
  for (const method of ['disconnect', 'refresh']) {
    assert.deepEqual(await server.apiReply(method, { user }), { result: {} });
  }
  assert.equal((await server.apiReply('publish', { data: 1 })).error.code, 107);
  assert.equal((await server.apiReply('broadcast', { channels: [], data: 1 })).error.code, 107);
});

test('the API refuses strangers, other methods and bad bodies', async () => {
  const post = (path, init) => fetch(`${server.http}${path}`, { method: 'POST', body: '{}', ...init });
  assert.equal((await post('/api/info')).status, 401);
  assert.equal((await post('/api/info', { headers: { 'X-API-Key': 'wrong' } })).status, 401);
  const key = { 'X-API-Key': 'end-to-end-api-key' };
  assert.equal((await post('/api/info', { headers: key })).status, 200);
  assert.equal((await post('/api/info', { headers: { Authorization: 'apikey end-to-end-api-key' } })).status, 200);
  assert.equal((await post('/api/info?api_key=end-to-end-api-key')).status, 200);
  assert.equal((await fetch(`${server.http}/api/info`, { headers: key })).status, 405);
  assert.equal((await post('/api/publish', { headers: key, body: '{' })).status, 400);
  assert.equal((await post('/api/no-such-method', { headers: key })).status, 404);
});

test('a batch answers each command in its place', async () => {
  const { replies } = await server.apiReply('batch', {
    commands: [
      { publish: { channel: 'room:batch', data: 1 } },
      { publish: { channel: 'nowhere:x', data: 1 } },
      { presence: { channel: 'room:batch' } },
      null,
      {},
    ],
  });
  assert.equal(replies[0].publish.offset, 1);
  assert.deepEqual(replies.slice(1), [
    { error: { code: 102, message: 'unknown channel' } },
    { presence: { presence: {} } },
    { error: { code: 107, message: 'bad request' } },
    { error: { code: 104, message: 'not found' } },
  ]);
});
