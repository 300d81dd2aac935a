// The JavaScript of the README, run as it stands there against `serve --dev`.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Server } from '../lib/server.mjs';
import { until } from '../lib/wait.mjs';

/** Beside `node_modules`, so that its imports are found. */
const SCRIPT = fileURLToPath(new URL('../readme-snippet.tmp.mjs', import.meta.url));

/** Node.js before version 22 has no WebSocket of its own. */
const WEBSOCKET = "import WebSocket from 'ws';\nglobalThis.WebSocket ??= WebSocket;\n";

let server;
before(async () => (server = await Server.startDev()));
after(() => server.stop());

test('the snippet of the README prints what is published', async (t) => {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const snippet = readme.match(/```js\n([^]*?)```/)?.[1];
  assert.ok(snippet?.includes('ws://127.0.0.1:8000/'), 'the README has no snippet, or for another address');
  await writeFile(SCRIPT, WEBSOCKET + snippet.replace('ws://127.0.0.1:8000/connection/websocket', server.ws));
  t.after(() => rm(SCRIPT));

  const script = spawn(process.execPath, [SCRIPT], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => script.kill());
  let printed = '';
  script.stdout.on('data', (chunk) => (printed += chunk));

  const key = server.output.match(/API key:\s*(\S+)/)?.[1];
  const call = async (method, body) => {
    const answer = await fetch(`${server.http}/api/${method}`, {
      method: 'POST',
      headers: { 'X-API-Key': key },
      body: JSON.stringify(body),
    });
    return (await answer.json()).result;
  };
  await until(async () => (await call('presence_stats', { channel: 'news' })).num_clients === 1, 'subscriber');
  await call('publish', { channel: 'news', data: { hello: 'world' } });
  await until(() => printed === "{ hello: 'world' }\n", `publication in ${JSON.stringify(printed)}`);
});
