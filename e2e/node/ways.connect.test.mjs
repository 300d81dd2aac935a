// Getting in, staying in and being thrown out, on every transport and in every encoding of the SDK.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { someone } from '../lib/client.mjs';
import { inSeconds, userToken } from '../lib/jwt.mjs';
import { Line } from '../lib/proxy.mjs';
import { Raw } from '../lib/raw.mjs';
import { Server } from '../lib/server.mjs';
import { next, until } from '../lib/wait.mjs';
import { EVERY_TRANSPORT, WAYS } from '../lib/ways.mjs';

const QUICK = { expired_close_delay: '1s', ping_interval: '1s', pong_timeout: '500ms' };

let server;
before(async () => (server = await Server.start({ client: QUICK, ...EVERY_TRANSPORT })));
after(() => server.stop());

/** A WebSocket that never answers a ping, cut for it: a full ping and its deadline have passed. */
async function aPingAndItsDeadline(t) {
  const dead = await Raw.open(t, server.ws);
  dead.answersPings = false;
  dead.send({ id: 1, connect: { token: userToken('dead') } });
  assert.deepEqual(await dead.end(), { code: 3012, reason: 'no pong' });
}

describe('connecting', { concurrency: 5 }, () => {
  for (const way of WAYS) {
    test(`${way.name}: a token connects, and every connection has an id of its own`, async (t) => {
      const [one, two] = await Promise.all([way.connected(t, server), way.connected(t, server)]);
      assert.match(one.id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      assert.notEqual(one.id, two.id);
    });

    test(`${way.name}: a client without a token is refused for good`, async (t) => {
      assert.deepEqual(await way.refused(t, server), { code: 3501, reason: 'bad request' });
    });

    test(`${way.name}: an invalid token is refused for good`, async (t) => {
      const token = userToken(someone()).slice(0, -4);
      assert.deepEqual(await way.refused(t, server, { token }), { code: 3500, reason: 'invalid token' });
    });

    test(`${way.name}: an expired token makes the SDK fetch another`, async (t) => {
      const user = someone();
      let asked = 0;
      const getToken = async () => (asked++, userToken(user));
      await way.connected(t, server, { token: userToken(user, { exp: inSeconds(-60) }), getToken });
      assert.equal(asked, 1);
    });

    test(`${way.name}: a connection that is refreshed outlives its first token`, async (t) => {
      const user = someone();
      const exp = inSeconds(2);
      // The twin has the same expiry and is not refreshed: its end tells that the moment has passed.
      const twin = await Raw.connect(t, server.ws, { token: userToken(user, { exp }) });
      let asked = 0;
      const getToken = async () => (asked++, userToken(user));
      const peer = await way.connected(t, server, { token: userToken(user, { exp }), getToken });
      const losses = peer.losses();
      assert.deepEqual(await twin.end(), { code: 3005, reason: 'connection expired' });
      await peer.roundTrip();
      assert.equal(asked, 1);
      assert.deepEqual(losses, []);
    });

    test(`${way.name}: a connection whose refresh is late expires and comes back with a new token`, async (t) => {
      const user = someone();
      let answer;
      const late = new Promise((resolve) => (answer = resolve));
      let asked = 0;
      const peer = await way.connected(t, server, {
        token: userToken(user, { exp: inSeconds(2) }),
        getToken: () => (asked++ ? Promise.resolve(userToken(user)) : late),
      });
      const lost = next(peer.client, 'connecting');
      const back = next(peer.client, 'connected');
      assert.equal((await lost).code, 3005);
      answer(userToken(user));
      await back;
      await peer.roundTrip();
    });

    test(`${way.name}: pings are answered, so an idle connection stays`, async (t) => {
      const peer = await way.connected(t, server);
      const losses = peer.losses();
      for (let deadline = 0; deadline < 3; deadline++) await aPingAndItsDeadline(t);
      await peer.roundTrip();
      assert.deepEqual(losses, []);
    });

    test(`${way.name}: a line that goes silent is noticed by both ends`, async (t) => {
      const line = await Line.to(t, server);
      const peer = await way.connected(t, line, { maxServerPingDelay: 500 });
      const channel = `room:silent-${peer.user}`;
      await peer.subscribe(channel);
      const noticed = next(peer.client, 'connecting');
      const back = next(peer.client, 'connected');
      line.stall();
      assert.equal((await noticed).code, 2);
      const { client: id } = await back;
      assert.notEqual(id, peer.id);
      const isGone = async () => !(await server.api('presence', { channel })).presence[peer.id];
      await until(isGone, 'end of the silent connection on the server');
    });

    test(`${way.name}: a server disconnect is terminal by default, and leaves nobody behind`, async (t) => {
      const peer = await way.connected(t, server);
      const channel = `room:ended-${peer.user}`;
      await peer.subscribe(channel);
      const end = next(peer.client, 'disconnected');
      await server.api('disconnect', { user: peer.user });
      const { code, reason } = await end;
      assert.deepEqual({ code, reason }, { code: 3503, reason: 'force disconnect' });
      const nobody = async () => (await server.api('presence_stats', { channel })).num_clients === 0;
      await until(nobody, 'end of the presence');
    });

    test(`${way.name}: a server disconnect carries a custom code and reason`, async (t) => {
      const { client, user } = await way.connected(t, server);
      const end = next(client, 'disconnected');
      await server.api('disconnect', { user, disconnect: { code: 4500, reason: 'gone for good' } });
      const { code, reason } = await end;
      assert.deepEqual({ code, reason }, { code: 4500, reason: 'gone for good' });
    });

    test(`${way.name}: a server disconnect with a temporary code brings the client back`, async (t) => {
      const { client, user } = await way.connected(t, server);
      const lost = next(client, 'connecting');
      const back = next(client, 'connected');
      await server.api('disconnect', { user, disconnect: { code: 4000, reason: 'come again' } });
      const { code, reason } = await lost;
      assert.deepEqual({ code, reason }, { code: 4000, reason: 'come again' });
      await back;
    });

    test(`${way.name}: a client that leaves is gone from the server`, async (t) => {
      const peer = await way.connected(t, server);
      const watcher = await way.connected(t, server);
      const channel = `room:leaving-${peer.user}`;
      const { sub } = await watcher.subscribe(channel);
      await peer.subscribe(channel);
      const left = next(sub, 'leave');
      peer.client.disconnect();
      assert.equal((await left).info.client, peer.id);
    });

    test(`${way.name}: rpc is not available, send ends the connection`, async (t) => {
      const peer = await way.connected(t, server);
      await peer.roundTrip();
      const thrown = next(peer.client, 'disconnected');
      await peer.client.send(way.encode({ hello: true }));
      assert.equal((await thrown).code, 3508);
    });
  }
});

test('every way hears of a shutdown and comes back', async (t) => {
  const passing = await Server.start(EVERY_TRANSPORT);
  t.after(() => passing.stop());
  const peers = await Promise.all(WAYS.map((way) => way.connected(t, passing)));
  const reasons = peers.map(({ client }) => next(client, 'connecting'));
  const back = peers.map(({ client }) => next(client, 'connected', { ms: 20_000 }));
  await passing.restart();
  assert.deepEqual((await Promise.all(reasons)).map(({ code }) => code), WAYS.map(() => 3001));
  await Promise.all(back);
});
