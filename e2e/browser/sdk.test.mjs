// The SDK's own bundles in a real browser, on every transport. The page is of another origin than the server, as
// it is in production.

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { after, before, test } from 'node:test';
import { Stage, seen } from '../lib/browser.mjs';
import { someone } from '../lib/client.mjs';
import { userToken } from '../lib/jwt.mjs';
import { Line } from '../lib/proxy.mjs';
import { WAYS } from '../lib/ways.mjs';

const BUNDLES = new URL('../node_modules/centrifuge/dist/', import.meta.url);

let stage;
let server;
before(async () => {
  stage = await Stage.set();
  server = stage.server;
});
after(() => stage?.clear());

let channels = 0;
const somewhere = () => `room:browser-${++channels}`;

/** Starts the SDK in the page. It tells every event in `seen`, with data decoded. */
async function startSdk(page, way, at, options) {
  const bundle = way.isBinary ? 'centrifuge.protobuf.js' : 'centrifuge.js';
  await page.addScriptTag({ path: fileURLToPath(new URL(bundle, BUNDLES)) });
  const scheme = way.transport === 'websocket' ? 'ws' : 'http';
  await page.evaluate(
    ({ transport, endpoint, emulationEndpoint, token, channel, isBinary }) => {
      const encode = (value) => (isBinary ? new TextEncoder().encode(JSON.stringify(value)) : value);
      const decode = (data) => (isBinary ? JSON.parse(new TextDecoder().decode(data)) : data);
      const delays = { minReconnectDelay: 20, maxReconnectDelay: 200 };
      const client = new window.Centrifuge([{ transport, endpoint }], { token, emulationEndpoint, ...delays });
      const tell = (event, what) => window.seen.push({ event, ...what });
      client.on('connected', (context) => tell('connected', { transport: context.transport }));
      client.on('connecting', ({ code }) => code && tell('connecting', { code }));
      client.on('error', ({ type }) => tell('error', { type }));
      const sub = client.newSubscription(channel);
      sub.on('subscribed', ({ wasRecovering, recovered }) => tell('subscribed', { wasRecovering, recovered }));
      sub.on('publication', ({ data, offset }) => tell('publication', { data: decode(data), offset }));
      sub.subscribe();
      client.connect();
      Object.assign(window, { client, publish: (value) => sub.publish(encode(value)) });
    },
    {
      transport: way.transport,
      endpoint: `${scheme}://127.0.0.1:${at.port}/connection/${way.transport}`,
      emulationEndpoint: `http://127.0.0.1:${at.port}/emulation`,
      isBinary: way.isBinary,
      token: userToken(someone()),
      ...options,
    },
  );
}

for (const way of WAYS) {
  test(`${way.name}: the SDK in Chromium publishes, receives, loses its line and recovers`, async (t) => {
    const channel = somewhere();
    const line = await Line.to(t, server);
    const page = await stage.page(t);
    await startSdk(page, way, line, { channel });
    assert.deepEqual(await seen(page, 2), [
      { event: 'connected', transport: way.transport },
      { event: 'subscribed', wasRecovering: false, recovered: false },
    ]);
    await page.evaluate(() => window.publish({ from: 'page', bell: '\u{1F514}' }));
    await server.publish(channel, { from: 'api' });
    assert.deepEqual((await seen(page, 4)).slice(2), [
      { event: 'publication', data: { from: 'page', bell: '\u{1F514}' }, offset: 1 },
      { event: 'publication', data: { from: 'api' }, offset: 2 },
    ]);
    line.down();
    await page.waitForFunction(() => window.client.state === 'connecting');
    for (let n = 3; n <= 20; n++) await server.publish(channel, n);
    line.up();
    await page.waitForFunction(() => window.seen.at(-1).offset === 20);
    const after = (await seen(page, 4)).slice(4).filter(({ event }) => event !== 'error');
    assert.deepEqual(after, [
      { event: 'connecting', code: 1 },
      { event: 'connected', transport: way.transport },
      { event: 'subscribed', wasRecovering: true, recovered: true },
      ...Array.from({ length: 18 }, (_, n) => ({ event: 'publication', data: n + 3, offset: n + 3 })),
    ]);
  });

  test(`${way.name}: a page of an origin that is not allowed never connects`, async (t) => {
    const channel = somewhere();
    const page = await stage.page(t, stage.pages.stranger);
    await startSdk(page, way, server, { channel });
    const happened = await seen(page, 2);
    assert.deepEqual(new Set(happened.map(({ event }) => event)), new Set(['error']));
    assert.deepEqual(await server.api('presence', { channel }), { presence: {} });
  });
}

test('Chromium and the server agree on permessage-deflate', async (t) => {
  const channel = somewhere();
  const page = await stage.page(t);
  await startSdk(page, WAYS[0], server, { channel });
  await seen(page, 2);
  const text = 'ding dong '.repeat(2000);
  await server.publish(channel, text);
  await page.evaluate((value) => window.publish(value), text);
  const publications = (await seen(page, 4)).slice(2);
  assert.ok(publications.every(({ data }) => data === text));
  const extensions = await page.evaluate(
    (url) =>
      new Promise((resolve, reject) => {
        const socket = new WebSocket(url);
        socket.onopen = () => resolve(socket.extensions);
        socket.onerror = () => reject(new Error('the handshake was refused'));
      }),
    server.ws,
  );
  assert.match(extensions, /^permessage-deflate/);
});
