// The SDK where there is no WebSocket: replies in the body of one response, commands in requests of their own.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { EventSource } from 'eventsource';
import { collect, connected, someone, subscribed } from '../lib/client.mjs';
import { userToken } from '../lib/jwt.mjs';
import { Line } from '../lib/proxy.mjs';
import { Server } from '../lib/server.mjs';
import { next, until } from '../lib/wait.mjs';

let server;
before(async () => {
  server = await Server.start({
    client: { ping_interval: '1s', pong_timeout: '500ms' },
    http_stream: { enabled: true },
    sse: { enabled: true },
  });
});
after(() => server.stop());

for (const transport of ['http_stream', 'sse']) {
  describe(transport, () => {
    /** What makes the SDK speak over this transport through `origin`. */
    const over = (origin) => ({
      url: [{ transport, endpoint: `${origin}/connection/${transport}` }],
      options: { emulationEndpoint: `${origin}/emulation`, fetch, readableStream: ReadableStream, eventsource: EventSource },
    });

    async function client(t, origin = server.http, extra = {}) {
      const { url, options } = over(origin);
      return connected(t, url, { ...options, ...extra });
    }

    test('connects, subscribes, publishes and is answered', async (t) => {
      const { client: sdk, user, id } = await client(t);
      assert.equal(sdk._transport.subName(), transport);
      const { sub } = await subscribed(sdk, `room:${transport}`);
      const inbox = collect(sub);
      await sub.publish({ from: 'itself' });
      await server.publish(`room:${transport}`, { from: 'the API' });
      const seen = await inbox.atLeast(2);
      assert.deepEqual(seen.map(({ data }) => data.from), ['itself', 'the API']);
      assert.equal(seen[0].info.user, user);
      const { clients } = await sub.presence();
      assert.deepEqual(Object.keys(clients), [id]);
      assert.equal((await sub.history({ limit: 10 })).publications.length, 2);
      await assert.rejects(sdk.rpc('nothing', {}), { code: 108 });
    });

    test('stays as long as its pongs come', async (t) => {
      const { client: sdk } = await client(t);
      let left = false;
      sdk.on('connecting', () => (left = true));
      // A twin that does not answer tells when the time of a pong was up, twice over.
      for (const _ of [1, 2]) {
        const body = JSON.stringify({ id: 1, connect: { token: userToken(someone()) } });
        const answer = await fetch(`${server.http}/connection/http_stream`, { method: 'POST', body });
        assert.match(await answer.text(), /"disconnect":\{"code":3012,"reason":"no pong"\}/);
      }
      assert.equal(left, false);
    });

    test('recovers what was published while the line was down', async (t) => {
      const line = await Line.to(t, server);
      const { client: sdk } = await client(t, line.http);
      const channel = `room:${transport}-away`;
      const { sub } = await subscribed(sdk, channel);
      const inbox = collect(sub);
      await server.publish(channel, 1);
      await inbox.atLeast(1);
      const away = next(sdk, 'connecting');
      line.down();
      await away;
      for (let n = 2; n <= 50; n++) await server.publish(channel, n);
      const back = next(sub, 'subscribed');
      line.up();
      assert.equal((await back).recovered, true);
      const seen = await inbox.atLeast(50);
      assert.deepEqual(seen.map(({ data }) => data), Array.from({ length: 50 }, (_, at) => at + 1));
    });

    test('is told the end, and leaves nobody behind', async (t) => {
      const { client: sdk, user } = await client(t);
      const channel = `room:${transport}-end`;
      await subscribed(sdk, channel);
      const end = next(sdk, 'disconnected');
      await server.api('disconnect', { user });
      assert.equal((await end).code, 3503);
      const nobody = async () => (await server.api('presence_stats', { channel })).num_clients === 0;
      await until(nobody, 'empty presence');
    });
  });
}
