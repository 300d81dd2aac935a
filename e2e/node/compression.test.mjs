// permessage-deflate with a client that speaks it: `ws`, whose zlib is not ours.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { Raw } from '../lib/raw.mjs';
import { Server } from '../lib/server.mjs';
import { within } from '../lib/wait.mjs';

let server;
before(async () => (server = await Server.start({ websocket: { compression: true } })));
after(() => server.stop());

const TEXT = 'Glocken läuten, ding dong. '.repeat(100);
const FULL = { perMessageDeflate: { threshold: 0 } };
const SMALL = { perMessageDeflate: { threshold: 0, serverMaxWindowBits: 9, clientMaxWindowBits: 9 } };
const PLAIN = { perMessageDeflate: false };

const compressions = () => server.metric('compressions');

async function subscribed(t, options, channel) {
  const raw = await Raw.connect(t, server.ws, options);
  raw.send({ id: 2, subscribe: { channel } });
  await raw.reply(2);
  return raw;
}

test('a publication reaches clients of every window, compressed once for each', async (t) => {
  const channel = 'plain:windows';
  const clients = [];
  for (const options of [FULL, FULL, FULL, SMALL, SMALL, PLAIN]) {
    clients.push(await subscribed(t, options, channel));
  }
  assert.deepEqual(
    clients.map(({ socket }) => socket.extensions.includes('permessage-deflate')),
    [true, true, true, true, true, false],
  );
  const earlier = await compressions();
  for (let n = 0; n < 20; n++) await server.publish(channel, { n, text: TEXT });
  for (const client of clients) {
    for (let n = 0; n < 20; n++) {
      assert.deepEqual((await client.push('pub')).push.pub.data, { n, text: TEXT });
    }
  }
  // Each worker has its own subscribers, and there may be as many workers as clients.
  const made = (await compressions()) - earlier;
  assert.ok(made >= 2 * 20 && made <= 5 * 20, `${made} compressions`);
});

test('compressed commands and their compressed replies', async (t) => {
  const channel = 'room:deep';
  for (const options of [FULL, SMALL]) {
    const raw = await subscribed(t, options, channel);
    raw.send({ id: 3, publish: { channel, data: { text: TEXT } } });
    await raw.reply(3);
    assert.equal((await raw.push('pub')).push.pub.data.text, TEXT);
    const earlier = await compressions();
    raw.send({ id: 4, history: { channel, limit: 1, reverse: true } });
    assert.equal((await raw.reply(4)).history.publications[0].data.text, TEXT);
    assert.equal((await compressions()) - earlier, 1);
  }
});

test('messages of every size come back from the echo', async (t) => {
  for (const options of [FULL, SMALL]) {
    const socket = new WebSocket(server.ws.replace('/websocket', '/echo'), options);
    t.after(() => socket.terminate());
    await within(new Promise((resolve) => socket.on('open', resolve)), 'handshake');
    for (let size = 0; size <= 65_536; size = size * 3 + 1) {
      const sent = Buffer.from(Array.from({ length: size }, (_, n) => (n * n) >> 3));
      const back = new Promise((resolve) => socket.once('message', resolve));
      socket.send(sent);
      assert.deepEqual(await within(back, `echo of ${size} bytes`), sent);
    }
  }
});

test('a message that inflates beyond the limit ends its own connection', async (t) => {
  const other = await subscribed(t, FULL, 'plain:bomb');
  const bomber = await Raw.connect(t, server.ws, FULL);
  bomber.socket.send('0'.repeat(32 * 1024 * 1024));
  assert.equal((await bomber.end()).code, 1009);
  await server.publish('plain:bomb', { n: 1 });
  assert.deepEqual((await other.push('pub')).push.pub.data, { n: 1 });
});
