// Who gets in, who is thrown out, and how each is told.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connected, newClient, someone } from '../lib/client.mjs';
import { channelToken, inSeconds, sign, userToken } from '../lib/jwt.mjs';
import { Raw } from '../lib/raw.mjs';
import { Server } from '../lib/server.mjs';
import { next } from '../lib/wait.mjs';

let server;
before(async () => (server = await Server.start()));
after(() => server.stop());

test('a valid token connects and gets a client id of its own', async (t) => {
  const one = await connected(t, server.ws);
  const two = await connected(t, server.ws);
  assert.match(one.id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.notEqual(one.id, two.id);
});

test('the connect reply names a version and announces pings', async (t) => {
  const { hello } = await Raw.connect(t, server.ws);
  assert.ok(hello.connect.version.length > 0);
  assert.equal(hello.connect.ping, 25);
  assert.equal(hello.connect.pong, true);
});

test('without a token a client is refused', async (t) => {
  const client = newClient(t, server.ws);
  const refused = next(client, 'disconnected');
  client.connect();
  const { code, reason } = await refused;
  assert.deepEqual({ code, reason }, { code: 3501, reason: 'bad request' });
});

const INVALID = {
  'a foreign signature': () => sign({ sub: 'u', exp: inSeconds(60) }, { secret: 'another secret altogether' }),
  'no algorithm': () => `${sign({ sub: 'u' }, { header: { alg: 'none' } }).replace(/[^.]*$/, '')}`,
  'an unknown algorithm': () => sign({ sub: 'u' }, { header: { alg: 'HS1' } }),
  'an expiry that is no number': () => sign({ sub: 'u', exp: 'tomorrow' }),
  'a channel claim': () => channelToken('u', 'plain:x'),
  'no token structure': () => 'not-a-token',
  'both faults, expired and badly signed': () => sign({ sub: 'u', exp: inSeconds(-60) }, { secret: 'another one' }),
};
for (const [fault, token] of Object.entries(INVALID)) {
  test(`a token with ${fault} is disconnected as invalid`, async (t) => {
    const client = newClient(t, server.ws, { token: token() });
    const refused = next(client, 'disconnected');
    client.connect();
    const { code, reason } = await refused;
    assert.deepEqual({ code, reason }, { code: 3500, reason: 'invalid token' });
  });
}

for (const [when, claims] of Object.entries({
  'has expired': { exp: inSeconds(-60) },
  'is not valid yet': { nbf: inSeconds(600) },
})) {
  test(`a token that ${when} makes the SDK fetch another`, async (t) => {
    const user = someone();
    let asked = 0;
    const client = newClient(t, server.ws, {
      token: userToken(user, claims),
      getToken: async () => (asked++, userToken(user)),
    });
    const welcome = next(client, 'connected');
    client.connect();
    await welcome;
    assert.equal(asked, 1);
  });
}

test('a failed connect is answered and leaves the connection unusable', async (t) => {
  const raw = await Raw.open(t, server.ws);
  raw.send({ id: 1, connect: { token: userToken('u', { exp: inSeconds(-60) }) } });
  assert.deepEqual((await raw.reply(1)).error, { code: 109, message: 'token expired' });
  raw.send({ id: 2, connect: { token: userToken('u') } });
  // Refused by 3501, or already read no more and dropped: never connected.
  const { code } = await raw.end();
  assert.ok([3501, 1006].includes(code), `closed with ${code}`);
});

test('anything but connect comes first: bad request', async (t) => {
  const raw = await Raw.open(t, server.ws);
  raw.send({ id: 1, subscribe: { channel: 'lobby:x' } });
  assert.deepEqual(await raw.end(), { code: 3501, reason: 'bad request' });
});

test('a second connect is a bad request', async (t) => {
  const raw = await Raw.connect(t, server.ws);
  raw.send({ id: 2, connect: { token: userToken('raw') } });
  assert.deepEqual(await raw.end(), { code: 3501, reason: 'bad request' });
});

test('a frame that is no JSON is a bad request', async (t) => {
  const raw = await Raw.connect(t, server.ws);
  raw.socket.send('{"id":2,');
  assert.deepEqual(await raw.end(), { code: 3501, reason: 'bad request' });
});

test('token info travels with publications as conn_info', async (t) => {
  const user = someone();
  const raw = await Raw.connect(t, server.ws, { token: userToken(user, { info: { name: 'Ada' } }) });
  raw.send({ id: 2, subscribe: { channel: 'room:info' } }, { id: 3, publish: { channel: 'room:info', data: 1 } });
  const { push } = await raw.push('pub');
  assert.deepEqual(push.pub.info, { user, client: raw.hello.connect.client, conn_info: { name: 'Ada' } });
});

test('channels of the token are subscribed server-side', async (t) => {
  const user = someone();
  const client = newClient(t, server.ws, { token: userToken(user, { channels: ['room:token-subs'] }) });
  const there = next(client, 'subscribed');
  client.connect();
  assert.equal((await there).channel, 'room:token-subs');
  const arrived = next(client, 'publication');
  await server.publish('room:token-subs', { n: 1 });
  assert.deepEqual((await arrived).data, { n: 1 });
});
