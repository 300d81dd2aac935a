// The server ends and another process takes its place, in the middle of everything that applications do. With a
// disk nobody notices more than a lost line; with memory everybody is told that the streams are gone.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import WebSocket from 'ws';
import { someone } from '../lib/client.mjs';
import { userToken } from '../lib/jwt.mjs';
import { Ledger } from '../lib/oracle.mjs';
import { Line } from '../lib/proxy.mjs';
import { Server } from '../lib/server.mjs';
import { next, until } from '../lib/wait.mjs';
import { EVERY_TRANSPORT, WAYS } from '../lib/ways.mjs';

const OPEN = { allow_subscribe_for_client: true, history_ttl: '300s' };
const CACHE = { ...OPEN, history_size: 10, force_recovery: true, force_recovery_mode: 'cache' };
const DELTA = { ...OPEN, history_size: 1000, allowed_delta_types: ['fossil'], force_recovery: true };
const OPTIONS = {
  namespaces: [
    { name: 'cache', ...CACHE },
    { name: 'delta', ...DELTA, delta_publish: true },
    { name: 'news', ...OPEN, history_size: 100, force_recovery: true, allow_tags_filter: true },
  ],
  shutdown: { drain: '0s' },
  ...EVERY_TRANSPORT,
};

const SIGNALS = ['SIGTERM', 'SIGKILL'];

let channels = 0;
const somewhere = (namespace) => `${namespace}:${++channels}`;

/** The next time that it is subscribed, which is when a new server has taken it in. */
const comingBack = (emitter, options) => next(emitter, 'subscribed', { ms: 30_000, ...options });

const how = ({ wasRecovering, recovered }) => ({ wasRecovering, recovered });
const RECOVERED = { wasRecovering: true, recovered: true };
const LOST = { wasRecovering: true, recovered: false };

const upTo = (count) => Array.from({ length: count }, (_, n) => n + 1);

/** A document that grows. */
const document = (length) => ({ lines: Array.from({ length }, (_, n) => `${n}: Glöckchen \u{1F514}`) });

// What applications do, each on every way; the server is restarted where it says `yield`.
const FLOWS = {
  async *'a subscriber misses nothing, and offsets go on'({ t, way, server }) {
    const { sub, inbox, context } = await (await way.connected(t, server)).subscribe(somewhere('room'));
    const ledger = new Ledger(server, sub.channel);
    await ledger.publish(5);
    await inbox.atLeast(5);
    const back = comingBack(sub);
    yield;
    const again = await back;
    assert.deepEqual(how(again), RECOVERED);
    assert.equal(again.streamPosition.epoch, context.streamPosition.epoch);
    await ledger.publish(5);
    const seen = await inbox.atLeast(10);
    assert.deepEqual(ledger.judge(seen), ledger.clean);
    assert.deepEqual(seen.map(({ offset }) => offset), upTo(10));
  },

  async *'one who was away recovers what both processes published'({ t, way, server }) {
    const line = await Line.to(t, server);
    const peer = await way.connected(t, line);
    const { sub, inbox } = await peer.subscribe(somewhere('room'));
    const ledger = new Ledger(server, sub.channel);
    await ledger.publish(2);
    await inbox.atLeast(2);
    const lost = next(peer.client, 'connecting');
    line.down();
    await lost;
    await ledger.publish(20);
    const back = comingBack(sub);
    yield;
    await ledger.publish(20);
    line.up();
    assert.deepEqual(how(await back), RECOVERED);
    assert.deepEqual(ledger.judge(await inbox.atLeast(42)), ledger.clean);
  },

  async *'a client publishes on, and is who it was'({ t, way, server }) {
    const peer = await way.connected(t, server);
    const { sub, inbox } = await peer.subscribe(somewhere('room'));
    await peer.publish(sub.channel, 'before');
    await inbox.atLeast(1);
    const back = comingBack(sub);
    yield;
    await back;
    await peer.publish(sub.channel, 'after');
    const seen = await inbox.atLeast(2);
    assert.deepEqual(seen.map(({ data, offset }) => [data, offset]), [['before', 1], ['after', 2]]);
    assert.ok(seen.every(({ info }) => info.user === peer.user));
  },

  async *'history is as it was'({ t, way, server }) {
    const { sub } = await (await way.connected(t, server)).subscribe(somewhere('room'));
    for (let n = 1; n <= 10; n++) await server.publish(sub.channel, { n, bell: '\u{1F514}' }, { tags: { n: `${n}` } });
    const read = async (options) => {
      const { publications, offset, epoch } = await sub.history(options);
      return { publications: publications.map(way.read), offset, epoch };
    };
    const before = await read({ limit: -1 });
    assert.equal(before.publications.length, 10);
    const back = comingBack(sub);
    yield;
    await back;
    assert.deepEqual(await read({ limit: -1 }), before);
    const page = await read({ limit: 3, since: { offset: 4, epoch: before.epoch } });
    assert.deepEqual(page.publications, before.publications.slice(4, 7));
  },

  async *'presence has everybody again'({ t, way, server }) {
    const channel = somewhere('room');
    const peers = [await way.connected(t, server), await way.connected(t, server)];
    const subs = [];
    for (const peer of peers) subs.push((await peer.subscribe(channel)).sub);
    const back = subs.map((sub) => comingBack(sub));
    yield;
    await Promise.all(back);
    const { clients } = await subs[0].presence();
    const users = Object.values(clients).map(({ user }) => user);
    assert.deepEqual(users.sort(), peers.map(({ user }) => user).sort());
  },

  async *'deltas of a growing document add up to it'({ t, way, server }) {
    const { sub, inbox } = await (await way.connected(t, server)).subscribe(somewhere('delta'), { delta: 'fossil' });
    const grow = async (from, to) => {
      for (let length = from; length <= to; length++) await server.publish(sub.channel, document(length));
    };
    await grow(1, 20);
    await inbox.atLeast(20);
    const back = comingBack(sub);
    yield;
    assert.deepEqual(how(await back), RECOVERED);
    await grow(21, 40);
    const seen = await inbox.atLeast(40);
    assert.deepEqual(seen.map(({ data }) => data), upTo(40).map(document));
    assert.ok(sub.deltaStats().numDeltaPayloads >= 36);
  },

  async *'a cache has its newest publication'({ t, way, server }) {
    const channel = somewhere('cache');
    for (let n = 1; n <= 3; n++) await server.publish(channel, { n });
    yield;
    const { inbox, context } = await (await way.connected(t, server)).subscribe(channel, { since: { offset: 0, epoch: '' } });
    assert.deepEqual(how(context), RECOVERED);
    await server.publish(channel, { n: 4 });
    assert.deepEqual((await inbox.atLeast(2)).map(({ data, offset }) => [data.n, offset]), [[3, 3], [4, 4]]);
  },

  async *'a tags filter holds for what is recovered'({ t, way, server }) {
    const line = await Line.to(t, server);
    const peer = await way.connected(t, line);
    const { sub, inbox } = await peer.subscribe(somewhere('news'), { tagsFilter: { key: 'n', cmp: 'gt', val: '2' } });
    const publish = async (...numbers) => {
      for (const n of numbers) await server.publish(sub.channel, n, { tags: { n: `${n}` } });
    };
    const lost = next(peer.client, 'connecting');
    line.down();
    await lost;
    await publish(1, 3, 2, 4);
    const back = comingBack(sub);
    yield;
    line.up();
    assert.deepEqual(how(await back), RECOVERED);
    await publish(0, 5);
    assert.deepEqual((await inbox.atLeast(3)).map(({ data }) => data), [3, 4, 5]);
  },

  async *'server-side subscriptions of the token are recovered'({ t, way, server }) {
    const channel = somewhere('room');
    const { peer, inbox } = await way.connectedTo(t, server, [channel]);
    const ledger = new Ledger(server, channel);
    await ledger.publish(3);
    await inbox.atLeast(3);
    const back = comingBack(peer.client, { accept: (context) => context.channel === channel });
    yield;
    assert.deepEqual(how(await back), RECOVERED);
    await ledger.publish(3);
    assert.deepEqual(ledger.judge(await inbox.atLeast(6)), ledger.clean);
  },
};

/** What no SDK is needed for. */
const OTHER_FLOWS = {
  async *'a repeated key answers the first place'({ server }) {
    const publish = () => server.publish('room:key', 'once', { idempotency_key: 'k' });
    const first = await publish();
    yield;
    const again = await publish();
    assert.deepEqual([again.offset, again.epoch], [first.offset, first.epoch]);
    assert.equal((await server.api('history', { channel: 'room:key', limit: -1 })).publications.length, 1);
  },

  async *'an old version stays old'({ server }) {
    const publish = (version) => server.publish('room:version', { version }, { version });
    await publish(7);
    yield;
    await publish(6);
    await publish(8);
    const { publications } = await server.api('history', { channel: 'room:version', limit: -1 });
    assert.deepEqual(publications.map(({ data }) => data.version), [7, 8]);
  },

  async *'history that was removed stays removed'({ server }) {
    const channel = 'room:removed';
    await server.publish(channel, 1);
    await server.api('history_remove', { channel });
    yield;
    await server.publish(channel, 2);
    const { publications, offset } = await server.api('history', { channel, limit: -1 });
    assert.deepEqual([publications.map(({ data }) => data), offset], [[2], 2]);
  },

  async *'a plain socket goes on where it was'({ t, server }) {
    const channel = somewhere('room');
    const seen = [];
    const open = () => {
      const query = new URLSearchParams({ token: userToken(someone()), since: `${seen.length}` });
      const socket = new WebSocket(`ws://127.0.0.1:${server.port}/connection/plain/${channel}?${query}`);
      t.after(() => socket.terminate());
      socket.on('message', (data) => seen.push(JSON.parse(data)));
      return socket;
    };
    const here = (count) => until(() => seen.length >= count, `${count} messages`);
    const first = open();
    const closed = next(first, 'close', { ms: 30_000 });
    await server.publish(channel, 1);
    await server.publish(channel, 2);
    await here(2);
    yield;
    await closed;
    await server.publish(channel, 3);
    const second = open();
    await here(3);
    second.send('4');
    await here(4);
    assert.deepEqual(seen, upTo(4));
  },
};

/** Everything that is done while the server is restarted: what it is called, and a run of it. */
function runs(t, server) {
  const onEachWay = WAYS.flatMap((way) =>
    Object.entries(FLOWS).map(([name, flow]) => [`${way.name}: ${name}`, flow({ t, way, server })]),
  );
  const others = Object.entries(OTHER_FLOWS).map(([name, flow]) => [name, flow({ t, server })]);
  return [...onEachWay, ...others];
}

for (const signal of SIGNALS) {
  test(`${signal}: a restart in the middle of everything is invisible`, async (t) => {
    const server = await Server.start(OPTIONS);
    t.after(() => server.stop());
    const begun = runs(t, server).map(([name, run]) => ({ name, run, first: run.next() }));
    // One that failed already says so below, under its own name.
    await Promise.allSettled(begun.map(({ first }) => first));
    await server.restart(signal);
    const whole = ({ name, run, first }) =>
      t.test(name, async () => {
        await first;
        await run.next();
      });
    await Promise.all(begun.map(whole));
  });

  test(`${signal}: a server that keeps its streams in memory says that they are gone`, async (t) => {
    const server = await Server.start({ ...OPTIONS, engine: { type: 'memory' } });
    t.after(() => server.stop());
    const subscribers = await Promise.all(
      WAYS.map(async (way) => {
        const { sub, inbox, context } = await (await way.connected(t, server)).subscribe(somewhere('room'));
        await server.publish(sub.channel, 1);
        await inbox.atLeast(1);
        return { sub, inbox, epoch: context.streamPosition.epoch, back: comingBack(sub) };
      }),
    );
    await server.restart(signal);
    for (const { sub, inbox, epoch, back } of subscribers) {
      const again = await back;
      assert.deepEqual(how(again), LOST);
      assert.notEqual(again.streamPosition.epoch, epoch);
      await server.publish(sub.channel, 2);
      assert.deepEqual((await inbox.atLeast(2)).map(({ data, offset }) => [data, offset]), [[1, 1], [2, 1]]);
    }
  });
}

test('a publisher that repeats itself until it is heard is heard once, whatever is killed meanwhile', async (t) => {
  const server = await Server.start(OPTIONS);
  t.after(() => server.stop());
  const channel = somewhere('room');
  const subscribers = await Promise.all(
    WAYS.map(async (way) => (await way.connected(t, server)).subscribe(channel)),
  );
  const unrecovered = [];
  for (const { sub } of subscribers) sub.on('subscribed', ({ recovered }) => recovered || unrecovered.push(sub));
  const ledger = new Ledger(server, channel);
  const stubborn = (channel, data, key) =>
    until(() => server.publish(channel, data, { idempotency_key: `${key}` }).catch(() => null), 'acknowledgement', 20_000);
  // All together stays below the recovery limit of 300: even one who is away throughout must be made whole.
  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGKILL', 'SIGKILL']) {
    const before = ledger.acknowledged;
    const publishing = ledger.publish(60, stubborn);
    await until(() => ledger.acknowledged > before, 'publication of this process');
    await server.restart(signal);
    await publishing;
  }
  for (const { inbox } of subscribers) {
    assert.deepEqual(ledger.judge(await inbox.atLeast(ledger.acknowledged, 30_000)), ledger.clean);
  }
  assert.deepEqual(unrecovered, []);
});
