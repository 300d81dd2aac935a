// SIGTERM: everybody is told, nobody new is taken in, the process ends by itself.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Raw } from '../lib/raw.mjs';
import { Server } from '../lib/server.mjs';
import { within } from '../lib/wait.mjs';

test('every client is told of the shutdown by code 3001', async (t) => {
  const server = await Server.start();
  const clients = await Promise.all(Array.from({ length: 50 }, () => Raw.connect(t, server.ws)));
  await server.stop();
  for (const client of clients) assert.deepEqual(await client.end(), { code: 3001, reason: 'shutdown' });
});

test('a stopping server is not ready and takes nobody in', async (t) => {
  const server = await Server.start();
  const clients = await Promise.all(Array.from({ length: 10 }, () => Raw.connect(t, server.ws)));
  let over = false;
  server.exited.then(() => (over = true));
  server.terminate();
  await Promise.race(clients.map((client) => client.end()));
  const taken = { connected: 0, ready: 0 };
  while (!over) {
    // An attempt that is refused, or cut by the end of the process, is as it should be.
    await Raw.connect(t, server.ws).then(() => taken.connected++, () => {});
    await fetch(`${server.http}/ready`).then(({ status }) => (taken.ready += status === 200), () => {});
  }
  assert.deepEqual(await within(server.exited, 'end'), { code: 0, signal: null });
  assert.deepEqual(taken, { connected: 0, ready: 0 });
});
