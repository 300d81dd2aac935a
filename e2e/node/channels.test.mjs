// Subscribing, publishing, and what a channel tells about itself.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { collect, connected, someone, subscribed } from '../lib/client.mjs';
import { channelToken, inSeconds, userToken } from '../lib/jwt.mjs';
import { Raw } from '../lib/raw.mjs';
import { Server } from '../lib/server.mjs';
import { next, until } from '../lib/wait.mjs';

let server;
before(async () => (server = await Server.start()));
after(() => server.stop());

/** The code with which the server ends a subscription attempt. */
async function refusal(client, channel, options) {
  const sub = client.newSubscription(channel, options);
  const refused = next(sub, 'unsubscribed');
  sub.subscribe();
  return (await refused).code;
}

test('the channel limit refuses one more', async (t) => {
  const { client } = await connected(t, server.ws);
  await Promise.all(Array.from({ length: 128 }, (_, n) => subscribed(client, `plain:limit-${n}`)));
  assert.equal(await refusal(client, 'plain:one-more'), 106);
});

test('publications of a client and of the API reach every subscriber once and in order', async (t) => {
  const channel = 'room:everyone';
  const clients = await Promise.all(Array.from({ length: 5 }, () => connected(t, server.ws)));
  const subs = await Promise.all(clients.map(({ client }) => subscribed(client, channel)));
  const inboxes = subs.map(({ sub }) => collect(sub));
  for (let n = 0; n < 10; n++) {
    await subs[n % 5].sub.publish({ from: 'client', n });
    await server.publish(channel, { from: 'api', n });
  }
  for (const inbox of inboxes) {
    const seen = await inbox.atLeast(20);
    assert.deepEqual(seen.map(({ offset }) => offset), Array.from({ length: 20 }, (_, n) => n + 1));
    assert.deepEqual(seen.map(({ data }) => data.from), Array.from({ length: 10 }, () => ['client', 'api']).flat());
    assert.equal(seen[0].info.client, clients[0].id);
    assert.ok(!seen[1].info);
  }
});

test('a channel without history publishes without offsets', async (t) => {
  const { client } = await connected(t, server.ws);
  const { sub } = await subscribed(client, 'plain:no-history');
  const arrived = next(sub, 'publication');
  assert.deepEqual(await server.publish('plain:no-history', { n: 1 }), {});
  assert.ok(!(await arrived).offset);
});

test('refusals carry the documented codes', async (t) => {
  const { client, user } = await connected(t, server.ws);
  assert.equal(await refusal(client, 'locked:x'), 103);
  assert.equal(await refusal(client, '$plain:private'), 103);
  assert.equal(await refusal(client, 'nowhere:x'), 102);
  assert.equal(await refusal(client, `plain:${'x'.repeat(256)}`), 107);
  assert.equal(await refusal(client, 'plain:ümlaut'), 107);
  assert.equal(await refusal(client, 'locked:y', { token: channelToken(user, 'locked:y').slice(0, -4) }), 103);
  await assert.rejects(client.publish('locked:x', 1), { code: 103 });
  await assert.rejects(client.publish('nowhere:x', 1), { code: 102 });
  await assert.rejects(client.publish('room:not-subscribed', 1), { code: 103 });
  await assert.rejects(client.presence('plain:x'), { code: 108 });
  await assert.rejects(client.history('plain:x', { limit: 1 }), { code: 108 });
  await assert.rejects(client.presence('room:not-subscribed'), { code: 103 });
});

test('a second subscription to the same channel is an error', async (t) => {
  const raw = await Raw.connect(t, server.ws);
  raw.send({ id: 2, subscribe: { channel: 'plain:twice' } }, { id: 3, subscribe: { channel: 'plain:twice' } });
  assert.deepEqual(await raw.reply(2), { id: 2, subscribe: {} });
  assert.deepEqual((await raw.reply(3)).error, { code: 105, message: 'already subscribed' });
});

test('a subscription token opens what is locked', async (t) => {
  const { client, user } = await connected(t, server.ws);
  const channel = 'locked:by-token';
  const { sub } = await subscribed(client, channel, { getToken: async () => channelToken(user, channel) });
  const arrived = next(sub, 'publication');
  await server.publish(channel, 'secret');
  assert.equal((await arrived).data, 'secret');
});

test('an expired subscription token makes the SDK fetch another', async (t) => {
  const { client, user } = await connected(t, server.ws);
  const channel = 'locked:expired';
  let asked = 0;
  await subscribed(client, channel, {
    token: channelToken(user, channel, { exp: inSeconds(-60) }),
    getToken: async () => (asked++, channelToken(user, channel)),
    minResubscribeDelay: 20,
    maxResubscribeDelay: 100,
  });
  assert.equal(asked, 1);
});

for (const [whose, token] of Object.entries({
  'another channel': (user) => channelToken(user, 'locked:elsewhere'),
  'another user': () => channelToken(someone(), 'locked:mine'),
})) {
  test(`a subscription token of ${whose} ends the connection`, async (t) => {
    const { client, user } = await connected(t, server.ws);
    const thrown = next(client, 'disconnected');
    client.newSubscription('locked:mine', { token: token(user) }).subscribe();
    assert.equal((await thrown).code, 3500);
  });
}

test('presence and its counts follow who is there', async (t) => {
  const channel = 'room:presence';
  const one = await connected(t, server.ws);
  const two = await connected(t, server.ws, { user: one.user });
  const three = await connected(t, server.ws);
  const { sub } = await subscribed(one.client, channel);
  await subscribed(two.client, channel);
  const third = await subscribed(three.client, channel);
  const { clients } = await sub.presence();
  assert.deepEqual(Object.keys(clients).sort(), [one.id, two.id, three.id].sort());
  assert.equal(clients[three.id].user, three.user);
  const { numClients, numUsers } = await sub.presenceStats();
  assert.deepEqual({ numClients, numUsers }, { numClients: 3, numUsers: 2 });

  const left = next(sub, 'leave', { accept: ({ info }) => info.client === three.id });
  third.sub.unsubscribe();
  await left;
  assert.deepEqual(await server.api('presence_stats', { channel }), { num_clients: 2, num_users: 1 });
});

test('history pages forwards and backwards from a position', async (t) => {
  const channel = 'room:history';
  const { client } = await connected(t, server.ws);
  const { sub } = await subscribed(client, channel);
  for (let n = 1; n <= 10; n++) await server.publish(channel, n);
  const offsets = async (options) => (await sub.history(options)).publications.map(({ offset }) => offset);

  const top = await sub.history({ limit: 0 });
  assert.deepEqual([top.publications, top.offset], [[], 10]);
  const { epoch } = top;
  assert.deepEqual(await offsets({ limit: 3 }), [1, 2, 3]);
  assert.deepEqual(await offsets({ limit: 3, reverse: true }), [10, 9, 8]);
  assert.deepEqual(await offsets({ limit: 3, since: { offset: 4, epoch } }), [5, 6, 7]);
  assert.deepEqual(await offsets({ limit: 3, since: { offset: 4, epoch }, reverse: true }), [3, 2, 1]);
  assert.deepEqual(await offsets({ limit: -1 }), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert.deepEqual(await offsets({ limit: 5, since: { offset: 10, epoch } }), []);
  await assert.rejects(sub.history({ limit: 3, since: { offset: 4, epoch: 'other' } }), { code: 112 });
  await assert.rejects(sub.history({ limit: 3, since: { offset: 0, epoch }, reverse: true }), { code: 107 });
});

test('history keeps no more than its size', async (t) => {
  const { client } = await connected(t, server.ws);
  const { sub } = await subscribed(client, 'short:trimmed');
  for (let n = 1; n <= 12; n++) await server.publish('short:trimmed', n);
  const { publications, offset } = await sub.history({ limit: 100 });
  assert.deepEqual(publications.map(({ data }) => data), [8, 9, 10, 11, 12]);
  assert.equal(offset, 12);
});

test('rpc is not available, send ends the connection', async (t) => {
  const { client } = await connected(t, server.ws);
  await assert.rejects(client.rpc('anything', {}), { code: 108 });
  const thrown = next(client, 'disconnected');
  await client.send({ hello: true });
  assert.equal((await thrown).code, 3508);
});

test('commands of one frame are answered in order, and no push overtakes its subscribe reply', async (t) => {
  const raw = await Raw.connect(t, server.ws);
  const channel = 'room:one-frame';
  raw.send(
    { id: 2, subscribe: { channel } },
    { id: 3, publish: { channel, data: { n: 1 } } },
    { id: 4, history: { channel, limit: 10 } },
    { id: 5, presence_stats: { channel } },
    { id: 6, unsubscribe: { channel: 'room:never-subscribed' } },
    { id: 7, presence: { channel: 'nowhere:x' } },
  );
  // Six replies and two pushes: the own join and the publication.
  const messages = await raw.several(8);
  assert.deepEqual(messages.flatMap(({ id }) => id ?? []), [2, 3, 4, 5, 6, 7]);
  assert.equal(messages[0].id, 2);
  assert.deepEqual(messages.find(({ id }) => id === 5).presence_stats, { num_clients: 1, num_users: 1 });
  assert.equal(messages.find(({ id }) => id === 4).history.publications.length, 1);
  assert.deepEqual(messages.find(({ id }) => id === 6), { id: 6, unsubscribe: {} });
  const kinds = messages.flatMap(({ push }) => (push ? Object.keys(push) : [])).filter((key) => key !== 'channel');
  assert.deepEqual(kinds.sort(), ['join', 'pub']);
});

test('connect and subscribe may share the first frame', async (t) => {
  const raw = await Raw.open(t, server.ws);
  raw.send({ id: 1, connect: { token: userToken('raw') } }, { id: 2, subscribe: { channel: 'plain:first' } });
  const [hello, subscription] = await raw.several(2);
  assert.ok(hello.connect.client);
  assert.deepEqual(subscription, { id: 2, subscribe: {} });
});

test('the live publication with offset 1 tells the epoch', async (t) => {
  const raw = await Raw.connect(t, server.ws);
  raw.send({ id: 2, subscribe: { channel: 'room:first' } });
  const { subscribe } = await raw.reply(2);
  assert.equal(subscribe.recoverable, true);
  assert.equal(subscribe.positioned, true);
  assert.equal(subscribe.offset, undefined);
  await server.publish('room:first', 1);
  assert.equal((await raw.push('pub')).push.pub.epoch, subscribe.epoch);
  await server.publish('room:first', 2);
  assert.equal((await raw.push('pub')).push.pub.epoch, undefined);
});

test('the API sees a channel only while somebody is subscribed', async (t) => {
  const { client } = await connected(t, server.ws);
  const { sub } = await subscribed(client, 'plain:visible');
  assert.deepEqual((await server.api('channels', { pattern: 'plain:vis*' })).channels, {
    'plain:visible': { num_clients: 1 },
  });
  sub.unsubscribe();
  await until(
    async () => !('plain:visible' in (await server.api('channels', {})).channels),
    'disappearance of the channel',
  );
});
