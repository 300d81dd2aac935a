// Chromium, pages of an origin that is not the server's, and a server that knows one of those origins.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { chromium } from 'playwright-core';
import { Server } from './server.mjs';
import { EVERY_TRANSPORT } from './ways.mjs';

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

const PATIENCE_MS = 10_000;

export async function launch() {
  assert.ok(existsSync(CHROMIUM), `${CHROMIUM} is missing: run e2e/install.sh or set CHROMIUM_BIN`);
  return chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
}

/** A web server of an empty page, which has one origin by each name of this machine. */
async function emptyPages() {
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

const OPEN = { allow_subscribe_for_client: true, allow_publish_for_client: true };
const NAMESPACES = [
  // Publications only: no joins among what a page counts.
  { name: 'news', ...OPEN, presence: true, history_size: 10, history_ttl: '300s', force_recovery: true },
  { name: 'bytes', ...OPEN, presence: true, publication_data_format: 'binary' },
];

/** A server with every transport, a browser, and pages of which one origin is allowed. */
export class Stage {
  static async set() {
    const stage = new Stage();
    stage.pages = await emptyPages();
    stage.server = await Server.start({
      client: { allowed_origins: [stage.pages.allowed] },
      namespaces: NAMESPACES,
      websocket: { compression: true },
      ...EVERY_TRANSPORT,
    });
    stage.browser = await launch();
    return stage;
  }

  async clear() {
    await this.browser.close();
    await this.server.stop();
    await this.pages.close();
  }

  /** A page that keeps what happens to it in `seen`. */
  async page(t, origin = this.pages.allowed) {
    const page = await this.browser.newPage();
    t.after(() => page.close());
    page.setDefaultTimeout(PATIENCE_MS);
    await page.goto(origin);
    await page.evaluate(() => {
      window.seen = [];
    });
    return page;
  }
}

/** What the page has seen once it is `count` things. */
export async function seen(page, count) {
  await page.waitForFunction((wanted) => window.seen.length >= wanted, count);
  return page.evaluate(() => window.seen);
}
