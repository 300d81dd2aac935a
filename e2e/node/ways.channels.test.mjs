// Subscribing, publishing and asking, on every transport and in every encoding of the SDK.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { someone } from '../lib/client.mjs';
import { channelToken, inSeconds } from '../lib/jwt.mjs';
import { Ledger } from '../lib/oracle.mjs';
import { Raw } from '../lib/raw.mjs';
import { Server } from '../lib/server.mjs';
import { next, until } from '../lib/wait.mjs';
import { EVERY_TRANSPORT, WAYS } from '../lib/ways.mjs';

const QUICK = { expired_sub_close_delay: '1s', presence_update_interval: '500ms' };
const OPEN = { allow_subscribe_for_client: true, allow_publish_for_client: true };
const namespaces = [
  { name: 'bytes', publication_data_format: 'binary', ...OPEN },
  { name: 'tagged', allow_tags_filter: true, ...OPEN },
];

let server;
before(async () => (server = await Server.start({ client: QUICK, namespaces, ...EVERY_TRANSPORT })));
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

/**
 * Counts what a client sends: frames of a WebSocket, or requests. Requests leave one after another, since those
 * of an SDK that hurries may overtake each other, and then its last word is not what the server hears last.
 */
function counter() {
  let sent = 0;
  class Counting extends WebSocket {
    send(frame) {
      sent++;
      super.send(frame);
    }
  }
  let last = Promise.resolve();
  const counting = (...request) => {
    sent++;
    const answer = last.then(() => fetch(...request));
    last = answer.catch(() => {});
    return answer;
  };
  /** Does what makes the SDK send, and lets it: in some turns, but no answer is read before they are over. */
  const sending = async (act) => {
    const before = sent;
    act();
    for (let turn = 0; sent === before; turn++) {
      assert.ok(turn < 100, 'the command is sent at once');
      await null;
    }
  };
  return { options: { websocket: Counting, fetch: counting }, count: () => sent, sending };
}

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

    test(`${way.name}: refusals carry the documented codes`, async (t) => {
      const peer = await way.connected(t, server);
      assert.equal(await peer.refusal('locked:x'), 103);
      assert.equal(await peer.refusal('nowhere:x'), 102);
      assert.equal(await peer.refusal('plain:not-ascii-é'), 107);
      assert.equal(await peer.refusal('plain:no-filter', { tagsFilter: { key: 'a', cmp: 'ex' } }), 107);
      await assert.rejects(peer.publish('locked:x', 1), { code: 103 });
      await assert.rejects(peer.client.history('plain:x', { limit: 1 }), { code: 108 });
      await assert.rejects(peer.client.presence('plain:x'), { code: 108 });
      await peer.roundTrip();
    });

    test(`${way.name}: a subscription token opens what is locked`, async (t) => {
      const channel = somewhere('locked');
      const peer = await way.connected(t, server);
      const getToken = async () => channelToken(peer.user, channel, { info: { role: 'guard' } });
      const { inbox } = await peer.subscribe(channel, { getToken });
      await server.publish(channel, 'secret');
      assert.equal((await inbox.atLeast(1))[0].data, 'secret');
    });

    test(`${way.name}: an expired subscription token makes the SDK fetch another`, async (t) => {
      const channel = somewhere('locked');
      const peer = await way.connected(t, server);
      let asked = 0;
      await peer.subscribe(channel, {
        token: channelToken(peer.user, channel, { exp: inSeconds(-60) }),
        getToken: async () => (asked++, channelToken(peer.user, channel)),
        minResubscribeDelay: 20,
        maxResubscribeDelay: 100,
      });
      assert.equal(asked, 1);
    });

    test(`${way.name}: a subscription token of somebody else ends the connection`, async (t) => {
      const channel = somewhere('locked');
      const { client } = await way.connected(t, server);
      const thrown = next(client, 'disconnected');
      client.newSubscription(channel, { token: channelToken(someone(), channel) }).subscribe();
      assert.equal((await thrown).code, 3500);
    });

    test(`${way.name}: a subscription that is refreshed outlives its first token`, async (t) => {
      const channel = somewhere('locked');
      const user = someone();
      const twin = await Raw.connect(t, server.ws, { user });
      const peer = await way.connected(t, server, { user });
      const token = channelToken(user, channel, { exp: inSeconds(2) });
      twin.send({ id: 2, subscribe: { channel, token } });
      await twin.reply(2);
      let asked = 0;
      const getToken = async () => (asked++, channelToken(user, channel));
      const { sub, inbox } = await peer.subscribe(channel, { token, getToken });
      const losses = [];
      sub.on('subscribing', ({ code }) => losses.push(code));
      // The twin is not refreshed: when it is told, the moment has passed.
      assert.equal((await twin.push('unsubscribe')).push.unsubscribe.code, 2501);
      await server.publish(channel, 'still here');
      await inbox.atLeast(1);
      assert.equal(asked, 1);
      assert.deepEqual(losses, []);
    });

    test(`${way.name}: a subscription whose refresh is late expires and comes back with a new token`, async (t) => {
      const channel = somewhere('locked');
      const peer = await way.connected(t, server);
      let answer;
      const late = new Promise((resolve) => (answer = resolve));
      let asked = 0;
      const { sub, inbox } = await peer.subscribe(channel, {
        token: channelToken(peer.user, channel, { exp: inSeconds(1) }),
        getToken: () => (asked++ ? Promise.resolve(channelToken(peer.user, channel)) : late),
        minResubscribeDelay: 20,
        maxResubscribeDelay: 100,
      });
      const lost = next(sub, 'subscribing');
      const back = next(sub, 'subscribed');
      assert.equal((await lost).code, 2501);
      answer(channelToken(peer.user, channel));
      await back;
      await server.publish(channel, 'again');
      await inbox.atLeast(1);
    });

    test(`${way.name}: a tags filter lets through what it is to`, async (t) => {
      const channel = somewhere('tagged');
      const peer = await way.connected(t, server);
      const tagsFilter = {
        op: 'and',
        nodes: [
          { key: 'team', cmp: 'in', vals: ['red', 'blue'] },
          { op: 'or', nodes: [{ key: 'score', cmp: 'gte', val: '9.5' }, { key: 'final', cmp: 'ex' }] },
          { op: 'not', nodes: [{ key: 'name', cmp: 'sw', val: 'test-' }] },
        ],
      };
      const { inbox } = await peer.subscribe(channel, { tagsFilter });
      const everything = await (await way.connected(t, server)).subscribe(channel);
      const publish = (data, tags) => server.api('publish', { channel, data, tags });
      await publish(1, { team: 'red', score: '10' });
      await publish(2, { team: 'red', score: '9.49' });
      await publish(3, { team: 'green', score: '10' });
      await publish(4, { team: 'blue', final: '' });
      await publish(5, { team: 'blue', final: '', name: 'test-run' });
      await publish(6);
      await publish(7, { team: 'blue', score: '9.50', name: 'a test-run' });
      const numbers = (seen) => seen.map(({ data }) => data);
      assert.deepEqual(numbers(await inbox.atLeast(3)), [1, 4, 7]);
      assert.deepEqual({ ...inbox.seen[0].tags }, { team: 'red', score: '10' });
      assert.deepEqual(numbers(await everything.inbox.atLeast(7)), [1, 2, 3, 4, 5, 6, 7]);
    });

    test(`${way.name}: a thousand races of subscribing and unsubscribing settle on the last word`, async (t) => {
      const channel = somewhere('room');
      const { options, count } = counter();
      const peer = await way.connected(t, server, options);
      const sub = peer.client.newSubscription(channel);
      const losses = peer.losses();
      for (let race = 0; race < 1000; race++) {
        // Now and then let the network in, so that both orders of command and reply occur.
        if (race % 20 === 0) await peer.roundTrip();
        sub.subscribe();
        // Without WebSocket the SDK keeps to itself what is taken back at once. (Taken back some turns later, but
        // before it has been sent, it is sent all the same and never taken back: a trap of the SDK to avoid here.)
        if (race % 5 === 0) await new Promise(setImmediate);
        sub.unsubscribe();
      }
      assert.ok(count() > 100, 'most races are elided');
      const present = async () => (await server.api('presence_stats', { channel })).num_clients;
      await peer.roundTrip();
      await until(async () => (await present()) === 0, 'end of the subscription');
      const settled = next(sub, 'subscribed');
      sub.subscribe();
      await settled;
      assert.deepEqual(losses, []);
      const seen = [];
      sub.on('publication', (publication) => seen.push(way.read(publication)));
      const tenth = next(sub, 'publication', { accept: () => seen.length === 10 });
      const ledger = new Ledger(server, channel);
      await ledger.publish(10);
      await tenth;
      assert.deepEqual(ledger.judge(seen), ledger.clean);
      assert.equal(await present(), 1);
    });

    test(`${way.name}: unsubscribing before the subscribe is answered undoes it`, async (t) => {
      const channel = somewhere('room');
      const watcher = await way.connected(t, server);
      const { sub: watch } = await watcher.subscribe(channel);
      const { options, sending } = counter();
      const peer = await way.connected(t, server, options);
      const sub = peer.client.newSubscription(channel);
      const isPeer = { accept: ({ info }) => info.client === peer.id };
      const joined = next(watch, 'join', isPeer);
      const left = next(watch, 'leave', isPeer);
      await sending(() => sub.subscribe());
      sub.unsubscribe();
      await joined;
      await left;
      assert.deepEqual(Object.keys((await server.api('presence', { channel })).presence), [watcher.id]);
      assert.equal(sub.state, 'unsubscribed');
    });

    test(`${way.name}: unsubscribing stops the flow, subscribing again resumes it`, async (t) => {
      const channel = somewhere('plain');
      const peer = await way.connected(t, server);
      const { sub, inbox } = await peer.subscribe(channel);
      sub.unsubscribe();
      await peer.roundTrip();
      await server.publish(channel, 1);
      const back = next(sub, 'subscribed');
      sub.subscribe();
      await back;
      await server.publish(channel, 2);
      assert.deepEqual((await inbox.atLeast(1)).map(({ data }) => data), [2]);
    });

    test(`${way.name}: the API ends a subscription for good`, async (t) => {
      const channel = somewhere('plain');
      const peer = await way.connected(t, server);
      const { sub } = await peer.subscribe(channel);
      const end = next(sub, 'unsubscribed');
      await server.api('unsubscribe', { user: peer.user, channel });
      const { code, reason } = await end;
      assert.deepEqual({ code, reason }, { code: 2000, reason: 'server unsubscribe' });
    });

    test(`${way.name}: the API opens and closes a server-side subscription`, async (t) => {
      const channel = somewhere('room');
      const { client, user } = await way.connected(t, server);
      const opened = next(client, 'subscribed');
      await server.api('subscribe', { user, channel, data: { welcome: true } });
      const { data, recoverable } = await opened;
      assert.deepEqual([way.decode(data), recoverable], [{ welcome: true }, true]);
      const arrived = next(client, 'publication');
      await server.publish(channel, 'hello');
      assert.equal(way.read(await arrived).data, 'hello');
      const closed = next(client, 'unsubscribed');
      await server.api('unsubscribe', { user, channel });
      assert.equal((await closed).channel, channel);
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

    test(`${way.name}: one connection holds a hundred channels`, async (t) => {
      const peer = await way.connected(t, server);
      const names = Array.from({ length: 100 }, () => somewhere('plain'));
      const all = await Promise.all(names.map((name) => peer.subscribe(name)));
      await server.api('broadcast', { channels: names, data: 'to all' });
      for (const { inbox } of all) assert.equal((await inbox.atLeast(1))[0].data, 'to all');
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
