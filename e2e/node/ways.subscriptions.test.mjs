// Coming into channels, staying and leaving, on every transport and in every encoding of the SDK.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { someone } from '../lib/client.mjs';
import { counter } from '../lib/counter.mjs';
import { channelToken, inSeconds } from '../lib/jwt.mjs';
import { Ledger } from '../lib/oracle.mjs';
import { Raw } from '../lib/raw.mjs';
import { Server } from '../lib/server.mjs';
import { next, until } from '../lib/wait.mjs';
import { EVERY_TRANSPORT, WAYS } from '../lib/ways.mjs';

const QUICK = { expired_sub_close_delay: '1s', presence_update_interval: '500ms' };
const namespaces = [{ name: 'tagged', allow_tags_filter: true, allow_subscribe_for_client: true }];

let server;
before(async () => (server = await Server.start({ client: QUICK, namespaces, ...EVERY_TRANSPORT })));
after(() => server.stop());

let channels = 0;
/** A channel no other test has. */
const somewhere = (namespace) => `${namespace}:${++channels}`;

describe('subscriptions', { concurrency: 5 }, () => {
  for (const way of WAYS) {
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
        token: channelToken(peer.user, channel, { exp: inSeconds(2) }),
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
      assert.ok(count() > 100, `only ${count()} commands were sent`);
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

    test(`${way.name}: one connection holds a hundred channels`, async (t) => {
      const peer = await way.connected(t, server);
      const names = Array.from({ length: 100 }, () => somewhere('plain'));
      const all = await Promise.all(names.map((name) => peer.subscribe(name)));
      await server.api('broadcast', { channels: names, data: 'to all' });
      for (const { inbox } of all) assert.equal((await inbox.atLeast(1))[0].data, 'to all');
    });
  }
});
