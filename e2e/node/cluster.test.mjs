// The cluster's fault suite against nodes that share nothing: it has to see that this is no cluster.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

const RUN = fileURLToPath(new URL('../cluster/run.mjs', import.meta.url));

test('nodes that share nothing fail the suite', async () => {
  const { code, output } = await new Promise((resolve) => {
    execFile(process.execPath, [RUN, '--only', 'strangers', '--seed', '5'], (error, text) => {
      resolve({ code: error?.code ?? 0, output: text });
    });
  });
  assert.equal(code, 1, output);
  for (const fault of ['lostByRestart', 'gaps', 'told:epoch']) {
    assert.match(output, new RegExp(`FAULT ${fault} [1-9]`), output);
  }
  for (const [, path] of output.matchAll(/its log: (.+)$/gm)) await rm(path);
});
