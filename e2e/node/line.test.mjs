// The faulty line must really be faulty, or the recovery tests prove nothing. Tried on a plain TCP echo.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { Line } from '../lib/proxy.mjs';
import { within } from '../lib/wait.mjs';

async function echoBehindLine(t) {
  const echo = createServer((socket) => socket.on('error', () => {}).pipe(socket));
  echo.listen(0, '127.0.0.1');
  await once(echo, 'listening');
  t.after(() => echo.close());
  const line = await Line.to(t, echo.address());
  const port = Number(new URL(line.ws).port);
  // The end of the test resets what is still open; that is no failure of it.
  return { line, dial: () => connect(port, '127.0.0.1').on('error', () => {}) };
}

async function echoes(socket, text) {
  const answer = within(once(socket, 'data'), `echo of ${text}`);
  socket.write(text);
  return `${(await answer)[0]}` === text;
}

/** The error code with which a socket ends. */
const failure = (socket) => within(once(socket, 'error'), 'error').then(([{ code }]) => code);

test('an untouched line passes everything', async (t) => {
  const { dial } = await echoBehindLine(t);
  assert.ok(await echoes(dial(), 'ding'));
});

test('a cut line is reset and takes new connections', async (t) => {
  const { line, dial } = await echoBehindLine(t);
  const socket = dial();
  await echoes(socket, 'ding');
  const ended = failure(socket);
  line.cut();
  assert.equal(await ended, 'ECONNRESET');
  assert.ok(await echoes(dial(), 'dong'));
});

test('a line that is down refuses until it is up', async (t) => {
  const { line, dial } = await echoBehindLine(t);
  line.down();
  assert.equal(await failure(dial()), 'ECONNRESET');
  line.up();
  assert.ok(await echoes(dial(), 'ding'));
});

test('a stalled line stays open and passes nothing', async (t) => {
  const { line, dial } = await echoBehindLine(t);
  const stuck = dial();
  await echoes(stuck, 'ding');
  line.stall();
  let passed = false;
  stuck.on('data', () => (passed = true));
  stuck.write('lost');
  // A later connection's round trips through the same process: whatever was to pass would have passed.
  const free = dial();
  for (let trip = 0; trip < 20; trip++) await echoes(free, 'dong');
  assert.equal(passed, false);
  assert.equal(stuck.closed, false);
});
