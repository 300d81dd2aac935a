// Publishing and asking, on every transport and in every encoding of the SDK.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { counter } from '../lib/counter.mjs';
import { Ledger } from '../lib/oracle.mjs';
import { Server } from '../lib/server.mjs';
import { next } from '../lib/wait.mjs';
import { EVERY_TRANSPORT, WAYS } from '../lib/ways.mjs';

const OPEN = { allow_subscribe_for_client: true, allow_publish_for_client: true };
const namespaces = [{ name: 'bytes', publication_data_format: 'binary', ...OPEN }];

let server;
before(async () => (server = await Server.start({ namespaces, ...EVERY_TRANSPORT })));
after(() => server.stop());

let channels = 0;
/** A channel no other test has. */
const somewhere = (namespace) => `${namespace}:${++channels}`;

const VALUES = [
  'text',
  '',
  'emoji: \u{1F514}, accents: é, newline:\nquote:" zero: \u0000 line separator: \u2028',
  0,
  -12.5e-3,
  Number.MAX_SAFE_INTEGER,
  true,
  [],
  {},
  { nested: { deep: [[{ '\u{1F3F0}': null }]] } },
];

describe('channels', { concurrency: 5 }, () => {
  for (const way of WAYS) {
    test(`${way.name}: publications of clients and of the API arrive as they were, once and in order`, async (t) => {
      const channel = somewhere('room');
      const [one, two] = [await way.connected(t, server), await way.connected(t, server)];
      const { inbox } = await one.subscribe(channel);
      const other = await two.subscribe(channel);
      for (const value of VALUES) {
        await one.publish(channel, value);
        await server.publish(channel, value);
      }
      const twice = VALUES.flatMap((value) => [value, value]);
      for (const { atLeast } of [inbox, other.inbox]) {
        const seen = await atLeast(twice.length);
        assert.deepEqual(seen.map(({ data }) => data), twice);
        assert.deepEqual(seen.map(({ offset }) => offset), twice.map((_, n) => n + 1));
        assert.deepEqual([seen[0].info.client, seen[0].info.user], [one.id, one.user]);
        assert.ok(!seen[1].info);
      }
    });

    test(`${way.name}: publications of a channel without history arrive in order`, async (t) => {
      const channel = somewhere('plain');
      const peer = await way.connected(t, server);
      const { inbox } = await peer.subscribe(channel);
      for (let n = 0; n < 50; n++) await server.publish(channel, n);
      const seen = await inbox.atLeast(50);
      assert.deepEqual(seen.map(({ data }) => data), Array.from({ length: 50 }, (_, n) => n));
      assert.ok(seen.every(({ offset }) => !offset));
    });

    test(`${way.name}: a publication in a burst from many publishers is neither lost nor doubled`, async (t) => {
      const channel = somewhere('room');
      const publishers = await Promise.all(Array.from({ length: 4 }, () => way.connected(t, server)));
      for (const publisher of publishers) await publisher.subscribe(channel);
      const { inbox } = await (await way.connected(t, server)).subscribe(channel);
      const sent = publishers.flatMap((publisher, from) => Array.from({ length: 25 }, (_, n) => ({ publisher, from, n })));
      await Promise.all(sent.map(({ publisher, from, n }) => publisher.publish(channel, { from, n })));
      const seen = await inbox.atLeast(100);
      assert.deepEqual(seen.map(({ offset }) => offset), Array.from({ length: 100 }, (_, n) => n + 1));
      assert.equal(new Set(seen.map(({ data }) => `${data.from}/${data.n}`)).size, 100);
    });

    test(`${way.name}: presence and its counts follow who is there`, async (t) => {
      const channel = somewhere('room');
      const one = await way.connected(t, server);
      const two = await way.connected(t, server, { user: one.user });
      const three = await way.connected(t, server);
      const { sub } = await one.subscribe(channel);
      await two.subscribe(channel);
      const third = await three.subscribe(channel);
      const { clients } = await sub.presence();
      assert.deepEqual(Object.keys(clients).sort(), [one.id, two.id, three.id].sort());
      assert.equal(clients[three.id].user, three.user);
      const { numClients, numUsers } = await sub.presenceStats();
      assert.deepEqual({ numClients, numUsers }, { numClients: 3, numUsers: 2 });
      const left = next(sub, 'leave', { accept: ({ info }) => info.client === three.id });
      third.sub.unsubscribe();
      await left;
      assert.deepEqual(Object.keys((await sub.presence()).clients).sort(), [one.id, two.id].sort());
    });

    test(`${way.name}: join and leave are pushed, to the joining one too`, async (t) => {
      const channel = somewhere('room');
      const watcher = await way.connected(t, server);
      const { sub, answer } = watcher.ask(channel);
      const self = next(sub, 'join');
      await answer;
      assert.equal((await self).info.client, watcher.id);
      const guest = await way.connected(t, server);
      const join = next(sub, 'join');
      await guest.subscribe(channel);
      assert.equal((await join).info.user, guest.user);
      const leave = next(sub, 'leave');
      guest.client.disconnect();
      assert.equal((await leave).info.client, guest.id);
    });

    test(`${way.name}: history pages forwards and backwards from a position`, async (t) => {
      const channel = somewhere('room');
      const { sub } = await (await way.connected(t, server)).subscribe(channel);
      for (let n = 1; n <= 10; n++) await server.publish(channel, { n });
      const page = async (options) => (await sub.history(options)).publications.map(way.read);
      const top = await sub.history({ limit: 0 });
      assert.deepEqual([top.publications, top.offset], [[], 10]);
      const { epoch } = top;
      const numbers = async (options) => (await page(options)).map(({ data }) => data.n);
      assert.deepEqual(await numbers({ limit: 3 }), [1, 2, 3]);
      assert.deepEqual(await numbers({ limit: 3, reverse: true }), [10, 9, 8]);
      assert.deepEqual(await numbers({ limit: 3, since: { offset: 4, epoch } }), [5, 6, 7]);
      assert.deepEqual(await numbers({ limit: 3, since: { offset: 4, epoch }, reverse: true }), [3, 2, 1]);
      assert.deepEqual(await numbers({ limit: -1 }), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
      assert.deepEqual(await numbers({ limit: 5, since: { offset: 10, epoch } }), []);
      await assert.rejects(sub.history({ limit: 3, since: { offset: 4, epoch: 'other' } }), { code: 112 });
    });

    test(`${way.name}: commands of one batch travel together and are answered each`, async (t) => {
      const channel = somewhere('room');
      const { options, count } = counter();
      const peer = await way.connected(t, server, options);
      const before = count();
      peer.client.startBatching();
      const { answer } = peer.ask(channel);
      const published = Array.from({ length: 5 }, (_, n) => peer.publish(somewhere('plain'), n));
      const refused = assert.rejects(peer.publish('nowhere:x', 1), { code: 102 });
      // Calls reach the batch in turns of their own.
      await new Promise(setImmediate);
      assert.equal(count(), before);
      peer.client.stopBatching();
      await Promise.all([answer, refused, ...published]);
      assert.equal(count(), before + 1);
    });

    test(`${way.name}: a message just below the limit is taken, a longer one comes from the API`, async (t) => {
      const channel = somewhere('room');
      const peer = await way.connected(t, server);
      const { inbox } = await peer.subscribe(channel);
      const upwards = 'u'.repeat(65_000);
      const downwards = 'd'.repeat(500_000);
      await peer.publish(channel, upwards);
      await server.publish(channel, downwards);
      const seen = await inbox.atLeast(2);
      assert.ok(seen[0].data === upwards && seen[1].data === downwards);
    });
  }

  for (const way of WAYS.filter(({ isBinary }) => isBinary)) {
    test(`${way.name}: bytes that are no text arrive byte for byte`, async (t) => {
      const channel = somewhere('bytes');
      const peer = await way.connected(t, server);
      const sub = peer.client.newSubscription(channel);
      const seen = [];
      sub.on('publication', ({ data }) => seen.push(Buffer.from(data)));
      const answer = next(sub, 'subscribed');
      sub.subscribe();
      await answer;
      const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
      const sent = [every, Buffer.from([0]), Buffer.from([0xff, 0xfe]), randomBytes(60_000)];
      const last = next(sub, 'publication', { accept: () => seen.length === 2 * sent.length });
      for (const bytes of sent) {
        await sub.publish(new Uint8Array(bytes));
        await server.api('publish', { channel, b64data: bytes.toString('base64') });
      }
      await last;
      assert.deepEqual(seen, sent.flatMap((bytes) => [bytes, bytes]));
    });
  }

  for (const way of WAYS.filter(({ isBinary }) => !isBinary)) {
    test(`${way.name}: bytes that are no JSON end the connection with 3506`, async (t) => {
      const channel = somewhere('bytes');
      const peer = await way.connected(t, server);
      await peer.subscribe(channel);
      const thrown = next(peer.client, 'disconnected');
      await server.api('publish', { channel, b64data: '//79' });
      const { code, reason } = await thrown;
      assert.deepEqual({ code, reason }, { code: 3506, reason: 'inappropriate protocol' });
    });
  }
});

test('subscribers of all ways in one channel see the same, whoever publishes', async (t) => {
  const channel = somewhere('room');
  const peers = await Promise.all(WAYS.map((way) => way.connected(t, server)));
  const subs = await Promise.all(peers.map((peer) => peer.subscribe(channel)));
  const ledger = new Ledger(server, channel);
  await ledger.publish(20);
  for (const { inbox } of subs) assert.deepEqual(ledger.judge(await inbox.atLeast(20)), ledger.clean);
  for (const peer of peers) await peer.publish(channel, { from: peer.way.name, bell: '\u{1F514}' });
  for (const { inbox } of subs) {
    const rest = (await inbox.atLeast(20 + peers.length)).slice(20);
    assert.deepEqual(rest.map(({ data }) => data), WAYS.map(({ name }) => ({ from: name, bell: '\u{1F514}' })));
    assert.deepEqual(rest.map(({ info }) => info.client), peers.map(({ id }) => id));
  }
});
