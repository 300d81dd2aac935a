// The example `embed-in-existing-app` as its users have it: its program, its pages, a browser context for each device.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch } from '../lib/browser.mjs';
import { Process, exampleBinary, scene } from '../lib/example.mjs';
import { Raw } from '../lib/raw.mjs';
import { binary, freePort } from '../lib/server.mjs';
import { until, within } from '../lib/wait.mjs';

const EXAMPLE = 'embed-in-existing-app';
const SIGNED_OUT = 4501;

let directory;
let port;
let origin;
let endpoint;
let program;
let browser;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'campanile-example-'));
  port = await freePort();
  origin = `http://127.0.0.1:${port}`;
  endpoint = `ws://127.0.0.1:${port}/connection/websocket`;
  await start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await program?.stop();
  await rm(directory, { recursive: true });
});

const run = (path, on) => new Process(EXAMPLE, path, ['--port', `${on}`, '--data', join(directory, 'data')]);

async function start() {
  program = run(exampleBinary(EXAMPLE), port);
  await program.answers(origin);
}

const act = (name, play) => scene(name, () => ({ browser, origins: [origin] }), play);

let orders = 0;
/** An order that no other test knows. */
const something = (name) => `${name} ${++orders}`;

const status = (page, text) =>
  page.getByRole('status', { name: 'Connection state' }).filter({ hasText: text }).waitFor({ timeout: 20_000 });
const isConnected = (page) => status(page, /^connected$/);
const items = (page, text) => page.getByRole('listitem').filter({ has: page.getByText(text, { exact: true }) });
const texts = (page) => page.getByRole('listitem').getByRole('paragraph').allInnerTexts();

async function signIn(page, user) {
  await page.getByLabel('Who are you?').selectOption(user);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await isConnected(page);
}

async function signedIn(device, user, label = user) {
  const it = await device(label);
  const page = await it.open(origin);
  await signIn(page, user);
  // What is gone when the page is loaded again.
  await page.evaluate(() => (window.isUntouched = true));
  return it;
}

async function take(page, text) {
  await page.getByLabel('Order', { exact: true }).fill(text);
  await page.getByRole('button', { name: 'Take' }).click();
  await isConnected(page);
}

const isUntouched = (page) => page.evaluate(() => window.isUntouched === true);

const post = (path, form, headers = {}) =>
  fetch(`${origin}${path}`, { method: 'POST', body: new URLSearchParams(form), redirect: 'manual', headers });

/** The cookie that signing in gives. */
async function cookieOf(user) {
  const answer = await post('/login', { user });
  assert.equal(answer.status, 303);
  return answer.headers.get('Set-Cookie').split(';')[0];
}

act('what one does others see at once, and their pages are not loaded again', async (device) => {
  const alice = (await signedIn(device, 'alice')).page;
  const bob = (await signedIn(device, 'bob')).page;
  const order = something('grüße <b>&amp;</b> 𝄞');
  await take(alice, order);
  await items(bob, order).waitFor();
  assert.match(await items(bob, order).innerText(), /alice/);
  assert.ok(await isUntouched(bob));
  // The button came with the list.
  await items(bob, order).getByRole('button', { name: 'Done' }).click();
  await items(alice, order).waitFor({ state: 'detached' });
  await items(bob, order).waitFor({ state: 'detached' });
});

act('of many changes at once everybody sees the outcome', async (device) => {
  const pages = [(await signedIn(device, 'alice')).page, (await signedIn(device, 'bob')).page];
  const Cookie = await cookieOf('carol');
  const wanted = Array.from({ length: 20 }, () => something('many'));
  const statuses = await Promise.all(wanted.map(async (text) => (await post('/orders', { text }, { Cookie })).status));
  assert.deepEqual(new Set(statuses), new Set([303]));
  for (const page of pages) {
    const isThere = async () => {
      const found = new Set(await texts(page));
      return wanted.every((text) => found.has(text));
    };
    await until(isThere, 'all orders');
    assert.ok(await isUntouched(page));
  }
  assert.deepEqual(await texts(pages[0]), await texts(pages[1]));
  const ids = await pages[0].locator('#orders form').evaluateAll((forms) => forms.map((form) => form.getAttribute('action')));
  await Promise.all(ids.map((path) => post(path, {}, { Cookie })));
  for (const page of pages) await until(async () => (await texts(page)).length === 0, 'empty list');
});

act('who has not signed in gets a page without a socket', async (device) => {
  const stranger = await device('stranger');
  const sockets = [];
  stranger.context.on('page', (page) => page.on('websocket', (socket) => sockets.push(socket.url())));
  const page = await stranger.open(origin);
  await page.getByRole('button', { name: 'Sign in' }).waitFor();
  assert.equal(await page.locator('script').count(), 0);
  assert.deepEqual(sockets, []);
  await signIn(page, 'dave');
  assert.deepEqual(sockets, [endpoint]);
});

test('a connection without a good cookie is closed, with a code after which the SDK stays away', async (t) => {
  const good = await cookieOf('dave');
  const [name, value] = [good.slice(0, good.indexOf('=')), good.slice(good.indexOf('=') + 1)];
  const of = (text) => `${name}=${text}`;
  const bad = [undefined, '', of(''), of('dave.0'), good.replace('dave', 'alice'), of(`${value.slice(0, 44)}mallory.0`)];
  for (const Cookie of bad) {
    const raw = await Raw.open(t, endpoint, { headers: Cookie === undefined ? {} : { Cookie } });
    raw.send({ id: 1, connect: {} });
    assert.deepEqual(await raw.end(), { code: SIGNED_OUT, reason: 'signed out' }, `${Cookie}`);
  }
  const raw = await Raw.open(t, endpoint, { headers: { Cookie: `other=1; ${good}` } });
  raw.send({ id: 1, connect: {} });
  assert.deepEqual(Object.keys((await raw.reply(1)).connect.subs), ['orders']);
  raw.send({ id: 2, publish: { channel: 'orders', data: { version: 1e15, html: '<b>mine</b>' } } });
  assert.equal((await raw.reply(2)).error.code, 103);
});

act('who signs out is signed out in all tabs and on all devices, and nobody comes back', async (device) => {
  const laptop = await signedIn(device, 'alice', 'laptop');
  const tab = await laptop.context.newPage();
  await tab.goto(origin);
  await isConnected(tab);
  const phone = await signedIn(device, 'alice', 'phone');
  const bob = (await signedIn(device, 'bob')).page;
  const sockets = [];
  for (const page of [tab, phone.page]) page.on('websocket', (socket) => sockets.push(socket.url()));

  await laptop.page.getByRole('button', { name: 'Sign out everywhere' }).click();
  await laptop.page.getByRole('button', { name: 'Sign in' }).waitFor();
  for (const page of [tab, phone.page]) {
    await page.getByRole('alert').filter({ hasText: `signed out (${SIGNED_OUT})` }).waitFor();
    await status(page, /^disconnected$/);
  }
  const order = something('after');
  await take(bob, order);
  assert.deepEqual(sockets, []);
  assert.equal(await items(tab, order).count(), 0);
  // Nor by hand, with the cookie that it still has.
  await phone.open(origin);
  await phone.page.getByRole('button', { name: 'Sign in' }).waitFor();
  await signIn(phone.page, 'alice');
  await items(phone.page, order).getByRole('button', { name: 'Done' }).click();
  await items(bob, order).waitFor({ state: 'detached' });
});

test('who signs out while connecting is not left connected', async (t) => {
  for (let round = 0; round < 30; round++) {
    const Cookie = await cookieOf('carol');
    const raw = await Raw.open(t, endpoint, { headers: { Cookie } });
    // Whichever comes first.
    const leaving = post('/logout', {}, { Cookie });
    raw.send({ id: 1, connect: {} });
    assert.equal((await leaving).status, 303);
    assert.equal((await raw.end()).code, SIGNED_OUT);
  }
});

test('an upgrade from another origin is refused with 403, whatever its cookie', async () => {
  const Cookie = await cookieOf('dave');
  const upgrade = async (from, host = `127.0.0.1:${port}`) => {
    const headers = {
      Cookie,
      Host: host,
      Origin: from,
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': 13,
      'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==',
    };
    const asked = request(endpoint.replace('ws:', 'http:'), { headers }).end();
    const taken = once(asked, 'upgrade').then(([{ statusCode }, socket]) => (socket.destroy(), statusCode));
    const refused = once(asked, 'response').then(([response]) => (response.resume(), response.statusCode));
    return within(Promise.race([taken, refused]), 'answer');
  };
  assert.equal(await upgrade(origin), 101);
  assert.equal(await upgrade(`http://192.0.2.7:${port}`, `192.0.2.7:${port}`), 101);
  for (const foreign of ['https://evil.example', `http://127.0.0.1:${port + 1}`, `${origin}.evil.example`, 'null']) {
    assert.equal(await upgrade(foreign), 403, foreign);
  }
});

test('a form on a page of another origin does nothing, whatever its cookie', async () => {
  const Cookie = await cookieOf('dave');
  const list = async () => (await fetch(origin, { headers: { Cookie } })).text();
  const order = something('foreign');
  for (const foreign of ['https://evil.example', `http://127.0.0.1:${port + 1}`, `${origin}.evil.example`, 'null', 'ÿ']) {
    const answers = await Promise.all(
      [['/orders', { text: order }], ['/orders/1/done', {}], ['/logout', {}], ['/login', { user: 'dave' }]].map(
        async ([path, form]) => {
          const answer = await post(path, form, { Cookie, Origin: foreign });
          return [answer.status, answer.headers.get('Set-Cookie')];
        },
      ),
    );
    assert.deepEqual(answers, Array(4).fill([403, null]), foreign);
  }
  const page = await list();
  assert.ok(page.includes('Signed in as <strong>dave'), 'signed out');
  assert.ok(!page.includes(order), 'taken');
  assert.equal((await post('/orders', { text: order }, { Cookie, Origin: origin })).status, 303);
  const id = (await list()).match(new RegExp(`${order}[^]*?/orders/(\\d+)/done`))?.[1];
  assert.equal((await post(`/orders/${id}/done`, {}, { Cookie, Origin: origin })).status, 303);
  assert.ok(!(await list()).includes(order));
});

act('a page of another port, to which the browser gives the cookie, gets no connection', async (device) => {
  const alice = await signedIn(device, 'alice');
  const cookies = [];
  const elsewhere = createServer(({ headers }, response) => {
    cookies.push(headers.cookie);
    response.setHeader('Content-Type', 'text/html').end('elsewhere');
  });
  await new Promise((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
  alice.origins.push(`http://127.0.0.1:${elsewhere.address().port}`);
  try {
    const page = await alice.context.newPage();
    await page.goto(alice.origins.at(-1));
    // A cookie knows no ports.
    assert.match(`${cookies[0]}`, /^desk=/);
    const code = await page.evaluate((url) => new Promise((resolve) => {
      new WebSocket(url).onclose = (event) => resolve(event.code);
    }), endpoint);
    assert.equal(code, 1006);
    await isConnected(alice.page);
  } finally {
    elsewhere.close();
    elsewhere.closeAllConnections();
  }
});

act('the middleware of the application sees its pages, and pages come while sockets are open', async (device) => {
  const alice = await signedIn(device, 'alice');
  const Cookie = await cookieOf('bob');
  const number = async (path) => {
    const answer = await fetch(origin + path, { headers: { Cookie } });
    assert.equal(answer.status, 200);
    return Number(answer.headers.get('X-Request-Number'));
  };
  const first = await number('/');
  assert.ok(first > 0);
  assert.equal(await number('/live.js'), 0);
  assert.equal(await number('/'), first + 1);
  assert.equal((await fetch(`${origin}/nowhere`)).status, 404);
  assert.match(program.output, /GET \//);
  await isConnected(alice.page);
  assert.ok(await isUntouched(alice.page));
});

act('what is done between the page and its connection is seen', async (device) => {
  const alice = await signedIn(device, 'alice');
  let release;
  const released = new Promise((resolve) => (release = resolve));
  const asked = new Promise((resolve) => {
    alice.context.route('**/live.js', async (route) => {
      resolve();
      await released;
      await route.continue();
    });
  });
  // Not loaded until its script is.
  const opening = alice.open(origin);
  await asked;
  const order = something('between');
  const Cookie = await cookieOf('bob');
  assert.equal((await post('/orders', { text: order }, { Cookie })).status, 303);
  release();
  await opening;
  await items(alice.page, order).waitFor();
  await items(alice.page, order).getByRole('button', { name: 'Done' }).click();
  await items(alice.page, order).waitFor({ state: 'detached' });
});

/** Starts it anew, with what `whileDown` does before. */
async function restart(signal, whileDown) {
  if (signal === 'SIGTERM') await program.stop();
  else {
    program.signal(signal);
    await program.exited;
  }
  await whileDown();
  await start();
}

for (const [how, signal] of [['stopped', 'SIGTERM'], ['killed', 'SIGKILL']]) {
  act(`who is away while the server is ${how} and started again sees what was done meanwhile`, async (device) => {
    const alice = await signedIn(device, 'alice');
    const bob = await signedIn(device, 'bob');
    const [early, late] = [something('early'), something('late')];
    await alice.offline(true);
    await status(alice.page, /^connecting$/);
    await take(bob.page, early);
    await restart(signal, () => status(bob.page, /^connecting$/));
    await isConnected(bob.page);
    await alice.offline(false);
    await isConnected(alice.page);
    // From before the restart, and nothing has changed since.
    await items(alice.page, early).waitFor();
    await take(bob.page, late);
    await items(alice.page, late).waitFor();
    assert.ok(await isUntouched(alice.page));
    for (const text of [early, late]) {
      await items(alice.page, text).getByRole('button', { name: 'Done' }).click();
      await items(bob.page, text).waitFor({ state: 'detached' });
      await isConnected(alice.page);
    }
  });
}

test('the application is the same without', async (t) => {
  const on = await freePort();
  const alone = new Process(EXAMPLE, join(dirname(binary()), 'embed-before'), [
    '--port', `${on}`, '--data', join(directory, 'alone'),
  ]);
  t.after(() => alone.signal('SIGKILL'));
  const url = `http://127.0.0.1:${on}`;
  await alone.answers(url);
  const send = (path, form, headers) =>
    fetch(url + path, { method: 'POST', body: new URLSearchParams(form), redirect: 'manual', headers });
  const login = await send('/login', { user: 'alice' });
  assert.match(login.headers.get('Set-Cookie'), /; HttpOnly; SameSite=Lax; Path=\/$/);
  const Cookie = login.headers.get('Set-Cookie').split(';')[0];
  assert.equal((await send('/orders', { text: 'tea' })).status, 401);
  assert.equal((await send('/orders', { text: ' ' }, { Cookie })).status, 400);
  assert.equal((await send('/orders', { text: 'tea' }, { Cookie })).status, 303);
  const page = await fetch(url, { headers: { Cookie } });
  assert.match(await page.text(), /<p>tea<\/p>/);
  assert.equal(page.headers.get('X-Request-Number'), '6');
  assert.equal((await send('/logout', {}, { Cookie })).status, 303);
  assert.match(await (await fetch(url, { headers: { Cookie } })).text(), /Who are you/);
  assert.equal((await fetch(`${url}/connection/websocket`)).status, 404);
  await alone.stop('SIGINT');
});
