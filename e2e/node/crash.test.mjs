// The crash harness against a server that keeps nothing: it has to find what is lost, and that everybody was told.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

const RUN = fileURLToPath(new URL('../crash/run.mjs', import.meta.url));

/** The exit code and the output of a short run. */
function run(...args) {
  return new Promise((resolve) => {
    const all = [RUN, '--engine', 'memory', '--kills', '3', '--seed', '5', ...args];
    execFile(process.execPath, all, (error, output) => resolve({ code: error?.code ?? 0, output }));
  });
}

test('a server without a memory fails the crash harness', async () => {
  const { code, output } = await run();
  assert.equal(code, 1, output);
  assert.match(output, /^FAULT lostByRestart [1-9]/m);
  assert.match(output, /^FAULT told:epoch [1-9]/m);
  for (const [, path] of output.matchAll(/^(?:the log of the run|the server's directory): (.+)$/gm)) {
    await rm(path, { recursive: true });
  }
});

test('a server without a memory tells everybody who missed something when it was killed', async () => {
  const { code, output } = await run('--expect', 'announcement');
  assert.equal(code, 0, output);
  assert.match(output, /^no faults$/m);
});
