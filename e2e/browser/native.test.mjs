// What a page can do with nothing but what browsers have: EventSource, fetch and WebSocket.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Stage, seen } from '../lib/browser.mjs';
import { someone } from '../lib/client.mjs';
import { userToken } from '../lib/jwt.mjs';
import { Line } from '../lib/proxy.mjs';
import { until } from '../lib/wait.mjs';
import { WAYS } from '../lib/ways.mjs';

let stage;
let server;
before(async () => {
  stage = await Stage.set();
  server = stage.server;
});
after(() => stage?.clear());

let channels = 0;
const somewhere = (namespace = 'news') => `${namespace}:browser-${++channels}`;

/** The connect request of a unidirectional client that wants one channel, from a position if there is one. */
const wish = (channel, position) => ({
  token: userToken(someone()),
  subs: { [channel]: position ? { recover: true, ...position } : {} },
});

test('EventSource on uni_sse receives, and resumes from the position in its URL', async (t) => {
  const channel = somewhere();
  const page = await stage.page(t);
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
  const channel = somewhere();
  const line = await Line.to(t, server);
  const page = await stage.page(t);
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
  const channel = somewhere();
  const page = await stage.page(t);
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
  const channel = somewhere();
  const page = await stage.page(t);
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

test('a page of an origin that is not allowed gets nothing from any of them', async (t) => {
  const page = await stage.page(t, stage.pages.stranger);
  const channel = somewhere();
  await server.publish(channel, 'secret');
  const outcomes = await page.evaluate(
    ({ port, request }) => {
      const query = `cf_connect=${encodeURIComponent(request)}`;
      const ended = (target) =>
        new Promise((resolve) => {
          target.onmessage = ({ data }) => resolve(data);
          target.onerror = () => resolve('refused');
        });
      const text = (answer) => answer.text();
      const refused = () => 'refused';
      return Promise.all([
        ended(new EventSource(`http://127.0.0.1:${port}/connection/uni_sse?${query}`)),
        fetch(`http://127.0.0.1:${port}/connection/uni_http_stream`, { method: 'POST', body: request }).then(text, refused),
        ended(new WebSocket(`ws://127.0.0.1:${port}/connection/uni_websocket?${query}`)),
        ended(new WebSocket(`ws://127.0.0.1:${port}/connection/plain/lobby:x`)),
        ended(new WebSocket(`ws://127.0.0.1:${port}/connection/echo`)),
      ]);
    },
    { port: server.port, request: JSON.stringify(wish(channel)) },
  );
  assert.deepEqual(outcomes, outcomes.map(() => 'refused'));
});

/** Opens a plain socket in the page; `seen` gets what comes, and how it ends. */
async function openPlain(t, channel, query = {}) {
  const page = await stage.page(t);
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
  const channel = somewhere();
  const { offset, epoch } = await server.publish(channel, 1);
  await server.publish(channel, 2);
  await server.publish(channel, 3);
  const page = await openPlain(t, channel, { since: `${epoch}:${offset}` });
  assert.deepEqual(await seen(page, 2), ['2', '3']);
  await server.publish(channel, 4);
  assert.deepEqual(await seen(page, 3), ['2', '3', '4']);
});

test('a plain WebSocket that cannot be made whole is closed', async (t) => {
  const channel = somewhere();
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
