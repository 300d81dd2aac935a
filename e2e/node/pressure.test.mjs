// Clients that hurry, play dead or talk out of turn, and their neighbours.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { collect, connected, subscribed } from '../lib/client.mjs';
import { userToken } from '../lib/jwt.mjs';
import { Ledger } from '../lib/oracle.mjs';
import { Raw } from '../lib/raw.mjs';
import { Server } from '../lib/server.mjs';
import { next } from '../lib/wait.mjs';

let server;
const TIGHT = { ping_interval: '1s', pong_timeout: '500ms' };
before(async () => (server = await Server.start({ client: TIGHT })));
after(() => server.stop());

test('a storm of subscribing and unsubscribing settles on the last word', async (t) => {
  const { client } = await connected(t, server.ws);
  const channel = 'room:storm';
  const sub = client.newSubscription(channel);
  const losses = [];
  client.on('connecting', ({ code }) => losses.push(code));
  client.on('disconnected', ({ code }) => losses.push(code));
  for (let race = 0; race < 1000; race++) {
    sub.subscribe();
    sub.unsubscribe();
    // Every now and then let the network in, so that both orders of command and reply occur.
    if (race % 50 === 0) await assert.rejects(client.rpc('round-trip', {}), { code: 108 });
  }
  const settled = next(sub, 'subscribed');
  sub.subscribe();
  await settled;
  assert.deepEqual(losses, []);
  const inbox = collect(sub);
  const ledger = new Ledger(server, channel);
  await ledger.publish(20);
  assert.deepEqual(ledger.judge(await inbox.atLeast(20)), ledger.clean);
  assert.deepEqual(await server.api('presence_stats', { channel }), { num_clients: 1, num_users: 1 });
});

test('a thousand pipelined pairs are each answered and leave nothing behind', async (t) => {
  const raw = await Raw.connect(t, server.ws);
  const channels = Array.from({ length: 10 }, (_, n) => `room:pairs-${n}`);
  let id = 1;
  const frames = Array.from({ length: 100 }, () =>
    channels.flatMap((channel) => [
      { id: ++id, subscribe: { channel } },
      { id: ++id, unsubscribe: { channel } },
    ]),
  );
  for (const frame of frames) {
    raw.send(...frame);
    for (const { id: wanted } of frame) {
      const reply = await raw.reply(wanted);
      assert.equal(reply.error, undefined, JSON.stringify(reply));
    }
  }
  for (const channel of channels) {
    assert.deepEqual(await server.api('presence', { channel }), { presence: {} });
  }
  assert.deepEqual((await server.api('channels', { pattern: 'room:pairs-*' })).channels, {});
});

for (const [how, frames] of Object.entries({
  'in the next frame': (raw, subscribe, unsubscribe) => (raw.send(subscribe), raw.send(unsubscribe)),
  'in the same frame': (raw, subscribe, unsubscribe) => raw.send(subscribe, unsubscribe),
})) {
  test(`unsubscribing ${how}, before the subscribe is answered, undoes it`, async (t) => {
    const channel = `room:in-flight-${how.split(' ')[2]}`;
    const watcher = await connected(t, server.ws);
    const { sub: watch } = await subscribed(watcher.client, channel);
    const raw = await Raw.connect(t, server.ws);
    const isRaw = { accept: ({ info }) => info.client === raw.hello.connect.client };
    const joined = next(watch, 'join', isRaw);
    const left = next(watch, 'leave', isRaw);
    frames(raw, { id: 2, subscribe: { channel } }, { id: 3, unsubscribe: { channel } });
    await joined;
    await left;
    assert.deepEqual(await raw.reply(3), { id: 3, unsubscribe: {} });
    assert.deepEqual(Object.keys((await server.api('presence', { channel })).presence), [watcher.id]);
  });
}

test('a client that answers no ping is cut, one that does stays', async (t) => {
  const good = await Raw.connect(t, server.ws);
  const dead = await Raw.open(t, server.ws);
  dead.answersPings = false;
  dead.send({ id: 1, connect: { token: userToken('dead') } });
  assert.deepEqual((await dead.reply(1)).connect.ping, 1);
  assert.deepEqual(await dead.end(), { code: 3012, reason: 'no pong' });
  good.send({ id: 2, rpc: { method: 'still-there' } });
  assert.equal((await good.reply(2)).error.code, 108);
});

test('a pong nobody asked for is a bad request', async (t) => {
  const raw = await Raw.connect(t, server.ws);
  raw.send({});
  assert.deepEqual(await raw.end(), { code: 3501, reason: 'bad request' });
});

test('a message above the limit closes with 1009', async (t) => {
  const raw = await Raw.connect(t, server.ws);
  raw.send({ id: 2, publish: { channel: 'plain:x', data: 'x'.repeat(70_000) } });
  assert.equal((await raw.end()).code, 1009);
});
