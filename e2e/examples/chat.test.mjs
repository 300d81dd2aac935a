// The example `chat` as its users have it: its own program, a browser context for each device, terminals that are
// nothing but WebSockets.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { launch } from '../lib/browser.mjs';
import { collect, newClient, subscribed } from '../lib/client.mjs';
import { Process, exampleBinary, scene } from '../lib/example.mjs';
import { freePort } from '../lib/server.mjs';
import { until, within } from '../lib/wait.mjs';

let port;
let origin;
let chat;
let browser;

before(async () => {
  port = await freePort();
  origin = `http://127.0.0.1:${port}`;
  chat = new Process('chat', exampleBinary('chat'), ['--port', `${port}`]);
  await chat.answers(origin);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await chat?.stop();
});

const act = (name, play) => scene(name, () => ({ browser, origins: [origin] }), play);

let count = 0;
/** A user or a room that no other test knows. */
const fresh = (name) => `${name}-${++count}`;

const status = (page, name, expected) => until(
  async () => (await page.getByRole('status', { name, exact: true }).textContent()).match(expected),
  `${expected} as ${name}`,
);
const type = async (page, line) => {
  await page.getByLabel('Say').fill(line);
  await page.getByRole('button', { name: 'Send' }).click();
};
const alert = (page) => page.getByRole('alert');

/** What is shown, without the times. */
const lines = (page) => page.getByRole('list', { name: 'Messages' }).locator('li span').allTextContents();
const members = (page) => page.getByRole('list', { name: 'Here' }).locator('li').allTextContents();

async function shows(read, page, expected) {
  const wanted = JSON.stringify(expected);
  await until(async () => JSON.stringify(await read(page)) === wanted, wanted).catch(async () => {
    assert.deepEqual(await read(page), expected);
  });
}

/** Everything but what was for this page alone. */
const said = async (page) => page.getByRole('list', { name: 'Messages' }).locator('[data-type=text] span').allTextContents();

/** A page in a room. */
async function entered(device, user, room, label = user) {
  const its = await device(label);
  const page = await its.open(origin);
  page.on('console', (message) => message.type() === 'error' && !/ERR_INTERNET_DISCONNECTED/.test(message.text())
    && its.complaints.push(message.text()));
  await page.getByLabel('Your name').fill(user);
  await page.getByRole('button', { name: 'Enter' }).click();
  await status(page, 'Room', /^main$/);
  await type(page, `/join ${room}`);
  await status(page, 'Room', new RegExp(`^${room}$`));
  return its;
}

/** A WebSocket and no more; what it is sent, in lines. */
class Terminal {
  #lines = [];

  static async open(t, user) {
    const terminal = new Terminal();
    terminal.socket = new WebSocket(`ws://127.0.0.1:${port}/connection/plain/terminal:${user}`);
    t.after(() => terminal.socket.terminate());
    terminal.socket.on('message', (data) => terminal.#lines.push(...data.toString().split('\n')));
    await within(once(terminal.socket, 'open'), `terminal of ${user}`);
    await terminal.reads('you are in main');
    return terminal;
  }

  send(line) {
    this.socket.send(line);
  }

  /** Waits for a line; returns those before it that were not waited for. */
  async reads(line) {
    const at = await until(() => this.#lines.indexOf(line) + 1, `line '${line}'`).catch((error) => {
      throw new Error(`${error.message}: ${JSON.stringify(this.#lines)}`);
    });
    return this.#lines.splice(0, at).slice(0, -1);
  }

  async answers(line, answer) {
    this.send(line);
    return this.reads(answer);
  }
}

act('what is said in a room is there for all who are in it, and for those who come later', async (device) => {
  const [ann, bob, room] = [fresh('ann'), fresh('bob'), fresh('room')];
  const first = await entered(device, ann, room);
  const second = await entered(device, bob, room);
  await type(first.page, 'hello <b>bob</b>');
  await shows(said, second.page, [`[${ann}]: hello <b>bob</b>`]);
  await type(second.page, 'hello ann');
  const both = [`[${ann}]: hello <b>bob</b>`, `[${bob}]: hello ann`];
  await shows(said, first.page, both);
  const late = await entered(device, fresh('eve'), room);
  await shows(said, late.page, both);
  const elsewhere = await entered(device, fresh('eve'), fresh('room'));
  await shows(said, elsewhere.page, []);
});

act('who is here follows joins and leaves, and counts devices', async (device) => {
  const [ann, bob, room] = [fresh('ann'), fresh('bob'), fresh('room')];
  const laptop = await entered(device, ann, room, 'laptop');
  await shows(members, laptop.page, [ann]);
  const phone = await entered(device, ann, room, 'phone');
  const other = await entered(device, bob, room);
  for (const { page } of [laptop, phone, other]) await shows(members, page, [`${ann} ×2`, bob]);
  await phone.close();
  await shows(members, other.page, [ann, bob]);
  await type(laptop.page, `/join ${fresh('room')}`);
  await shows(members, other.page, [bob]);
});

act('who types is shown as typing, until they have said it or have stopped', async (device) => {
  const [ann, bob, room] = [fresh('ann'), fresh('bob'), fresh('room')];
  const first = await entered(device, ann, room);
  const second = await entered(device, bob, room);
  await first.page.getByLabel('Say').pressSequentially('hel');
  await status(second.page, 'Typing', new RegExp(`^${ann} typing…$`));
  await status(first.page, 'Typing', /^$/);
  await first.page.getByRole('button', { name: 'Send' }).click();
  await shows(said, second.page, [`[${ann}]: hel`]);
  assert.equal(await second.page.getByRole('status', { name: 'Typing' }).textContent(), '');
  await first.page.getByLabel('Say').pressSequentially('and nothing');
  await status(second.page, 'Typing', /typing…$/);
  await status(second.page, 'Typing', /^$/);
  // None of it is kept.
  await shows(said, (await entered(device, fresh('eve'), room)).page, [`[${ann}]: hel`]);
});

act('a private message is on all devices of both, and nobody else\'s', async (device, t) => {
  const [ann, bob, eve, room] = [fresh('ann'), fresh('bob'), fresh('eve'), fresh('room')];
  const laptop = await entered(device, ann, room, 'laptop');
  const phone = await entered(device, ann, fresh('room'), 'phone');
  const from = await entered(device, bob, room, 'from');
  const tablet = await entered(device, bob, room, 'tablet');
  const other = await entered(device, eve, room);
  const terminal = await Terminal.open(t, ann);
  await type(from.page, `/msg ${ann} a secret`);
  const secret = `[${bob} to ${ann}]: a secret`;
  for (const { page } of [laptop, phone, from, tablet]) await shows(lines, page, [secret]);
  await terminal.reads(secret);
  // The fence: what comes to eve now came after what she must not get.
  await type(from.page, `/msg ${eve} for you`);
  await shows(lines, other.page, [`[${bob} to ${eve}]: for you`]);
  await type(from.page, '/msg nobody-here hello');
  await shows((page) => alert(page).allTextContents(), from.page, ['nobody called nobody-here is here']);
});

act('what cannot be said is refused in words', async (device) => {
  const room = fresh('room');
  const { page } = await entered(device, fresh('ann'), room);
  const says = (text) => shows((shown) => alert(shown).allTextContents(), page, [text]);
  await type(page, 'x'.repeat(501));
  await says('a message has 500 characters at most');
  await type(page, '   ');
  await says('an empty message says nothing');
  await type(page, '/join no such room');
  await says('a name is 1 to 20 letters, digits, - and _');
  await status(page, 'Room', new RegExp(`^${room}$`));
  await type(page, '/name <b>');
  await says('a name is 1 to 20 letters, digits, - and _');
  await type(page, '/dance');
  await until(async () => (await lines(page)).some((line) => line.startsWith('/list')), 'help');
  await type(page, '/list');
  await until(async () => (await lines(page)).some((line) => line.includes(`${room} (1)`)), 'list of rooms');
  assert.deepEqual(await said(page), []);
});

act('a page that was offline has what it missed, once', async (device) => {
  const [ann, bob, room] = [fresh('ann'), fresh('bob'), fresh('room')];
  const laptop = await entered(device, ann, room, 'laptop');
  const other = await entered(device, bob, room);
  await type(other.page, 'before');
  await shows(said, laptop.page, [`[${bob}]: before`]);
  const histories = [];
  laptop.page.on('websocket', (socket) => socket.on('framesent', ({ payload }) => {
    if (payload.includes('"history"')) histories.push(payload);
  }));
  await laptop.offline(true);
  await status(laptop.page, 'Connection state', /^connecting$/);
  const expected = ['before', 'one', 'two', 'three'].map((text) => `[${bob}]: ${text}`);
  for (const [index, text] of ['one', 'two', 'three'].entries()) {
    await type(other.page, text);
    await shows(said, other.page, expected.slice(0, index + 2));
  }
  await shows(said, laptop.page, expected.slice(0, 1));
  await laptop.offline(false);
  await status(laptop.page, 'Connection state', /^connected$/);
  await shows(said, laptop.page, expected);
  await type(laptop.page, 'back');
  await shows(said, laptop.page, [...expected, `[${ann}]: back`]);
  assert.deepEqual(histories, [], 'recovered by the server, not loaded');
});

act('a terminal talks with a browser', async (device, t) => {
  const [ann, bob, room] = [fresh('ann'), fresh('bob'), fresh('room')];
  const { page } = await entered(device, ann, room);
  await type(page, 'early');
  await shows(said, page, [`[${ann}]: early`]);
  const terminal = await Terminal.open(t, bob);
  assert.deepEqual(await terminal.answers(`/join ${room}`, `you are in ${room}`), [`[${ann}]: early`]);
  await shows(members, page, [ann, bob]);
  await terminal.answers('hello', `[${bob}]: hello`);
  await shows(said, page, [`[${ann}]: early`, `[${bob}]: hello`]);
  await type(page, 'hello terminal');
  await terminal.reads(`[${ann}]: hello terminal`);
  await terminal.answers(`/msg ${ann} psst`, `[${bob} to ${ann}]: psst`);
  await until(async () => (await lines(page)).includes(`[${bob} to ${ann}]: psst`), 'private message');
  await terminal.answers('/name queen', 'you are called queen');
  await shows(members, page, [ann, `queen (${bob})`]);
  await terminal.answers('/who', `queen (${bob})`);
  await terminal.answers('/list', `${room} (2)`);
  terminal.socket.close();
  await shows(members, page, [ann]);
});

test('a terminal is answered in words, whatever it sends', async (t) => {
  const terminal = await Terminal.open(t, fresh('bob'));
  await terminal.answers('', 'an empty message says nothing');
  await terminal.answers('a\u001b[2Jb', 'a message is one line of text');
  await terminal.answers('x'.repeat(501), 'a message has 500 characters at most');
  await terminal.answers('/join #', 'a name is 1 to 20 letters, digits, - and _');
  await terminal.answers('/msg nobody-here hello', 'nobody called nobody-here is here');
  await terminal.answers('/dance', 'anything else    is said in the room');
  await terminal.answers(Buffer.from([0xff]), 'that was not text');
});

test('the terminals of a user share a screen and a room', async (t) => {
  const [bob, room] = [fresh('bob'), fresh('room')];
  const first = await Terminal.open(t, bob);
  const second = await Terminal.open(t, bob);
  await first.answers(`/join ${room}`, `you are in ${room}`);
  await second.reads(`you are in ${room}`);
  await second.answers('hello', `[${bob}]: hello`);
  assert.deepEqual(await first.answers('/list', `${room} (1)`).then((before) => before.at(-1)), `[${bob}]: hello`);
});

test('a client can neither speak for others nor read what is theirs', async (t) => {
  const [mallory, bob, room] = [fresh('mallory'), fresh('bob'), fresh('room')];
  const endpoint = `ws://127.0.0.1:${port}/connection/websocket`;
  const client = newClient(t, endpoint, { data: { name: mallory } });
  client.connect();
  const { sub } = await subscribed(client, `room:${room}`);
  await sub.publish({ text: 'I am bob', from: bob, name: bob, at: 1 }).catch(() => {});
  await sub.publish({ text: 'I am mallory' });
  const { publications } = await sub.history({ limit: 50 });
  const senders = publications.map(({ data: { from, name } }) => [from, name]);
  assert.ok(senders.length > 0 && senders.every(([from, name]) => from === mallory && name === mallory), `${senders}`);

  const denied = { code: 103 };
  await assert.rejects(client.publish(`terminal:${bob}`, { text: 'x' }), denied);
  await assert.rejects(client.publish(`room:${room}-2`, { text: 'x' }), denied);
  await assert.rejects(client.publish(`room:${room}-2`, 'typing'), denied);
  await assert.rejects(client.history(`room:${room}-2`, { limit: 1 }), denied);
  await assert.rejects(client.rpc('no-such-method', {}), { code: 104 });
  const screen = client.newSubscription(`terminal:${bob}`);
  const refused = once(screen, 'unsubscribed');
  screen.subscribe();
  assert.equal((await within(refused, 'refusal'))[0].code, 103);
});

/** A client of the SDK that has come in. */
async function enter(t, name) {
  const client = newClient(t, `ws://127.0.0.1:${port}/connection/websocket`, { data: { name } });
  const welcome = once(client, 'connected');
  client.connect();
  await within(welcome, `connection of ${name}`);
  return client;
}

test('pages are made to ask who is there by those only who are in the room and have another name', async (t) => {
  const [ann, eve, room] = [fresh('ann'), fresh('eve'), fresh('room')];
  const [inside, outside] = [await enter(t, ann), await enter(t, eve)];
  const { sub } = await subscribed(inside, `room:${room}`);
  const { seen } = collect(sub, ({ data }) => data.type);
  for (let n = 0; n < 20; n++) await outside.rpc('name', { name: `eve-${n}`, room });
  for (const name of [ann, 'queen', 'queen']) await inside.rpc('name', { name, room });
  await sub.publish({ text: 'the last' });
  await until(() => seen.includes('text'), 'message');
  assert.deepEqual(seen, ['people', 'text']);
});

act('a page does not ask once for each of many changes', async (device, t) => {
  const [ann, bob, room] = [fresh('ann'), fresh('bob'), fresh('room')];
  let questions = 0;
  const counted = async (label) => {
    const its = await device(label);
    its.context.on('page', (page) => page.on('websocket', (socket) => socket.on('framesent', ({ payload }) => {
      if (payload.includes('"members"')) questions += 1;
    })));
    return its;
  };
  const { page } = await entered(counted, bob, room);
  const inside = await enter(t, ann);
  await subscribed(inside, `room:${room}`);
  await shows(members, page, [ann, bob]);
  const before = questions;
  for (let n = 1; n <= 300; n++) await inside.rpc('name', { name: `ann_${n}`, room });
  await shows(members, page, [`ann_300 (${ann})`, bob]);
  assert.ok(questions - before <= 60, `${questions - before} questions`);
});

test('the page may come from every address of the server, and from nowhere else', async (t) => {
  const hasIpv6 = Object.values(networkInterfaces()).flat().some(({ address }) => address === '::1');
  for (const [host, address] of [['0.0.0.0', '127.0.0.1'], ...(hasIpv6 ? [['::1', '[::1]']] : [])]) {
    const on = await freePort();
    const program = new Process('chat', exampleBinary('chat'), ['--port', `${on}`, '--address', host]);
    await program.answers(`http://${address}:${on}`);
    const url = `ws://${address}:${on}/connection/websocket`;
    const own = new WebSocket(url, { origin: `http://${address}:${on}` });
    t.after(() => own.terminate());
    await within(once(own, 'open'), `connection of a page of ${address}`);
    const foreign = new WebSocket(url, { origin: `http://${address}:${on + 1}` });
    assert.match(`${(await within(once(foreign, 'error'), 'refusal'))[0]}`, /403/);
    await program.stop();
  }
});

test('a name is needed to come in', async (t) => {
  const endpoint = `ws://127.0.0.1:${port}/connection/websocket`;
  for (const [data, code] of [[{ name: 'a b' }, 400], [{}, 107]]) {
    const client = newClient(t, endpoint, { data });
    const refused = once(client, 'disconnected');
    client.connect();
    assert.equal((await within(refused, 'refusal'))[0].code, code);
  }
  const terminal = new WebSocket(`ws://127.0.0.1:${port}/connection/plain/terminal:a%20b`);
  const [code, reason] = await within(once(terminal, 'close'), 'refusal');
  assert.deepEqual([code, `${reason}`], [4500, 'a name is 1 to 20 letters, digits, - and _']);
});
