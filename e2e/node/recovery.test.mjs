// The promise: an acknowledged publication arrives once and in order, or the subscriber is told.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { collect, connected, subscribed } from '../lib/client.mjs';
import { Ledger } from '../lib/oracle.mjs';
import { Line } from '../lib/proxy.mjs';
import { Raw } from '../lib/raw.mjs';
import { Server } from '../lib/server.mjs';
import { next } from '../lib/wait.mjs';

let server;
before(async () => (server = await Server.start({ client: { ping_interval: '2s', pong_timeout: '1s' } })));
after(() => server.stop());

/** A subscriber behind a line of its own, and the ledger of its channel. */
async function behindLine(t, channel, options) {
  const line = await Line.to(t, server);
  const { client } = await connected(t, line.ws, options);
  const { sub } = await subscribed(client, channel);
  return { line, client, sub, inbox: collect(sub), ledger: new Ledger(server, channel) };
}

test('what was published while the line was down is recovered', async (t) => {
  const { line, client, sub, inbox, ledger } = await behindLine(t, 'room:away');
  await ledger.publish(10);
  await inbox.atLeast(10);
  const away = next(client, 'connecting');
  line.down();
  await away;
  await ledger.publish(200);
  const back = next(sub, 'subscribed');
  line.up();
  const { wasRecovering, recovered } = await back;
  assert.deepEqual({ wasRecovering, recovered }, { wasRecovering: true, recovered: true });
  await ledger.publish(10);
  assert.deepEqual(ledger.judge(await inbox.atLeast(220)), ledger.clean);
});

test('nothing is missed, doubled or reordered while lines are cut under load', async (t) => {
  const channel = 'room:cuts';
  const subscribers = await Promise.all(Array.from({ length: 4 }, () => behindLine(t, channel)));
  const { ledger } = subscribers[0];
  const unrecovered = [];
  for (const { sub } of subscribers) {
    sub.on('subscribed', ({ wasRecovering, recovered }) => wasRecovering && !recovered && unrecovered.push(sub));
  }
  // Each subscriber is cut at other moments, some of them while it is still coming back. All together stays
  // below the recovery limit of 300, so that even one who is away throughout must be made whole.
  for (let round = 0; round < 28; round++) {
    subscribers[round % subscribers.length].line.cut();
    await ledger.publish(10);
  }
  for (const { inbox } of subscribers) {
    assert.deepEqual(ledger.judge(await inbox.atLeast(280, 20_000)), ledger.clean);
  }
  assert.deepEqual(unrecovered, []);
});

test('a half-open line is noticed by both ends and recovered', async (t) => {
  const { line, client, sub, inbox, ledger } = await behindLine(t, 'room:stalled', { maxServerPingDelay: 500 });
  const noticed = next(client, 'connecting');
  const back = next(sub, 'subscribed', { ms: 20_000 });
  line.stall();
  await ledger.publish(20);
  assert.equal((await noticed).code, 2);
  assert.equal((await back).recovered, true);
  assert.deepEqual(ledger.judge(await inbox.atLeast(20)), ledger.clean);
});

test('a gap longer than the history is admitted', async (t) => {
  const { line, client, sub, inbox, ledger } = await behindLine(t, 'short:gap');
  await ledger.publish(1);
  await inbox.atLeast(1);
  const away = next(client, 'connecting');
  line.down();
  await away;
  await ledger.publish(7);
  const back = next(sub, 'subscribed');
  line.up();
  const { wasRecovering, recovered, streamPosition } = await back;
  assert.deepEqual({ wasRecovering, recovered }, { wasRecovering: true, recovered: false });
  assert.equal(streamPosition.offset, 8);
  // And life goes on from the top.
  await ledger.publish(1);
  assert.deepEqual((await inbox.atLeast(2)).map(({ offset }) => offset), [1, 9]);
});

test('a gap of exactly the history is recovered', async (t) => {
  const { line, client, sub, inbox, ledger } = await behindLine(t, 'short:exact');
  const away = next(client, 'connecting');
  line.down();
  await away;
  await ledger.publish(5);
  const back = next(sub, 'subscribed');
  line.up();
  assert.equal((await back).recovered, true);
  assert.deepEqual(ledger.judge(await inbox.atLeast(5)), ledger.clean);
});

test('history removed meanwhile is admitted as a gap', async (t) => {
  const { line, client, sub, ledger } = await behindLine(t, 'room:removed');
  const away = next(client, 'connecting');
  line.down();
  await away;
  await ledger.publish(2);
  await server.api('history_remove', { channel: 'room:removed' });
  const back = next(sub, 'subscribed');
  line.up();
  assert.equal((await back).recovered, false);
});

test('the recovery reply has the shape the SDKs rely on', async (t) => {
  const channel = 'room:shape';
  const { epoch } = await server.publish(channel, 1);
  for (let n = 2; n <= 4; n++) await server.publish(channel, n);
  const raw = await Raw.connect(t, server.ws);
  const position = (offset, of = epoch) => ({ channel, recover: true, offset, epoch: of });
  const attempt = async (id, subscribe) => {
    raw.send({ id, subscribe }, { id: id + 100, unsubscribe: { channel } });
    const reply = (await raw.reply(id)).subscribe;
    return { ...reply, publications: reply.publications?.map(({ offset }) => offset) };
  };
  const base = { recoverable: true, positioned: true, epoch, was_recovering: true };
  // The offset asked for comes back on success, the top of the stream otherwise.
  assert.deepEqual(await attempt(2, position(2)), { ...base, recovered: true, offset: 2, publications: [3, 4] });
  assert.deepEqual(await attempt(3, position(4)), { ...base, recovered: true, offset: 4, publications: undefined });
  assert.deepEqual(await attempt(4, position(2, 'other')), { ...base, offset: 4, publications: undefined });
  assert.deepEqual(await attempt(5, position(9)), { ...base, offset: 4, publications: undefined });
  raw.send({ id: 6, subscribe: { ...position(9), flag: 2 } });
  assert.equal((await raw.reply(6)).error.code, 112);
});

test('more than the recovery limit is admitted as a gap', async (t) => {
  const channel = 'room:limit';
  const ledger = new Ledger(server, channel);
  await ledger.publish(302);
  const { epoch } = await server.api('history', { channel });
  const raw = await Raw.connect(t, server.ws);
  raw.send({ id: 2, subscribe: { channel, recover: true, offset: 1, epoch } }, { id: 3, unsubscribe: { channel } });
  assert.equal((await raw.reply(2)).subscribe.recovered, undefined);
  raw.send({ id: 4, subscribe: { channel, recover: true, offset: 2, epoch } });
  const { subscribe } = await raw.reply(4);
  assert.equal(subscribe.recovered, true);
  assert.equal(subscribe.publications.length, 300);
});
