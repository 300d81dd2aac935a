// The example `notifications` as its users have it: its own backend and page, the real server, a browser context
// for each device.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch } from '../lib/browser.mjs';
import { Process, exampleFile, scene, startServer } from '../lib/example.mjs';
import { SECRET } from '../lib/jwt.mjs';
import { API_KEY, binary, freePort } from '../lib/server.mjs';
import { until } from '../lib/wait.mjs';

const EXAMPLE = 'notifications';
const NOTIFY_KEY = 'key of a program that notifies';
/** Short, so that tokens are refreshed while a test looks. */
const TOKEN_SECONDS = 3;

let directory;
let origin;
let server;
let api;
let backend;
let browser;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'campanile-example-'));
  const port = await freePort();
  origin = `http://127.0.0.1:${port}`;
  server = await startServer(EXAMPLE, [origin]);
  api = await Api.of(server);
  backend = startBackend(port);
  await backend.answers(origin);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await backend?.stop();
  api?.close();
  await server?.stop();
  await rm(directory, { recursive: true });
});

/** The way from the backend to the server, on which answers get lost. */
class Api {
  /** So many answers are not passed on; what was asked for has been done. */
  losing = 0;

  static async of({ http }) {
    const api = new Api();
    api.listener = createServer(async (request, response) => {
      try {
        const { method, headers } = request;
        const body = Buffer.concat(await request.toArray());
        const answer = await fetch(http + request.url, { method, headers, body });
        const text = await answer.text();
        if (api.losing > 0) throw new Error(`${--api.losing} more answers to lose`);
        response.writeHead(answer.status).end(text);
      } catch {
        request.socket.destroy();
      }
    });
    await new Promise((resolve) => api.listener.listen(0, '127.0.0.1', resolve));
    api.http = `http://127.0.0.1:${api.listener.address().port}`;
    return api;
  }

  close() {
    this.listener.close();
    this.listener.closeAllConnections();
  }
}

function startBackend(port) {
  const options = {
    '--port': port,
    '--campanile': api.http,
    '--endpoint': server.ws,
    '--database': join(directory, 'notifications.sqlite'),
    '--token-seconds': TOKEN_SECONDS,
  };
  return new Process(EXAMPLE, 'python3', ['backend.py', ...Object.entries(options).flat().map(String)], {
    CAMPANILE_CLIENT_TOKEN_HMAC_SECRET_KEY: SECRET,
    CAMPANILE_HTTP_API_KEY: API_KEY,
    COOKIE_SECRET: 'secret of cookies',
    NOTIFY_KEY,
  });
}

const act = (name, play) => scene(name, () => ({ browser, origins: [origin] }), play);

let people = 0;
/** Somebody whom no other test knows. */
const somebody = (name) => `${name}-${++people}`;

const post = (path, body, headers = {}) =>
  fetch(`${origin}${path}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });

/** As the README's curl does it. */
async function notify(to, text) {
  const answer = await post('/notify', { to, text }, { Authorization: `Bearer ${NOTIFY_KEY}` });
  assert.equal(answer.status, 202, await answer.text());
}

const unsent = async () => (await (await fetch(`${origin}/status`)).json()).unsent;
const allSent = () => until(async () => (await unsent()) === 0, 'empty outbox', 20_000);

/** What a device shows, by the visible text. */
const status = (page, name, text) =>
  page.getByRole('status', { name, exact: true }).filter({ hasText: text }).waitFor({ timeout: 20_000 });
const isConnected = (page) => status(page, 'Connection state', /^connected$/);
const isUnread = (page, count) => status(page, 'Unread', new RegExp(`^${count}$`));
const items = (page) => page.getByRole('list', { name: 'Notifications' }).getByRole('listitem');
const texts = (page) => items(page).getByRole('paragraph').allInnerTexts();

/** A device at which `user` has signed in. */
async function signedIn(device, user, label = user) {
  const it = await device(label);
  const page = await it.open(origin);
  await page.getByLabel('Your name').fill(user);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await isConnected(page);
  return it;
}

/** What the server has of a user's notifications. */
async function published(user) {
  const { publications } = await server.api('history', { channel: `user:#${user}`, limit: -1 });
  return publications.map(({ data }) => data.text);
}

/** The list is exactly these, newest first, once each. */
async function shows(page, expected) {
  const wanted = JSON.stringify(expected);
  await until(async () => JSON.stringify(await texts(page)) === wanted, `list ${wanted}`, 20_000).catch(async () => {
    assert.deepEqual(await texts(page), expected);
  });
}

act('a notification reaches all devices of its user, and nobody else', async (device) => {
  const [alice, bob] = [somebody('alice'), somebody('bob')];
  const phone = await signedIn(device, alice, 'phone');
  const laptop = await signedIn(device, alice, 'laptop');
  const other = await signedIn(device, bob);
  await notify([alice], 'your parcel is here <b>&amp;</b>');
  for (const { page } of [phone, laptop]) {
    await shows(page, ['your parcel is here <b>&amp;</b>']);
    await isUnread(page, 1);
  }
  // The fence: what comes to bob now came after what he must not get.
  await notify([alice, bob], 'for both');
  await shows(other.page, ['for both']);
  await shows(phone.page, ['for both', 'your parcel is here <b>&amp;</b>']);
});

act('what is read on one device is read on the others, and stays so', async (device) => {
  const alice = somebody('alice');
  const phone = await signedIn(device, alice, 'phone');
  const laptop = await signedIn(device, alice, 'laptop');
  await notify([alice], 'first');
  await notify([alice], 'second');
  await isUnread(phone.page, 2);
  await isUnread(laptop.page, 2);
  await items(phone.page).filter({ hasText: 'first' }).getByRole('button', { name: 'Mark read' }).click();
  await isUnread(phone.page, 1);
  await isUnread(laptop.page, 1);
  assert.equal(await items(laptop.page).filter({ hasText: 'first' }).getByRole('button').count(), 0);
  await isConnected(await laptop.open(origin));
  await isUnread(laptop.page, 1);
  await shows(laptop.page, ['second', 'first']);
});

act('a device that was offline catches up with what it missed', async (device) => {
  const [alice, bob] = [somebody('alice'), somebody('bob')];
  const phone = await signedIn(device, alice, 'phone');
  const laptop = await signedIn(device, alice, 'laptop');
  const other = await signedIn(device, bob);
  await notify([alice], 'before');
  await shows(phone.page, ['before']);
  const loads = [];
  phone.page.on('request', (request) => loads.push(new URL(request.url()).pathname));

  await phone.offline(true);
  await status(phone.page, 'Connection state', 'connecting');
  for (const text of ['one', 'two', 'three']) await notify([alice], text);
  await shows(laptop.page, ['three', 'two', 'one', 'before']);
  await items(laptop.page).filter({ hasText: 'before' }).getByRole('button').click();
  await isUnread(laptop.page, 3);
  assert.deepEqual(await texts(phone.page), ['before']);

  await phone.offline(false);
  await status(phone.page, 'Missed', 'missed while away: 3');
  await shows(phone.page, ['three', 'two', 'one', 'before']);
  await isUnread(phone.page, 3);
  assert.ok(!loads.includes('/notifications'), 'the list was loaded, history was not used');
  await notify([bob], 'nothing else');
  await shows(other.page, ['nothing else']);
});

act('a page that was closed has everything when it is opened again', async (device) => {
  const alice = somebody('alice');
  const phone = await signedIn(device, alice, 'phone');
  await phone.close();
  for (const text of ['one', 'two', 'three']) await notify([alice], text);
  await isConnected(await phone.open(origin));
  await notify([alice], 'four');
  await shows(phone.page, ['four', 'three', 'two', 'one']);
});

act('what history does not have any more comes from the backend', async (device) => {
  const alice = somebody('alice');
  const phone = await signedIn(device, alice, 'phone');
  await notify([alice], 'before');
  await shows(phone.page, ['before']);
  await phone.offline(true);
  await status(phone.page, 'Connection state', 'connecting');
  for (const text of ['one', 'two']) await notify([alice], text);
  await allSent();
  await server.api('history_remove', { channel: `user:#${alice}` });
  await phone.offline(false);
  await status(phone.page, 'Missed', 'missed while away: 2');
  await shows(phone.page, ['two', 'one', 'before']);
});

act('what is published while the server is dead is sent when it is back, once', async (device) => {
  const alice = somebody('alice');
  const phone = await signedIn(device, alice, 'phone');
  const laptop = await signedIn(device, alice, 'laptop');
  const expected = [];
  const publish = async (count) => {
    for (let n = 0; n < count; n++) {
      expected.unshift(`number ${expected.length}`);
      await notify([alice], expected[0]);
    }
  };
  await publish(10);
  const publishing = publish(40);
  await server.end('SIGKILL');
  await publishing;
  await publish(1);
  assert.ok((await unsent()) > 0, 'nothing was left to send');
  await server.launch();
  await allSent();
  for (const { page } of [phone, laptop]) {
    await shows(page, expected);
    await isUnread(page, expected.length);
  }
  // What is in the stream, and not only what the page makes of it: each once, in order.
  assert.deepEqual(await published(alice), expected.toReversed());
});

act('an answer that is lost makes nothing come twice', async (device) => {
  const [alice, bob] = [somebody('alice'), somebody('bob')];
  const phone = await signedIn(device, alice, 'phone');
  api.losing = 2;
  await notify([alice, bob], 'one');
  await notify([alice], 'two');
  await allSent();
  assert.equal(api.losing, 0);
  await shows(phone.page, ['two', 'one']);
  assert.deepEqual(await published(alice), ['one', 'two']);
  assert.deepEqual(await published(bob), ['one']);
});

act('what comes between subscribing and loading is neither lost nor undone', async (device) => {
  const alice = somebody('alice');
  const laptop = await signedIn(device, alice, 'laptop');
  await notify([alice], 'old');
  await shows(laptop.page, ['old']);

  // The list is made before, and arrives after, what happens in the meantime.
  const phone = await signedIn(device, alice, 'phone');
  let release;
  const released = new Promise((resolve) => (release = resolve));
  const asked = new Promise((resolve) => {
    phone.context.route('**/notifications', async (route) => {
      const response = await route.fetch();
      resolve();
      await released;
      await route.fulfill({ response });
    });
  });
  await phone.open(origin);
  await asked;
  await notify([alice], 'new');
  await items(laptop.page).filter({ hasText: 'old' }).getByRole('button').click();
  await shows(phone.page, ['new']);
  await isUnread(laptop.page, 1);
  await allSent();
  release();
  await shows(phone.page, ['new', 'old']);
  await isUnread(phone.page, 1);
});

act('a token is replaced before it expires, on the same connection', async (device) => {
  const phone = await signedIn(device, somebody('alice'), 'phone');
  await phone.page.evaluate(() => {
    window.states = [];
    const state = document.getElementById('state');
    new MutationObserver(() => window.states.push(state.textContent)).observe(state, { childList: true });
  });
  await status(phone.page, 'Tokens fetched', /^3$/);
  assert.deepEqual(await phone.page.evaluate(() => window.states), []);
});

act('who signs in again as somebody else sees nothing of the first', async (device) => {
  const [alice, bob] = [somebody('alice'), somebody('bob')];
  const phone = await signedIn(device, alice, 'phone');
  await notify([alice], 'private');
  await shows(phone.page, ['private']);
  await phone.page.getByRole('button', { name: 'Sign out' }).click();
  await phone.page.getByLabel('Your name').fill(bob);
  await phone.page.getByRole('button', { name: 'Sign in' }).click();
  await isConnected(phone.page);
  await phone.page.getByLabel('To', { exact: true }).fill(`${bob}, ${alice}`);
  await phone.page.getByLabel('Text').fill('hello');
  await phone.page.getByRole('button', { name: 'Notify' }).click();
  await shows(phone.page, ['hello']);
});

act('a tab stays with its user when another tab signs in as somebody else', async (device) => {
  const [alice, bob] = [somebody('alice'), somebody('bob')];
  const browserOfBoth = await signedIn(device, alice, 'laptop');
  const left = browserOfBoth.page;
  await notify([alice], 'for alice');
  await shows(left, ['for alice']);
  const tab = await browserOfBoth.context.newPage();
  await tab.goto(origin);
  await isConnected(tab);
  await tab.getByRole('button', { name: 'Sign out' }).click();
  await tab.getByLabel('Your name').fill(bob);
  await tab.getByRole('button', { name: 'Sign in' }).click();
  await isConnected(tab);
  // Its token has expired, and the cookie is bob's.
  await left.getByRole('alert').filter({ hasText: 'disconnected: unauthorized' }).waitFor();
  await notify([bob], 'for bob');
  await shows(tab, ['for bob']);
  await items(left).getByRole('button').click();
  await left.getByRole('alert').filter({ hasText: `not marked: this browser is signed in as ${bob} now` }).waitFor();
  assert.deepEqual(await texts(left), ['for alice']);
});

test('the backend refuses what is not its own', async () => {
  const key = { Authorization: `Bearer ${NOTIFY_KEY}` };
  const login = await post('/login', { user: 'mallory' }, { Origin: origin });
  const Cookie = login.headers.get('Set-Cookie').split(';')[0];
  assert.match(login.headers.get('Set-Cookie'), /; HttpOnly; SameSite=Lax$/);
  const refusals = [
    ['/login', { user: 'mallory' }, { Origin: 'http://evil.example' }, 403],
    ['/login', { user: 'mallory' }, {}, 403],
    ['/login', { user: 'user:#a,b' }, { Origin: origin }, 400],
    ['/notify', { to: ['mallory'], text: 'x' }, { Cookie, Origin: 'http://evil.example' }, 403],
    ['/notify', { to: ['mallory'], text: 'x' }, { Authorization: 'Bearer guess' }, 401],
    ['/notify', { to: ['mallory'], text: 'x' }, {}, 403],
    ['/notify', { to: ['mallory'], text: 'x' }, { Cookie: Cookie.replace('mallory', 'alice'), Origin: origin }, 401],
    ['/notify', { to: ['mallory'], text: 'x' }, { Cookie, Origin: origin, 'X-Page-User': 'alice' }, 401],
    ['/notify', { to: [], text: 'x' }, key, 400],
    ['/notify', { to: ['mallory'], text: '\ud800' }, key, 400],
    ['/notify', '['.repeat(10_000), key, 400],
    ['/notify', { to: ['mallory'], text: 'x'.repeat(20_000) }, key, 413],
    ['/read', { id: 1e300 }, { Cookie, Origin: origin }, 404],
    ['/read', { id: 1 }, { Cookie, Origin: origin }, 404],
    ['/elsewhere', {}, key, 404],
  ];
  for (const [path, body, headers, expected] of refusals) {
    const { status: found } = await post(path, body, headers);
    assert.equal(found, expected, `${path} ${JSON.stringify(body).slice(0, 60)} ${JSON.stringify(headers)}`);
  }
  assert.equal((await fetch(`${origin}/../store.py`)).status, 404);
  assert.equal(await unsent(), 0);
});

test('run.sh starts both and stops both, and the command of the README notifies', async (t) => {
  const [PORT, CAMPANILE_PORT] = [await freePort(), await freePort()].map(String);
  const DATA = join(directory, 'run');
  const example = new Process(EXAMPLE, './run.sh', [], { PORT, CAMPANILE_PORT, DATA, CAMPANILE_BIN: binary() });
  t.after(() => example.signal('SIGKILL'));
  await example.answers(`http://127.0.0.1:${PORT}/`);
  await example.answers(`http://127.0.0.1:${CAMPANILE_PORT}/ready`);

  const readme = await readFile(exampleFile(EXAMPLE, 'README.md'), 'utf8');
  const command = readme.match(/^curl .*\/notify [^]*?$(?=\n```)/m)?.[0];
  const key = example.output.match(/NOTIFY_KEY=(\S+)/)?.[1];
  assert.ok(command && key, `no command in the README, or no key in\n${example.output}`);
  const options = { env: { ...process.env, NOTIFY_KEY: key }, encoding: 'utf8', stdio: 'pipe' };
  assert.equal(execFileSync('sh', ['-c', command.replace(':3000', `:${PORT}`)], options), '{"id": 1}');

  const processes = () => [...example.output.matchAll(/the server is process (\d+)/g)].map(([, id]) => Number(id));
  process.kill(processes()[0], 'SIGKILL');
  await example.ready(() => processes().length === 2, 'another process of the server', 20_000);
  await example.answers(`http://127.0.0.1:${CAMPANILE_PORT}/ready`);

  await example.stop('SIGINT');
  await assert.rejects(fetch(`http://127.0.0.1:${PORT}/`));
  await assert.rejects(fetch(`http://127.0.0.1:${CAMPANILE_PORT}/ready`));
});
