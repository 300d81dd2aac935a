// Clients that do not read. Pings keep their long defaults here: a client that reads nothing answers none
// either, and must be cut for its queue before it is cut for its silence.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { collect, connected, subscribed } from '../lib/client.mjs';
import { Line } from '../lib/proxy.mjs';
import { Raw } from '../lib/raw.mjs';
import { Server } from '../lib/server.mjs';
import { next, until } from '../lib/wait.mjs';
import { EVERY_TRANSPORT, WAYS } from '../lib/ways.mjs';

let server;
before(async () => (server = await Server.start({ client: { queue_max_size: 262_144 }, ...EVERY_TRANSPORT })));
after(() => server.stop());

test('a client that stops reading is cut as slow, its neighbours miss nothing', async (t) => {
  const channel = 'room:slow';
  const slow = await Raw.connect(t, server.ws, { user: 'slow' });
  slow.send({ id: 2, subscribe: { channel } });
  await slow.reply(2);
  const { client } = await connected(t, server.ws);
  const inbox = collect((await subscribed(client, channel)).sub);

  const before = await server.metric('client_disconnects_slow');
  slow.socket.pause();
  // More than the kernel's buffers on both sides and the queue can hold together.
  const filler = 'x'.repeat(16 * 1024);
  for (let n = 0; n < 1400; n++) await server.publish(channel, { n, filler });
  const seen = await inbox.atLeast(1400);
  assert.deepEqual(seen.map(({ data }) => data.n), Array.from({ length: 1400 }, (_, n) => n));

  await until(
    async () => (await server.metric('client_disconnects_slow')) === before + 1,
    'slow client in the metrics',
  );
  assert.equal((await server.api('presence_stats', { channel })).num_clients, 1);
  slow.socket.resume();
  // What was queued is dropped; if not even the close frame fits, the socket just ends.
  const { code } = await slow.end();
  assert.ok([3008, 1006].includes(code), `closed with ${code}`);
});

for (const way of WAYS) {
  test(`${way.name}: a client that does not read is cut as slow, and learns of its gap`, async (t) => {
    const channel = `short:slow-${way.transport}-${way.isBinary}`;
    const line = await Line.to(t, server);
    const slow = await way.connected(t, line);
    const { sub } = await slow.subscribe(channel);
    const neighbour = await (await way.connected(t, server)).subscribe(channel);
    const before = await server.metric('client_disconnects_slow');
    line.stall();
    const filler = 'x'.repeat(64 * 1024);
    for (let n = 0; n < 300; n++) await server.publish(channel, { n, filler });
    await until(async () => (await server.metric('client_disconnects_slow')) === before + 1, 'slow client in the metrics');
    const seen = await neighbour.inbox.atLeast(300);
    assert.deepEqual(seen.map(({ data }) => data.n), Array.from({ length: 300 }, (_, n) => n));
    const back = next(sub, 'subscribed');
    line.cut();
    const { wasRecovering, recovered } = await back;
    assert.deepEqual({ wasRecovering, recovered }, { wasRecovering: true, recovered: false });
  });
}
