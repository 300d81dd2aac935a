// The promise on every transport and in every encoding: what was published arrives once and in order, or the
// subscriber is told. Lines are cut under streams, caches, deltas and server-side subscriptions.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Ledger } from '../lib/oracle.mjs';
import { Line } from '../lib/proxy.mjs';
import { Server } from '../lib/server.mjs';
import { next } from '../lib/wait.mjs';
import { EVERY_TRANSPORT, WAYS } from '../lib/ways.mjs';

const OPEN = { allow_subscribe_for_client: true, history_ttl: '300s' };
const CACHE = { ...OPEN, history_size: 10, force_recovery: true, force_recovery_mode: 'cache' };
const DELTA = { ...OPEN, history_size: 1000, allowed_delta_types: ['fossil'], force_recovery: true };
const namespaces = [
  { name: 'cache', ...CACHE },
  { name: 'auto', ...CACHE, auto_cache_recover: true },
  { name: 'delta', ...DELTA, delta_publish: true },
  { name: 'wish', ...OPEN, history_size: 100, allow_positioning: true, allow_recovery: true },
  { name: 'news', ...OPEN, history_size: 100, force_recovery: true, allow_tags_filter: true },
];

let server;
// Compressed where the transport is a WebSocket: deltas, cuts and all have to survive that too.
before(async () => {
  server = await Server.start({ namespaces, websocket: { compression: true }, ...EVERY_TRANSPORT });
});
after(() => server.stop());

let channels = 0;
const somewhere = (namespace) => `${namespace}:${++channels}`;

/** A subscriber behind a line of its own, and the ledger of its channel. */
async function behindLine(t, way, channel, options) {
  const line = await Line.to(t, server);
  const peer = await way.connected(t, line);
  const subscription = await peer.subscribe(channel, options);
  return { line, peer, ...subscription, ledger: new Ledger(server, channel) };
}

/** Runs `act` while the line is down. */
async function away({ line, peer }, act) {
  const lost = next(peer.client, 'connecting');
  line.down();
  await lost;
  await act();
  line.up();
}

/** How the subscription came back from what `act` did while the line was down. */
async function outcome(subscriber, act) {
  const back = next(subscriber.sub, 'subscribed');
  await away(subscriber, act);
  const { wasRecovering, recovered } = await back;
  return { wasRecovering, recovered };
}

const RECOVERED = { wasRecovering: true, recovered: true };
const LOST = { wasRecovering: true, recovered: false };

/** A document that grows, in words of up to four bytes a character. */
const document = (length) => {
  const words = ['bell', 'cloche', 'Glöckchen', '鐘楼', '\u{1F514}\u{1F3F0}'];
  return { title: 'campanile', lines: Array.from({ length }, (_, n) => `${n}: ${words[n % words.length]}`) };
};

describe('recovery', { concurrency: 5 }, () => {
  for (const way of WAYS) {
    test(`${way.name}: what was published while the line was down is recovered`, async (t) => {
      const subscriber = await behindLine(t, way, somewhere('room'));
      const { inbox, ledger } = subscriber;
      await ledger.publish(5);
      assert.deepEqual(await outcome(subscriber, () => ledger.publish(50)), RECOVERED);
      await ledger.publish(5);
      assert.deepEqual(ledger.judge(await inbox.atLeast(60)), ledger.clean);
    });

    test(`${way.name}: nothing is lost, doubled or reordered while the line is cut under load`, async (t) => {
      const { line, sub, inbox, ledger } = await behindLine(t, way, somewhere('room'));
      const unrecovered = [];
      sub.on('subscribed', ({ recovered }) => recovered || unrecovered.push(sub));
      for (let round = 0; round < 10; round++) {
        line.cut();
        await ledger.publish(20);
      }
      assert.deepEqual(ledger.judge(await inbox.atLeast(200, 20_000)), ledger.clean);
      assert.deepEqual(unrecovered, []);
    });

    test(`${way.name}: a gap longer than the history is admitted`, async (t) => {
      const subscriber = await behindLine(t, way, somewhere('short'));
      const { inbox, ledger } = subscriber;
      await ledger.publish(1);
      await inbox.atLeast(1);
      assert.deepEqual(await outcome(subscriber, () => ledger.publish(7)), LOST);
      await ledger.publish(1);
      assert.deepEqual((await inbox.atLeast(2)).map(({ offset }) => offset), [1, 9]);
    });

    test(`${way.name}: a subscription from a known position begins with what came after it`, async (t) => {
      const channel = somewhere('room');
      const ledger = new Ledger(server, channel);
      await ledger.publish(3);
      const { offset, epoch } = await server.api('history', { channel });
      await ledger.publish(4);
      const peer = await way.connected(t, server);
      const { inbox, context } = await peer.subscribe(channel, { since: { offset, epoch } });
      assert.equal(context.recovered, true);
      assert.deepEqual((await inbox.atLeast(4)).map((publication) => publication.offset), [4, 5, 6, 7]);
    });

    test(`${way.name}: an application that loads its own state is asked again when it cannot be recovered`, async (t) => {
      const channel = somewhere('short');
      const states = [];
      const getState = async () => {
        const { offset, epoch } = await server.api('history', { channel });
        states.push(offset);
        return { offset, epoch };
      };
      const subscriber = await behindLine(t, way, channel, { getState, minResubscribeDelay: 20, maxResubscribeDelay: 50 });
      const { inbox, ledger } = subscriber;
      await ledger.publish(2);
      await inbox.atLeast(2);
      assert.deepEqual(await outcome(subscriber, () => ledger.publish(2)), RECOVERED);
      assert.deepEqual(states, [0]);
      await inbox.atLeast(4);
      assert.deepEqual(await outcome(subscriber, () => ledger.publish(8)), RECOVERED);
      assert.deepEqual(states, [0, 12]);
    });

    test(`${way.name}: positioning and recovery are granted to who asks`, async (t) => {
      const channel = somewhere('wish');
      const plain = await behindLine(t, way, channel);
      assert.deepEqual([plain.context.positioned, plain.context.recoverable], [false, false]);
      const positioned = await behindLine(t, way, channel, { positioned: true });
      assert.deepEqual([positioned.context.positioned, positioned.context.recoverable], [true, false]);
      assert.ok(positioned.context.streamPosition.epoch);
      const recoverable = await behindLine(t, way, channel, { recoverable: true });
      assert.deepEqual([recoverable.context.positioned, recoverable.context.recoverable], [true, true]);
      assert.deepEqual(await outcome(positioned, () => positioned.ledger.publish(2)), {
        wasRecovering: false,
        recovered: false,
      });
      await recoverable.inbox.atLeast(2);
      assert.deepEqual(await outcome(recoverable, () => recoverable.ledger.publish(2)), RECOVERED);
      assert.equal((await recoverable.inbox.atLeast(4)).length, 4);
    });

    test(`${way.name}: a cache gives its newest publication to who asks for it`, async (t) => {
      const channel = somewhere('cache');
      const since = { offset: 0, epoch: '' };
      const early = await (await way.connected(t, server)).subscribe(channel, { since });
      assert.deepEqual([early.context.wasRecovering, early.context.recovered], [true, false]);
      for (let n = 1; n <= 3; n++) await server.publish(channel, { n });
      const late = await (await way.connected(t, server)).subscribe(channel, { since });
      assert.deepEqual([late.context.wasRecovering, late.context.recovered], [true, true]);
      await server.publish(channel, { n: 4 });
      assert.deepEqual((await late.inbox.atLeast(2)).map(({ data }) => data.n), [3, 4]);
      assert.deepEqual((await early.inbox.atLeast(4)).map(({ data }) => data.n), [1, 2, 3, 4]);
    });

    test(`${way.name}: a cache gives one who was away its newest publication only`, async (t) => {
      const subscriber = await behindLine(t, way, somewhere('cache'));
      const { inbox, ledger } = subscriber;
      await ledger.publish(1);
      await inbox.atLeast(1);
      assert.deepEqual(await outcome(subscriber, () => ledger.publish(20)), RECOVERED);
      assert.deepEqual((await inbox.atLeast(2)).map(({ data }) => data.sequence), [1, 21]);
      // Nothing new: nothing comes twice.
      assert.deepEqual(await outcome(subscriber, async () => {}), RECOVERED);
      await ledger.publish(1);
      assert.deepEqual((await inbox.atLeast(3)).map(({ data }) => data.sequence), [1, 21, 22]);
    });

    test(`${way.name}: a cache that recovers by itself gives its newest publication to everybody`, async (t) => {
      const channel = somewhere('auto');
      await server.publish(channel, 'old');
      await server.publish(channel, 'new');
      const { inbox } = await (await way.connected(t, server)).subscribe(channel);
      await server.publish(channel, 'live');
      assert.deepEqual((await inbox.atLeast(2)).map(({ data }) => data), ['new', 'live']);
    });

    test(`${way.name}: deltas of a growing document add up to it, across a loss of the line`, async (t) => {
      const subscriber = await behindLine(t, way, somewhere('delta'), { delta: 'fossil' });
      const { sub, inbox } = subscriber;
      const { channel } = sub;
      const grow = async (from, to) => {
        for (let length = from; length <= to; length++) await server.publish(channel, document(length));
      };
      await grow(20, 40);
      await inbox.atLeast(21);
      assert.deepEqual(await outcome(subscriber, () => grow(41, 50)), RECOVERED);
      await grow(51, 60);
      const seen = await inbox.atLeast(41);
      assert.deepEqual(seen.map(({ data }) => data), Array.from({ length: 41 }, (_, n) => document(20 + n)));
      assert.deepEqual(seen.map(({ offset }) => offset), Array.from({ length: 41 }, (_, n) => n + 1));
      const { numDeltaPayloads, numFullPayloads, bytesReceived, bytesDecoded } = sub.deltaStats();
      // Full are the first one, and the first after the recovery.
      assert.ok(numFullPayloads <= 3 && numDeltaPayloads >= 38, `${numFullPayloads} full, ${numDeltaPayloads} deltas`);
      assert.ok(bytesReceived < bytesDecoded / 3, `${bytesReceived} of ${bytesDecoded} bytes`);
    });

    test(`${way.name}: deltas survive documents that have nothing in common`, async (t) => {
      const channel = somewhere('delta');
      const { sub, inbox } = await (await way.connected(t, server)).subscribe(channel, { delta: 'fossil' });
      const plain = await (await way.connected(t, server)).subscribe(channel);
      const values = ['a', document(30), [], '\u{1F514}'.repeat(40), '\u{1F515}'.repeat(40), document(31), 0, document(32)];
      for (const value of values) await server.publish(channel, value);
      for (const { atLeast } of [inbox, plain.inbox]) {
        assert.deepEqual((await atLeast(values.length)).map(({ data }) => data), values);
      }
      assert.equal(sub.deltaStats().numPublications, values.length);
    });

    test(`${way.name}: a tags filter holds for what is recovered`, async (t) => {
      const subscriber = await behindLine(t, way, somewhere('news'), { tagsFilter: { key: 'n', cmp: 'gt', val: '2' } });
      const { sub, inbox } = subscriber;
      const publish = async (...numbers) => {
        for (const n of numbers) {
          await server.api('publish', { channel: sub.channel, data: n, tags: { n: `${n}` } });
        }
      };
      await publish(1, 3);
      await inbox.atLeast(1);
      assert.deepEqual(await outcome(subscriber, () => publish(2, 4, 0, 5, 1)), RECOVERED);
      // What the filter hides moves the position too: no gap is seen.
      await publish(1, 6);
      assert.deepEqual((await inbox.atLeast(4)).map(({ data }) => data), [3, 4, 5, 6]);
    });

    test(`${way.name}: server-side subscriptions of the token are recovered`, async (t) => {
      const names = [somewhere('room'), somewhere('room')];
      const line = await Line.to(t, server);
      const { peer, inbox } = await way.connectedTo(t, line, names);
      const ledgers = names.map((name) => new Ledger(server, name));
      for (const ledger of ledgers) await ledger.publish(3);
      await inbox.atLeast(6);
      const back = names.map((channel) => next(peer.client, 'subscribed', { accept: (context) => context.channel === channel }));
      await away({ line, peer }, () => Promise.all(ledgers.map((ledger) => ledger.publish(20))));
      assert.deepEqual((await Promise.all(back)).map(({ recovered }) => recovered), [true, true]);
      for (const ledger of ledgers) await ledger.publish(2);
      const seen = await inbox.atLeast(50);
      for (const ledger of ledgers) {
        assert.deepEqual(ledger.judge(seen.filter(({ channel }) => channel === ledger.channel)), ledger.clean);
      }
    });
  }
});

test('one channel of all ways, with deltas and without, survives cuts of every line', async (t) => {
  const channel = somewhere('delta');
  const subscribers = await Promise.all(
    WAYS.flatMap((way) => [behindLine(t, way, channel), behindLine(t, way, channel, { delta: 'fossil' })]),
  );
  const ledger = new Ledger(server, channel);
  // All together stays below the recovery limit of 300: even one who is away throughout must be made whole.
  for (let round = 0; round < 28; round++) {
    subscribers[(round * 3) % subscribers.length].line.cut();
    await ledger.publish(10);
  }
  for (const { inbox } of subscribers) {
    assert.deepEqual(ledger.judge(await inbox.atLeast(ledger.acknowledged, 20_000)), ledger.clean);
  }
});

describe('personal channels', { concurrency: 5 }, () => {
  let personal;
  before(async () => {
    const subscribe_to_user_personal_channel = { enabled: true, personal_channel_namespace: 'room' };
    personal = await Server.start({ client: { subscribe_to_user_personal_channel }, ...EVERY_TRANSPORT });
  });
  after(() => personal.stop());

  for (const way of WAYS) {
    test(`${way.name}: the personal channel reaches every device of a user and is recovered`, async (t) => {
      const line = await Line.to(t, personal);
      const { peer, inbox } = await way.connectedTo(t, line, []);
      const channel = `room:#${peer.user}`;
      const ledger = new Ledger(personal, channel);
      const other = await WAYS[0].connected(t, personal, { user: peer.user });
      const arrived = next(other.client, 'publication');
      await ledger.publish(2);
      await inbox.atLeast(2);
      assert.equal((await arrived).channel, channel);
      const back = next(peer.client, 'subscribed');
      await away({ line, peer }, () => ledger.publish(5));
      assert.equal((await back).recovered, true);
      assert.deepEqual(ledger.judge(await inbox.atLeast(7)), ledger.clean);
    });
  }
});

describe('single connection', { concurrency: 5 }, () => {
  let single;
  before(async () => {
    const subscribe_to_user_personal_channel = {
      enabled: true,
      personal_channel_namespace: 'room',
      single_connection: true,
    };
    single = await Server.start({ client: { subscribe_to_user_personal_channel }, ...EVERY_TRANSPORT });
  });
  after(() => single.stop());

  for (const way of WAYS) {
    test(`${way.name}: a user has one connection, the newest`, async (t) => {
      const first = await way.connected(t, single);
      const bystander = await way.connected(t, single);
      const losses = bystander.losses();
      const thrown = next(first.client, 'disconnected');
      const second = await way.connected(t, single, { user: first.user });
      const { code, reason } = await thrown;
      assert.deepEqual({ code, reason }, { code: 3504, reason: 'connection limit' });
      await second.roundTrip();
      await bystander.roundTrip();
      assert.deepEqual(losses, []);
    });
  }
});
