// The playground as a newcomer uses it: `serve --dev`, a real browser, the visible controls.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { launch } from '../lib/browser.mjs';
import { Server } from '../lib/server.mjs';

const PATIENCE_MS = 10_000;

let server;
let apiKey;
let browser;
let page;
let complaints;

before(async () => {
  server = await Server.startDev();
  apiKey = server.output.match(/API key:\s*(\S+)/)?.[1];
  assert.ok(apiKey, `the banner shows no API key:\n${server.output}`);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

beforeEach(async () => {
  page = await browser.newPage({ viewport: { width: 1240, height: 1000 } });
  page.setDefaultTimeout(PATIENCE_MS);
  complaints = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('console', (message) => {
    if (/Content Security Policy/i.test(message.text())) complaints.push(message.text());
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(server.http) && !request.url().startsWith('data:')) {
      complaints.push(`request to ${request.url()}`);
    }
  });
});
afterEach(() => page.close());

/** A test whose failure leaves a picture of the page behind. */
function scene(name, act) {
  test(name, async (t) => {
    try {
      await act(t);
      assert.deepEqual(complaints, []);
    } catch (error) {
      const picture = join(await mkdtemp(join(tmpdir(), 'campanile-playground-')), 'failure.png');
      await page.screenshot({ path: picture, fullPage: true });
      t.diagnostic(`screenshot: ${picture}`);
      throw error;
    }
  });
}

const button = (name) => page.getByRole('button', { name, exact: true });
const state = (text) => page.getByRole('status', { name: 'Connection state' }).filter({ hasText: text }).waitFor();
const entries = (log) => page.getByRole('log', { name: log }).getByRole('listitem');
const entry = (log, text) => entries(log).filter({ hasText: text }).first().waitFor();
const publish = (channel, data) =>
  fetch(`${server.http}/api/publish`, {
    method: 'POST',
    headers: { 'X-API-Key': apiKey },
    body: JSON.stringify({ channel, data }),
  }).then(async (answer) => assert.ok((await answer.json()).result, `HTTP ${answer.status}`));

async function subscribeTo(channel) {
  await page.goto(`${server.http}/`);
  await page.waitForFunction(() => document.querySelector('#token').value !== '');
  await button('Connect').click();
  await state('connected');
  await page.getByLabel('Channel').fill(channel);
  await button('Subscribe').click();
  await entry('Events', `${channel}: from now on`);
}

scene('a newcomer connects, subscribes, publishes and sees the message', async () => {
  await subscribeTo('first');
  await page.getByLabel('JSON').fill('{"text":"ding dong"}');
  await button('Publish').click();
  await entry('Messages', '{"text":"ding dong"}');
  await page.getByRole('status', { name: 'Publish result' }).filter({ hasText: 'published' }).waitFor();
  await entry('Frames', '"publish":{"channel":"first"');
});

scene('a publication of the API appears', async () => {
  await subscribeTo('news');
  await publish('news', { from: 'api' });
  await entry('Messages', '{"from":"api"}');
});

scene('the shown curl command is the publish call', async () => {
  await subscribeTo('curl');
  await page.getByLabel('JSON').fill(`{"text":"it's ringing"}`);
  const command = await page.getByRole('region', { name: 'curl command' }).innerText();
  execFileSync('sh', ['-c', command], { env: { ...process.env, API_KEY: apiKey }, stdio: 'pipe' });
  await entry('Messages', `it's ringing`);
});

scene('a payload that is no JSON is refused on the page', async () => {
  await subscribeTo('typo');
  await page.getByLabel('JSON').fill('{text');
  await button('Publish').click();
  await page.getByRole('status', { name: 'Publish result' }).filter({ hasText: 'not valid JSON' }).waitFor();
});

scene('a killed connection comes back by itself', async () => {
  await subscribeTo('kill');
  await publish('kill', { n: 1 });
  await entry('Messages', '{"n":1}');
  await button('Kill the connection').click();
  await entry('Events', 'kill: recovered, 0 caught up');
});

scene('what was published while the line was down is recovered', async () => {
  await subscribeTo('bells');
  await publish('bells', { n: 0 });
  await entry('Messages', '{"n":0}');
  await page.getByLabel('Keep the line down').check();
  await button('Kill the connection').click();
  await state('connecting');
  for (const n of [1, 2, 3]) await publish('bells', { n });
  await page.getByLabel('Keep the line down').uncheck();
  await entry('Events', 'bells: recovered, 3 caught up');
  await entry('Messages', '{"n":3}');
  assert.deepEqual(await entries('Messages').locator('code').allInnerTexts(), [0, 1, 2, 3].map((n) => `{"n":${n}}`));
  const fact = (name) => page.locator('dl > div').filter({ has: page.getByText(name, { exact: true }) }).locator('dd').innerText();
  assert.equal(await fact('recovered'), 'true');
  assert.equal(await fact('wasRecovering'), 'true');
  assert.equal(await fact('Offset'), '4');
});
