// Every transport in a real browser: the SDK's own bundle, and what a page can do without any SDK. The page is
// of another origin than the server, as it is in production.

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { after, before, describe, test } from 'node:test';
import { emptyPages, launch } from '../lib/browser.mjs';
import { someone } from '../lib/client.mjs';
import { userToken } from '../lib/jwt.mjs';
import { Line } from '../lib/proxy.mjs';
import { Server } from '../lib/server.mjs';
import { until } from '../lib/wait.mjs';
import { EVERY_TRANSPORT, WAYS } from '../lib/ways.mjs';

const PATIENCE_MS = 10_000;
const WRITABLE = { allow_subscribe_for_client: true, allow_publish_for_client: true };
const BUNDLES = new URL('../node_modules/centrifuge/dist/', import.meta.url);

let pages;
let server;
let browser;
before(async () => {
  pages = await emptyPages();
  server = await Server.start({
    client: { allowed_origins: [pages.allowed] },
    // Nothing but publications: no joins among what is counted.
    namespaces: [
      { name: 'news', allow_subscribe_for_client: true, history_size: 10, history_ttl: '300s', force_recovery: true },
      { name: 'bytes', ...WRITABLE, presence: true, publication_data_format: 'binary' },
    ],
    websocket: { compression: true },
    ...EVERY_TRANSPORT,
  });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
  await pages?.close();
});

let channels = 0;
const somewhere = (namespace = 'room') => `${namespace}:browser-${++channels}`;

/** A page that keeps what happens to it in `seen`. */
async function openPage(t, origin = pages.allowed) {
  const page = await browser.newPage();
  t.after(() => page.close());
  page.setDefaultTimeout(PATIENCE_MS);
  await page.goto(origin);
  await page.evaluate(() => {
    window.seen = [];
  });
  return page;
}

/** What the page has seen once it is `count` things. */
async function seen(page, count) {
  await page.waitForFunction((wanted) => window.seen.length >= wanted, count);
  return page.evaluate(() => window.seen);
}

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
    const page = await openPage(t);
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
    const page = await openPage(t, pages.stranger);
    await startSdk(page, way, server, { channel });
    const happened = await seen(page, 2);
    assert.deepEqual(new Set(happened.map(({ event }) => event)), new Set(['error']));
    assert.deepEqual(await server.api('presence', { channel }), { presence: {} });
  });
}

describe('without an SDK', () => {
  /** The connect request of a unidirectional client that wants one channel, from a position if there is one. */
  const wish = (channel, position) => ({
    token: userToken(someone()),
    subs: { [channel]: position ? { recover: true, ...position } : {} },
  });

  test('EventSource on uni_sse receives, and resumes from the position in its URL', async (t) => {
    const channel = somewhere('news');
    const page = await openPage(t);
    const listen = (request) =>
      page.evaluate((url) => {
        const source = new EventSource(url);
        source.onmessage = ({ data }) => window.seen.push(JSON.parse(data));
        window.source = source;
      }, `${server.http}/connection/uni_sse?cf_connect=${encodeURIComponent(JSON.stringify(request))}`);

    await listen(wish(channel));
    const [{ connect }] = await seen(page, 1);
    assert.ok(connect.client);
    const { epoch } = connect.subs[channel];
    await server.publish(channel, { n: 1 });
    await server.publish(channel, { n: 2 });
    const [, first, second] = (await seen(page, 3)).map(({ pub }) => pub);
    assert.deepEqual([first.data, second.data, second.offset], [{ n: 1 }, { n: 2 }, 2]);

    await page.evaluate(() => {
      window.source.close();
      window.seen = [];
    });
    await server.publish(channel, { n: 3 });
    await listen(wish(channel, { offset: 2, epoch }));
    const [again] = await seen(page, 1);
    const { recovered, publications } = again.connect.subs[channel];
    assert.equal(recovered, true);
    assert.deepEqual(publications.map(({ data }) => data), [{ n: 3 }]);
    await server.publish(channel, { n: 4 });
    assert.deepEqual((await seen(page, 2))[1].pub.data, { n: 4 });
  });

  test('EventSource on uni_sse comes back by itself when the line is cut', async (t) => {
    const channel = somewhere('news');
    const line = await Line.to(t, server);
    const page = await openPage(t);
    const request = encodeURIComponent(JSON.stringify(wish(channel)));
    await page.evaluate((url) => {
      const source = new EventSource(url);
      source.onmessage = ({ data }) => window.seen.push(JSON.parse(data));
    }, `http://127.0.0.1:${line.port}/connection/uni_sse?cf_connect=${request}`);
    const [first] = await seen(page, 1);
    line.cut();
    const [, second] = await seen(page, 2);
    assert.ok(second.connect.client !== first.connect.client);
    await server.publish(channel, 'after');
    assert.equal((await seen(page, 3))[2].pub.data, 'after');
  });

  test('fetch on uni_http_stream receives line by line', async (t) => {
    const channel = somewhere('news');
    const page = await openPage(t);
    await page.evaluate(
      async ({ url, body }) => {
        const answer = await fetch(url, { method: 'POST', body });
        const lines = async () => {
          let rest = '';
          for await (const text of answer.body.pipeThrough(new TextDecoderStream())) {
            const parts = (rest + text).split('\n');
            rest = parts.pop();
            window.seen.push(...parts.filter((line) => line !== '').map((line) => JSON.parse(line)));
          }
        };
        lines();
      },
      { url: `${server.http}/connection/uni_http_stream`, body: JSON.stringify(wish(channel)) },
    );
    assert.ok((await seen(page, 1))[0].connect.client);
    await server.publish(channel, 'one');
    await server.publish(channel, '\u{1F514}');
    const publications = (await seen(page, 3)).slice(1);
    assert.deepEqual(publications.map((push) => [push.channel, push.pub.data]), [[channel, 'one'], [channel, '\u{1F514}']]);
  });

  /** @param open runs in the page: opens a socket and says the request */
  async function receivesOnUniWebSocket(t, open) {
    const channel = somewhere('news');
    const page = await openPage(t);
    const target = { url: `ws://127.0.0.1:${server.port}/connection/uni_websocket`, request: JSON.stringify(wish(channel)) };
    await page.evaluate(() => {
      window.listen = (socket) => {
        socket.onmessage = ({ data }) => window.seen.push(JSON.parse(data));
        return socket;
      };
    });
    await page.evaluate(open, target);
    const [{ connect }] = await seen(page, 1);
    await server.publish(channel, 'one');
    const [, { pub }] = await seen(page, 2);
    assert.deepEqual(pub, { data: 'one', offset: 1, epoch: connect.subs[channel].epoch });
  }

  test('a WebSocket on uni_websocket says who it is in its URL and receives', (t) =>
    receivesOnUniWebSocket(t, ({ url, request }) => {
      window.listen(new WebSocket(`${url}?cf_connect=${encodeURIComponent(request)}`));
    }));

  test('a WebSocket on uni_websocket says who it is in its first frame and receives', (t) =>
    receivesOnUniWebSocket(t, ({ url, request }) => {
      const socket = window.listen(new WebSocket(url));
      socket.onopen = () => socket.send(request);
    }));

  /** Opens a plain socket in the page; `seen` gets what comes, and how it ends. */
  async function openPlain(t, channel, query = {}) {
    const page = await openPage(t);
    const said = new URLSearchParams({ token: userToken(someone()), ...query });
    const path = channel.split('/').map(encodeURIComponent).join('/');
    await page.evaluate((url) => {
      const socket = new WebSocket(url);
      socket.binaryType = 'arraybuffer';
      const shown = (data) => (typeof data === 'string' ? data : [...new Uint8Array(data)]);
      socket.onmessage = ({ data }) => window.seen.push(shown(data));
      socket.onclose = ({ code, reason }) => window.seen.push({ code, reason });
      window.socket = socket;
    }, `ws://127.0.0.1:${server.port}/connection/plain/${path}?${said}`);
    return page;
  }

  /** Somebody in the channel: the socket of the page is there too. */
  const arrival = (channel, count = 1) =>
    until(async () => (await server.api('presence_stats', { channel })).num_clients === count, 'socket in its channel');

  test('a plain WebSocket publishes to its channel and receives what others publish', async (t) => {
    const channel = somewhere();
    const page = await openPlain(t, channel);
    const peer = await WAYS[0].connected(t, server);
    const { inbox } = await peer.subscribe(channel);
    await arrival(channel, 2);
    await page.evaluate(() => window.socket.send('{"from":"page"}'));
    assert.deepEqual((await inbox.atLeast(1))[0].data, { from: 'page' });
    await peer.publish(channel, { from: 'SDK' });
    await server.publish(channel, '\u{1F514}');
    assert.deepEqual(await seen(page, 3), ['{"from":"page"}', '{"from":"SDK"}', '"\u{1F514}"']);
  });

  test('a plain WebSocket resumes after the publication it names', async (t) => {
    const channel = somewhere('news');
    const { offset, epoch } = await server.publish(channel, 1);
    await server.publish(channel, 2);
    await server.publish(channel, 3);
    const page = await openPlain(t, channel, { since: `${epoch}:${offset}` });
    assert.deepEqual(await seen(page, 2), ['2', '3']);
    await server.publish(channel, 4);
    assert.deepEqual(await seen(page, 3), ['2', '3', '4']);
  });

  test('a plain WebSocket that cannot be made whole is closed', async (t) => {
    const channel = somewhere('news');
    await server.publish(channel, 1);
    const page = await openPlain(t, channel, { since: 'other:1' });
    assert.deepEqual(await seen(page, 1), [{ code: 4512, reason: 'unrecoverable position' }]);
  });

  test('a plain WebSocket gets bytes if it asks for them', async (t) => {
    const channel = somewhere('bytes');
    const page = await openPlain(t, channel, { format: 'binary' });
    await arrival(channel);
    await page.evaluate(() => window.socket.send(new Uint8Array([0, 1, 254, 255])));
    await server.publish(channel, 'é');
    assert.deepEqual(await seen(page, 2), [[0, 1, 254, 255], [0x22, 0xc3, 0xa9, 0x22]]);
  });

  test('a plain WebSocket is refused what its user may not have', async (t) => {
    const locked = await openPlain(t, 'locked:x');
    assert.equal((await seen(locked, 1))[0].code, 3507);
    const nobody = await openPlain(t, somewhere(), { token: '' });
    assert.equal((await seen(nobody, 1))[0].code, 3501);
  });

  test('Chromium and the server agree on permessage-deflate', async (t) => {
    const channel = somewhere();
    const page = await openPage(t);
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
});
