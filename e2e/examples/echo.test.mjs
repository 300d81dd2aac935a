// The example `echo` as its users have it: its program, its page in two browser contexts, and frames that no browser
// sends.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { launch } from '../lib/browser.mjs';
import { Process, exampleBinary, exampleFile, scene } from '../lib/example.mjs';
import { CLOSE, CONTINUATION, Frames, PING, PONG, TEXT, closing, frame } from '../lib/frames.mjs';
import { freePort } from '../lib/server.mjs';
import { until, within } from '../lib/wait.mjs';

const EXAMPLE = 'echo';

let port;
let origin;
let program;
let browser;

before(async () => {
  port = await freePort();
  origin = `http://127.0.0.1:${port}`;
  program = new Process(EXAMPLE, exampleBinary(EXAMPLE), ['--port', `${port}`]);
  await program.answers(origin);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await program?.stop();
});

const act = (name, play) => scene(name, () => ({ browser, origins: [origin, origin.replace('http', 'ws')] }), play);

/** What the page shows under this name. */
const shown = (page, name) => page.getByRole('status', { name, exact: true });
const status = (page, name, text) => shown(page, name).filter({ hasText: text }).waitFor();
const isOpen = (page) => status(page, 'Connection state', /^open$/);
/** The first words of the messages that came back, oldest first. */
const messages = async (page) => (await page.getByRole('listitem').allInnerTexts()).toReversed();
const press = (page, name) => page.getByRole('button', { name, exact: true }).click();

async function opened(device, name) {
  const page = await (await device(name)).open(origin);
  await isOpen(page);
  return page;
}

async function sendText(page, text) {
  await page.getByLabel('Text').fill(text);
  await press(page, 'Send text');
}

async function sendBinary(page, size) {
  await page.getByLabel('Bytes').fill(`${size}`);
  await press(page, 'Send binary');
}

async function close(page, code, reason) {
  await page.getByLabel('Code').fill(`${code}`);
  await page.getByLabel('Reason').fill(reason);
  await press(page, 'Close');
}

/** The last message to come back is this one, and the page has found it the same as what it sent. */
async function cameBack(page, what) {
  await page.getByRole('listitem').first().filter({ hasText: `${what}` }).waitFor();
  assert.match((await messages(page)).at(-1), / · the same · \d+\.\d ms$/);
}

act('text and bytes of two users come back to whom they are from, as they were', async (device) => {
  const [alice, bob] = [await opened(device, 'alice'), await opened(device, 'bob')];
  await sendText(alice, 'of alice: grüße, 世界 𝄞 <b>&amp;</b>');
  await sendText(bob, 'of bob');
  await cameBack(alice, 'of alice: grüße, 世界 𝄞 <b>&amp;</b>');
  await cameBack(bob, 'of bob');
  await sendText(alice, '');
  await cameBack(alice, 'text, 0 bytes:');
  // 256 are every value of a byte once; 65,536 are the limit.
  for (const size of [0, 256, 60_000, 65_536]) {
    await sendBinary(alice, size);
    await cameBack(alice, `binary, ${size} bytes:`);
  }
  assert.equal((await messages(alice)).length, 6);
  assert.equal((await messages(bob)).length, 1);
  assert.match(await shown(alice, 'Round trip').innerText(), /^\d+\.\d ms$/);
});

act('a hundred messages at once come back in order, to each of two users', async (device) => {
  const pages = [await opened(device, 'alice'), await opened(device, 'bob')];
  await Promise.all(pages.map((page) => press(page, 'Send 100 messages at once')));
  for (const page of pages) {
    await status(page, 'Came back', /^100$/);
    const found = (await messages(page)).map((text) => text.match(/: (\d+) of 100 · the same/)?.[1]);
    assert.deepEqual(found, Array.from({ length: 100 }, (_, at) => `${at + 1}`));
  }
});

act('a close comes back with its code and reason, and the other user notices nothing', async (device) => {
  const [alice, bob] = [await opened(device, 'alice'), await opened(device, 'bob')];
  for (const [code, reason] of [[4000, 'bye'], [1000, ''], [3999, 'auf Wiedersehen, 再见'], [4999, 'x'.repeat(123)]]) {
    await close(alice, code, reason);
    await status(alice, 'Connection state', /^closed$/);
    await status(alice, 'Closed with', new RegExp(`^${code}${reason ? ` ${reason}` : ''}$`));
    await press(alice, 'Open');
    await isOpen(alice);
  }
  // The browser's own rules.
  await close(alice, 1001, '');
  await alice.getByRole('alert').filter({ hasText: '1001' }).waitFor();
  await close(alice, 4000, 'x'.repeat(124));
  await alice.getByRole('alert').filter({ hasText: '123' }).waitFor();
  await sendText(alice, 'still here');
  await cameBack(alice, 'still here');
  await sendText(bob, 'never gone');
  await cameBack(bob, 'never gone');
});

act('a message above the limit ends its own connection with 1009, and no other', async (device) => {
  const [alice, bob] = [await opened(device, 'alice'), await opened(device, 'bob')];
  for (const name of ['65,537 bytes of text', '65,537 bytes of binary']) {
    await sendText(alice, 'before');
    await cameBack(alice, 'before');
    await press(alice, name);
    await status(alice, 'Closed with', /^1009 message too big$/);
    await press(alice, 'Open');
    await isOpen(alice);
  }
  assert.equal(await shown(bob, 'Connection state').innerText(), 'open');
  await sendText(bob, 'still here');
  await cameBack(bob, 'still here');
});

act('a subprotocol that nobody speaks is no connection', async (device) => {
  const page = await opened(device, 'alice');
  await press(page, 'A subprotocol that nobody speaks');
  await status(page, 'Closed with', /^1006$/);
  await press(page, 'Open');
  await isOpen(page);
});

test('a page of another origin gets no connection', async (t) => {
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto('data:text/html,elsewhere');
  const url = `${origin.replace('http', 'ws')}/connection/echo`;
  const code = await page.evaluate((to) => new Promise((resolve) => {
    new WebSocket(to).onclose = (event) => resolve(event.code);
  }), url);
  assert.equal(code, 1006);
});

const BROKEN_RULES = [
  ['a frame without a mask', frame(TEXT, 'x', { isMasked: false }), 1002],
  ['a reserved bit', frame(TEXT, 'x', { flags: 0xc0 }), 1002],
  ['text that is not UTF-8', frame(TEXT, Buffer.from([0xff])), 1007],
  ['a ping in two frames', frame(PING, 'x', { flags: 0 }), 1002],
  ['a ping of 126 bytes', frame(PING, 'x'.repeat(126)), 1002],
  ['an unknown kind of frame', frame(3), 1002],
  ['a continuation of nothing', frame(CONTINUATION, 'x'), 1002],
  ['a close with half a code', frame(CLOSE, 'x'), 1002],
  ['a close code that must not be sent', frame(CLOSE, closing(1006)), 1002],
];

act('a broken rule ends its own connection with the documented code, and no other', async (device, t) => {
  const pages = [await opened(device, 'alice'), await opened(device, 'bob')];
  for (const [name, bytes, expected] of BROKEN_RULES) {
    const client = await Frames.open(t, `${origin}/connection/echo`);
    client.send(frame(TEXT, 'before'), bytes, frame(TEXT, 'after'));
    assert.deepEqual(await client.next(), { opcode: TEXT, payload: Buffer.from('before') }, name);
    const { opcode, payload } = await client.next();
    assert.deepEqual([opcode, payload.readUInt16BE(0)], [CLOSE, expected], name);
    await within(client.ended, `end of the connection after ${name}`);
  }
  await until(() => program.output.includes('fragmented control frame'), 'line in the log');
  for (const page of pages) {
    await sendText(page, 'still here');
    await cameBack(page, 'still here');
    assert.equal(await shown(page, 'Closed with').innerText(), '–');
  }
});

test('a ping is answered with what was in it, also in the middle of a message', async (t) => {
  const client = await Frames.open(t, `${origin}/connection/echo`);
  for (const payload of ['', 'x', '\u0000ÿ'.repeat(41)]) {
    client.send(frame(PING, payload));
    assert.deepEqual(await client.next(), { opcode: PONG, payload: Buffer.from(payload) });
  }
  client.send(frame(TEXT, 'hel', { flags: 0 }), frame(PING, 'between'), frame(CONTINUATION, 'lo'));
  assert.deepEqual(await client.next(), { opcode: PONG, payload: Buffer.from('between') });
  assert.deepEqual(await client.next(), { opcode: TEXT, payload: Buffer.from('hello') });
});

test('frames.py finds everything as it is documented', () => {
  const options = { encoding: 'utf8', stdio: 'pipe' };
  const found = execFileSync(exampleFile(EXAMPLE, 'frames.py'), ['--port', `${port}`], options);
  assert.match(found, /^a ping +pong 'are you there\?'$/m);
  assert.match(found, /^text that is not UTF-8 +close 1007 /m);
  assert.equal(found.trim().split('\n').length, 10);
});
