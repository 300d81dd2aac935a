// What the port answers besides the protocol, and whom it lets upgrade.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { Raw } from '../lib/raw.mjs';
import { Server } from '../lib/server.mjs';
import { within } from '../lib/wait.mjs';

let server;
before(async () => (server = await Server.start({ client: { allowed_origins: ['https://app.example.com'] } })));
after(() => server.stop());

/** The HTTP status with which an upgrade is answered; 101 when it is granted. */
function upgrade(t, path, options) {
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}${path}`, options);
  t.after(() => socket.terminate());
  const status = new Promise((resolve) => {
    socket.on('open', () => resolve(101));
    socket.on('unexpected-response', (_, answer) => resolve(answer.statusCode));
  });
  socket.on('error', () => {});
  return within(status, 'answer to the upgrade');
}

test('probes and metrics answer', async () => {
  for (const path of ['/health', '/ready', '/healthcheck']) {
    assert.equal((await fetch(server.http + path)).status, 200, path);
  }
  const metrics = await fetch(`${server.http}/metrics`);
  assert.equal(metrics.status, 200);
  assert.match(await metrics.text(), /node_num_clients/);
});

test('unknown paths are not found, also one slash too many', async (t) => {
  assert.equal((await fetch(`${server.http}/nothing`)).status, 404);
  assert.equal(await upgrade(t, '/connection/websocket/'), 404);
});

test('the playground is served in dev mode only', async () => {
  assert.equal((await fetch(`${server.http}/`)).status, 404);
  assert.equal((await fetch(`${server.http}/playground/config.json`)).status, 404);
});

test('only allowed origins upgrade; no origin is no browser', async (t) => {
  const path = '/connection/websocket';
  assert.equal(await upgrade(t, path), 101);
  assert.equal(await upgrade(t, path, { origin: 'https://app.example.com' }), 101);
  assert.equal(await upgrade(t, path, { origin: 'https://APP.example.com' }), 101);
  for (const origin of [
    'https://evil.example.com',
    'https://app.example.com.evil.net',
    'http://app.example.com',
    'https://app.example.com:8443',
    'null',
  ]) {
    assert.equal(await upgrade(t, path, { origin }), 403, origin);
  }
});

test('the echo endpoint echoes', async (t) => {
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}/connection/echo`);
  t.after(() => socket.terminate());
  const answer = new Promise((resolve, reject) => {
    socket.on('open', () => socket.send('ding'));
    socket.on('message', (frame) => resolve(frame.toString()));
    socket.on('error', reject);
  });
  assert.equal(await within(answer, 'echo'), 'ding');
});

test('a granted upgrade speaks the protocol', async (t) => {
  const { hello } = await Raw.connect(t, server.ws, { origin: 'https://app.example.com' });
  assert.ok(hello.connect.client);
});
