// The line between a node and its store must be as troubled as the scenarios say. Tried on a plain TCP echo.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { TroubledLine } from '../cluster/cast/troubled-line.mjs';
import { Random } from '../crash/random.mjs';
import { within } from '../lib/wait.mjs';

async function echoBehindLine(t) {
  const pieces = [];
  const echo = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      pieces.push(bytes.length);
      socket.write(bytes);
    });
  });
  echo.listen(0, '127.0.0.1');
  await once(echo, 'listening');
  const line = await TroubledLine.to({ host: '127.0.0.1', port: echo.address().port }, new Random('line'));
  t.after(() => {
    line.close();
    echo.close();
  });
  const dial = () => connect(line.port, '127.0.0.1').on('error', () => {});
  return { line, dial, pieces };
}

/** What comes back of `text`, all of it, and after how many ms. */
async function echoed(socket, text) {
  const begun = performance.now();
  let back = '';
  const all = new Promise((resolve) => {
    socket.on('data', (bytes) => {
      back += bytes;
      if (back.length >= text.length) resolve();
    });
  });
  socket.write(text);
  await within(all, `echo of ${text.length} characters`);
  return { back, ms: performance.now() - begun };
}

const closed = (socket) => new Promise((resolve) => socket.on('close', resolve));

const long = Array.from({ length: 20_000 }, (_, n) => n.toString(36)).join(' ');

test('what passes a smooth line is what was sent', async (t) => {
  const { dial } = await echoBehindLine(t);
  assert.equal((await echoed(dial(), long)).back, long);
});

test('a slow line delays both directions and changes no order', async (t) => {
  const { line, dial } = await echoBehindLine(t);
  line.shape({ delay: 40 });
  const { back, ms } = await echoed(dial(), long);
  assert.equal(back, long);
  assert.ok(ms >= 80, `${ms} ms`);
});

test('a narrow line takes its time', async (t) => {
  const { line, dial } = await echoBehindLine(t);
  line.shape({ bytesPerSecond: 1024 * 1024 });
  const { back, ms } = await echoed(dial(), long);
  assert.equal(back, long);
  assert.ok(ms >= (900 * long.length) / 2 ** 20, `${ms} ms`);
});

test('a lossy line waits for repetitions and loses nothing', async (t) => {
  const { line, dial } = await echoBehindLine(t);
  line.shape({ loss: 1 });
  const { back, ms } = await echoed(dial(), 'ding');
  assert.equal(back, 'ding');
  assert.ok(ms >= 400, `${ms} ms`);
});

test('a line in single bytes passes the beginning of a piece byte by byte', async (t) => {
  const { line, dial, pieces } = await echoBehindLine(t);
  const socket = dial();
  await echoed(socket, 'ding');
  line.shape({ singles: 4 });
  assert.equal((await echoed(socket, 'ding dong')).back, 'ding dong');
  assert.deepEqual(pieces, [4, 1, 1, 1, 1, 5]);
});

test('a line that refuses resets what is open and what is new, until it is mended', async (t) => {
  const { line, dial } = await echoBehindLine(t);
  const open = dial();
  await echoed(open, 'ding');
  const ends = [closed(open)];
  line.refuse();
  ends.push(closed(dial()));
  await within(Promise.all(ends), 'end of both');
  line.mend();
  assert.equal((await echoed(dial(), 'dong')).back, 'dong');
});

test('a dead line takes connections and passes nothing, and what it held never arrives', async (t) => {
  const { line, dial, pieces } = await echoBehindLine(t);
  const open = dial();
  await echoed(open, 'ding');
  line.die();
  const late = dial();
  await once(late, 'connect');
  open.write('lost');
  late.write('lost');
  const ends = [closed(open), closed(late)];
  line.mend();
  await within(Promise.all(ends), 'reset of both');
  assert.equal((await echoed(dial(), 'dong')).back, 'dong');
  assert.deepEqual(pieces, [4, 4]);
});
