// A backend behind HTTP decides what the clients of unmodified SDKs may do: server API, section 6.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import WebSocket from 'ws';
import { Backend } from '../lib/backend.mjs';
import { newClient, subscribed } from '../lib/client.mjs';
import { inSeconds } from '../lib/jwt.mjs';
import { Server } from '../lib/server.mjs';
import { next, until, within } from '../lib/wait.mjs';

/** A server that asks about everything, and the backend that it asks. */
async function stage(t, answers, { proxy = {}, renews = false } = {}) {
  const backend = await Backend.start(t, { '/connect': { result: { user: '42' } }, ...answers });
  const ask = (path) => ({ endpoint: backend.url(path), timeout: '2s', ...proxy });
  const server = await Server.start({
    client: {
      proxy: { connect: { enabled: true, ...ask('/connect') }, refresh: { enabled: renews, ...ask('/refresh') } },
    },
    proxies: [{ name: 'rooms', ...ask('/rooms') }],
    rpc: { proxy: ask('/rpc'), without_namespace: { proxy_enabled: true }, namespaces: [{ name: 'mute' }] },
    channel: {
      proxy: { subscribe: ask('/subscribe'), publish: ask('/publish'), sub_refresh: ask('/sub_refresh') },
      namespaces: [
        {
          name: 'asked',
          presence: true,
          history_size: 10,
          history_ttl: '60s',
          subscribe_proxy_enabled: true,
          publish_proxy_enabled: true,
          sub_refresh_proxy_enabled: true,
        },
        { name: 'other', subscribe_proxy_enabled: true, subscribe_proxy_name: 'rooms' },
      ],
    },
  });
  t.after(() => server.stop());
  return { server, backend };
}

async function visitor(t, server, options = {}) {
  const client = newClient(t, server.ws, options);
  const welcome = next(client, 'connected');
  client.connect();
  return { client, welcome: await welcome };
}

test('the backend says who connects, and what comes with that', async (t) => {
  const { server, backend } = await stage(t, {
    '/connect': { result: { user: 'ann', data: { hello: 'ann' }, subs: { 'asked:hall': { data: 7 } } } },
  });
  const client = newClient(t, server.ws, { data: { invitation: 1 }, name: 'suite', version: '1' });
  const [welcome, hall] = [next(client, 'connected'), next(client, 'subscribed')];
  client.connect();
  assert.deepEqual((await welcome).data, { hello: 'ann' });
  assert.deepEqual([(await hall).channel, (await hall).data], ['asked:hall', 7]);
  const [{ body }] = backend.at('/connect');
  assert.match(body.client, /^[0-9a-f-]{36}$/);
  assert.deepEqual(
    { ...body, client: '' },
    {
      client: '',
      transport: 'websocket',
      protocol: 'json',
      encoding: 'json',
      data: { invitation: 1 },
      name: 'suite',
      version: '1',
    },
  );
  const { presence } = await server.api('presence', { channel: 'asked:hall' });
  assert.deepEqual(Object.values(presence).map(({ user }) => user), ['ann']);
});

test('headers of the request and of the connect command reach the backend, by its list', async (t) => {
  const { server, backend } = await stage(
    t,
    { '/rpc': { result: { data: {} } } },
    { proxy: { http_headers: ['Cookie'], emulated_headers: ['X-Theme', 'Cookie'], http: { static_headers: { 'X-Key': 's' } } } },
  );
  class WithCookie extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { headers: { Cookie: 'session=1', 'X-Private': 'no' } });
    }
  }
  const headers = { 'X-Theme': 'dark', Cookie: 'session=forged', 'X-Other': 'no' };
  const { client } = await visitor(t, server, { websocket: WithCookie, headers });
  await client.rpc('any', {});
  assert.deepEqual(backend.asked.map(({ path }) => path), ['/connect', '/rpc']);
  for (const { headers: seen } of backend.asked) {
    assert.deepEqual(
      [seen.cookie, seen['x-theme'], seen['x-key'], seen['x-other'], seen['x-private']],
      ['session=1', 'dark', 's', undefined, undefined],
    );
  }
});

for (const [what, answer, code] of [
  ['ends a connection for good', { disconnect: { code: 4501, reason: 'no' } }, 4501],
  ['says nothing of who it is', {}, 3501],
]) {
  test(`a backend that ${what} keeps the client out`, async (t) => {
    const { server } = await stage(t, { '/connect': answer });
    const client = newClient(t, server.ws);
    const gone = next(client, 'disconnected');
    client.connect();
    assert.equal((await gone).code, code);
  });
}

test('a backend that is down makes clients try again, and they come in when it is back', async (t) => {
  const { server, backend } = await stage(t, { '/connect': { status: 503 } });
  const client = newClient(t, server.ws);
  const refused = next(client, 'error');
  const welcome = next(client, 'connected');
  client.connect();
  assert.equal((await refused).error.code, 100);
  backend.answer('/connect', { result: { user: '42' } });
  await welcome;
  assert.ok(backend.at('/connect').length > 1);
});

test('a subscription is what the backend makes of it', async (t) => {
  const { server, backend } = await stage(t, {
    '/subscribe': ({ channel }) =>
      channel === 'asked:shut'
        ? { error: { code: 1403, message: 'not you', temporary: false } }
        : { result: { data: { topic: 1 }, override: { force_recovery: { value: true } } } },
    '/rooms': { result: {} },
  });
  const { client } = await visitor(t, server);
  const { context } = await subscribed(client, 'asked:open', { data: { why: 1 } });
  assert.deepEqual([context.data, context.recoverable], [{ topic: 1 }, true]);
  const { user, channel, data } = backend.at('/subscribe')[0].body;
  assert.deepEqual({ user, channel, data }, { user: '42', channel: 'asked:open', data: { why: 1 } });
  const shut = client.newSubscription('asked:shut');
  const refused = next(shut, 'unsubscribed');
  shut.subscribe();
  assert.equal((await refused).code, 1403);
  await subscribed(client, 'other:room');
  assert.equal(backend.at('/rooms').length, 1);
});

test('a publication is what the backend makes of it', async (t) => {
  const { server, backend } = await stage(t, {
    '/subscribe': { result: {} },
    '/publish': ({ data }) =>
      data.rude ? { error: { code: 1400, message: 'mind your language' } } : { result: { data: { said: data, by: 'backend' } } },
  });
  const { client } = await visitor(t, server);
  const { sub } = await subscribed(client, 'asked:room');
  const heard = next(sub, 'publication');
  await sub.publish({ text: 'hi' });
  assert.deepEqual((await heard).data, { said: { text: 'hi' }, by: 'backend' });
  await assert.rejects(sub.publish({ rude: true }), { code: 1400, message: 'mind your language' });
  backend.answer('/publish', { status: 500 });
  await assert.rejects(sub.publish({ text: 'lost' }), { code: 100 });
  const { publications } = await server.api('history', { channel: 'asked:room', limit: 10 });
  assert.equal(publications.length, 1);
});

test('calls go to the backend, where there is one for them', async (t) => {
  const { server } = await stage(t, { '/rpc': ({ method, data, user }) => ({ result: { data: { method, data, user } } }) });
  const { client } = await visitor(t, server);
  const { data } = await client.rpc('sum', [1, 2]);
  assert.deepEqual(data, { method: 'sum', data: [1, 2], user: '42' });
  await assert.rejects(client.rpc('mute:sum', {}), { code: 108 });
  await assert.rejects(client.rpc('none:sum', {}), { code: 104 });
});

test('a slow backend holds up those only who wait for it', async (t) => {
  let release;
  const held = new Promise((resolve) => (release = resolve));
  t.after(() => release());
  const { server, backend } = await stage(
    t,
    { '/rpc': async ({ method }) => (method === 'slow' && (await held), { result: { data: method } }) },
    { proxy: { timeout: '60s' } },
  );
  const one = async () => (await visitor(t, server, { timeout: 60_000 })).client;
  const come = async (count) => {
    const clients = [];
    while (clients.length < count) clients.push(...(await Promise.all(Array.from({ length: 20 }, one))));
    return clients;
  };
  // So many that every worker has some that wait, and some that do not.
  const [slow, quick] = [await come(200), await come(20)];
  const answers = Promise.all(slow.map((client) => client.rpc('slow', {})));
  const asked = (method) => backend.at('/rpc').filter(({ body }) => body.method === method).length;
  await until(() => asked('slow') === slow.length, 'a question of everybody');
  for (const client of quick) assert.equal((await within(client.rpc('quick', {}), 'answer')).data, 'quick');
  release();
  assert.deepEqual(new Set((await answers).map(({ data }) => data)), new Set(['slow']));
});

test('the backend renews a connection and a subscription, until it does not', async (t) => {
  const soon = () => ({ result: { expire_at: inSeconds(1) } });
  const { server, backend } = await stage(
    t,
    {
      '/connect': () => ({ result: { user: '42', meta: { plan: 'free' }, expire_at: inSeconds(1) } }),
      '/refresh': soon,
      '/subscribe': soon,
      '/sub_refresh': soon,
    },
    { renews: true, proxy: { include_connection_meta: true } },
  );
  const { client } = await visitor(t, server);
  const losses = [];
  client.on('connecting', ({ code }) => losses.push(code));
  const { sub } = await subscribed(client, 'asked:short');
  const asked = (path) => until(() => backend.at(path).length > 1, `more than one question at ${path}`);
  await Promise.all([asked('/refresh'), asked('/sub_refresh')]);
  assert.deepEqual([losses, sub.state], [[], 'subscribed']);
  const [{ body }] = backend.at('/refresh');
  assert.deepEqual([body.user, body.meta], ['42', { plan: 'free' }]);
  assert.equal(backend.at('/sub_refresh')[0].body.channel, 'asked:short');

  backend.answer('/sub_refresh', { result: { expired: true } });
  assert.equal((await next(sub, 'subscribing')).code, 2501);
  backend.answer('/refresh', {});
  assert.equal((await next(client, 'connecting')).code, 3005);
});
