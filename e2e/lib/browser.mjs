// Chromium, and pages of an origin that is not the server's.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { chromium } from 'playwright-core';

const CHROMIUM = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';
// No sandbox: test machines run as root. The rest keeps the browser from calling home.
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export async function launch() {
  assert.ok(existsSync(CHROMIUM), `${CHROMIUM} is missing: run e2e/install.sh or set CHROMIUM_BIN`);
  return chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
}

/** A web server of an empty page, which has one origin by each name of this machine. */
export async function emptyPages() {
  const server = createServer((_, response) => {
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    response.end('<!doctype html><title>elsewhere</title>');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  return {
    allowed: `http://127.0.0.1:${port}`,
    stranger: `http://localhost:${port}`,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
