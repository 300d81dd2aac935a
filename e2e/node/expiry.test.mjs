// Tokens that end during a connection. Each keeper has a forgetful twin with the same expiry: when the
// twin has been dropped the moment has passed, so no test waits for a clock of its own.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connected, newClient, someone, subscribed } from '../lib/client.mjs';
import { channelToken, inSeconds, userToken } from '../lib/jwt.mjs';
import { Raw } from '../lib/raw.mjs';
import { Server } from '../lib/server.mjs';
import { next } from '../lib/wait.mjs';

let server;
const QUICK = { expired_close_delay: '2s', expired_sub_close_delay: '2s', presence_update_interval: '1s' };
before(async () => (server = await Server.start({ client: QUICK })));
after(() => server.stop());

test('a connection that is not refreshed ends, one that is lives on', async (t) => {
  const user = someone();
  const exp = inSeconds(2);
  const twin = await Raw.connect(t, server.ws, { token: userToken(user, { exp }) });
  assert.equal(twin.hello.connect.expires, true);
  assert.ok([1, 2].includes(twin.hello.connect.ttl));

  let asked = 0;
  const client = newClient(t, server.ws, {
    token: userToken(user, { exp }),
    getToken: async () => (asked++, userToken(user)),
  });
  const losses = [];
  client.on('connecting', ({ code }) => code !== 0 && losses.push(code));
  const welcome = next(client, 'connected');
  client.connect();
  await welcome;
  assert.deepEqual(await twin.end(), { code: 3005, reason: 'connection expired' });
  assert.equal(asked, 1);
  assert.deepEqual(losses, []);
  await assert.rejects(client.rpc('still-there', {}), { code: 108 });
});

test('refresh answers with the new time to live', async (t) => {
  const user = someone();
  const raw = await Raw.connect(t, server.ws, { token: userToken(user, { exp: inSeconds(60) }) });
  raw.send({ id: 2, refresh: { token: userToken(user, { exp: inSeconds(600) }) } });
  const { refresh } = await raw.reply(2);
  assert.equal(refresh.expires, true);
  assert.ok(refresh.ttl > 590 && refresh.ttl <= 600, `ttl ${refresh.ttl}`);
});

for (const [fault, token, code] of [
  ['of another user', () => userToken(someone()), 3500],
  ['that is invalid', () => 'nonsense', 3500],
  ['that has expired', (user) => userToken(user, { exp: inSeconds(-5) }), 3005],
  ['that is empty', () => '', 3501],
]) {
  test(`a refresh with a token ${fault} ends the connection with ${code}`, async (t) => {
    const user = someone();
    const raw = await Raw.connect(t, server.ws, { token: userToken(user) });
    raw.send({ id: 2, refresh: { token: token(user) } });
    assert.equal((await raw.end()).code, code);
  });
}

test('a subscription that is not refreshed ends, one that is lives on', async (t) => {
  const channel = 'locked:short';
  const twin = await Raw.connect(t, server.ws, { user: 'twin' });
  const { client, user } = await connected(t, server.ws);
  const exp = inSeconds(2);
  twin.send({ id: 2, subscribe: { channel, token: channelToken('twin', channel, { exp }) } });
  const { subscribe } = await twin.reply(2);
  assert.equal(subscribe.expires, true);

  let asked = 0;
  const { sub } = await subscribed(client, channel, {
    token: channelToken(user, channel, { exp }),
    getToken: async () => (asked++, channelToken(user, channel)),
  });
  const losses = [];
  sub.on('subscribing', ({ code }) => losses.push(code));
  const { push } = await twin.push('unsubscribe');
  assert.deepEqual(push, { channel, unsubscribe: { code: 2501, reason: 'subscription expired' } });
  assert.equal(asked, 1);
  assert.deepEqual(losses, []);
  const arrived = next(sub, 'publication');
  await server.publish(channel, 'still here');
  assert.equal((await arrived).data, 'still here');
});

test('sub_refresh answers with the new time to live', async (t) => {
  const channel = 'locked:refresh';
  const raw = await Raw.connect(t, server.ws);
  raw.send({ id: 2, sub_refresh: { channel, token: channelToken('raw', channel) } });
  assert.equal((await raw.reply(2)).error.code, 103);
  raw.send({ id: 3, subscribe: { channel, token: channelToken('raw', channel, { exp: inSeconds(60) }) } });
  await raw.reply(3);
  raw.send({ id: 4, sub_refresh: { channel, token: '' } });
  assert.equal((await raw.reply(4)).error.code, 107);
  raw.send({ id: 5, sub_refresh: { channel, token: channelToken('raw', channel, { exp: inSeconds(600) }) } });
  const { sub_refresh } = await raw.reply(5);
  assert.equal(sub_refresh.expires, true);
  assert.ok(sub_refresh.ttl > 590 && sub_refresh.ttl <= 600, `ttl ${sub_refresh.ttl}`);
  // Some versions of the Python SDK name the channel in the token only.
  raw.send({ id: 7, sub_refresh: { token: channelToken('raw', channel, { exp: inSeconds(300) }) } });
  const unnamed = (await raw.reply(7)).sub_refresh;
  assert.ok(unnamed.ttl > 290 && unnamed.ttl <= 300, `ttl ${unnamed.ttl}`);
  raw.send({ id: 8, sub_refresh: { channel, token: channelToken('raw', 'locked:elsewhere') } });
  assert.equal((await raw.end()).code, 3500);
});
