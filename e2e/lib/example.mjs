// What the tests of the examples share: the example's own files and processes, and browsers that stand for the
// devices of its users. What an example does is its test's business.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { binary, Server } from './server.mjs';
import { until, within } from './wait.mjs';

const PATIENCE_MS = 10_000;

/** The path of an example's file, or of its directory. */
export const exampleFile = (example, file = '') =>
  fileURLToPath(new URL(`../../examples/${example}/${file}`, import.meta.url));

/** The program of an example, built to where the server is. */
export function exampleBinary(example) {
  const path = join(dirname(binary()), example);
  assert.ok(existsSync(path), `${path} is missing: build it as the server, with cargo build -p ${example}`);
  return path;
}

/**
 * The server with the example's `campanile.toml`, to which pages of `origins` may connect. Its API key and token
 * secret are the suite's: `API_KEY` of `server.mjs` and `SECRET` of `jwt.mjs`.
 */
export const startServer = (example, origins, env = {}) =>
  Server.startFile(exampleFile(example, 'campanile.toml'), {
    CAMPANILE_CLIENT_ALLOWED_ORIGINS: origins.join(' '),
    ...env,
  });

/** Another process of an example, with what it prints. */
export class Process {
  #child;
  #output = '';

  /** Starts `command` in the example's directory, in a process group of its own. */
  constructor(example, command, args, env = {}) {
    this.name = `${example}: ${command}`;
    const { CAMPANILE_BIN: _, ...inherited } = process.env;
    this.#child = spawn(command, args, {
      cwd: exampleFile(example),
      env: { ...inherited, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const keep = (chunk) => {
      this.#output = (this.#output + chunk).slice(-64 * 1024);
    };
    this.#child.stdout.on('data', keep);
    this.#child.stderr.on('data', keep);
    this.exited = new Promise((resolve) => {
      this.#child.on('error', (error) => resolve({ code: null, signal: error.message }));
      this.#child.on('exit', (code, signal) => resolve({ code, signal }));
    });
  }

  /** What it has printed, the last 64 KiB. */
  get output() {
    return this.#output;
  }

  /** Waits until `check` returns something truthy, which is returned; an error if the process ends before. */
  async ready(check, what = `readiness of ${this.name}`, ms = PATIENCE_MS) {
    let end;
    this.exited.then((how) => (end = how));
    try {
      return await until(async () => {
        if (end) throw new Error(`${this.name} ended: ${JSON.stringify(end)}`);
        return check();
      }, what, ms);
    } catch (error) {
      this.signal('SIGKILL');
      throw new Error(`${error.message}; it printed:\n${this.#output}`);
    }
  }

  /** Waits until something answers at `url`, whatever it says. */
  answers(url) {
    const answer = () => fetch(url, { signal: AbortSignal.timeout(PATIENCE_MS) }).catch(() => null);
    return this.ready(answer, `answer at ${url}`);
  }

  /** Signals it and whatever it has started. */
  signal(signal) {
    try {
      process.kill(-this.#child.pid, signal);
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
  }

  /** Ends it by `signal`; any exit code but `expected` is an error. */
  async stop(signal = 'SIGTERM', expected = 0) {
    this.signal(signal);
    const end = await within(this.exited, `end of ${this.name} after ${signal}`).catch((error) => {
      this.signal('SIGKILL');
      throw error;
    });
    assert.deepEqual(end, { code: expected, signal: null }, `${this.name} ended badly:\n${this.#output}`);
  }
}

/** A browser with cookies, storage and a network of its own: what another machine, or another person, has. */
export class Device {
  constructor(name, context, origins) {
    this.name = name;
    this.context = context;
    this.complaints = [];
    context.setDefaultTimeout(PATIENCE_MS);
    context.on('weberror', (error) => this.complaints.push(error.error().message));
    context.on('console', (message) => {
      if (/Content Security Policy/i.test(message.text())) this.complaints.push(message.text());
    });
    context.on('request', (request) => {
      const { protocol, origin } = new URL(request.url());
      if (protocol !== 'data:' && !origins.includes(origin)) this.complaints.push(`request to ${request.url()}`);
    });
  }

  /** A page at `url`, in the place of the one that was open. */
  async open(url) {
    await this.close();
    this.page = await this.context.newPage();
    await this.page.goto(url);
    return this.page;
  }

  async close() {
    await this.page?.close();
    this.page = undefined;
  }

  /** No line at all, or the line back. Chromium's pages are told, as those of a laptop are. */
  offline(isOffline) {
    return this.context.setOffline(isOffline);
  }
}

/**
 * A test with devices. It fails for errors on their pages, breaches of their Content-Security-Policy and requests to
 * others than `origins`; when it fails, pictures of the pages are left behind.
 * @param stage gives `{ browser, origins }` when the test begins
 * @param act gets `device(name)`, which makes one, and the test's context
 */
export function scene(name, stage, act) {
  test(name, async (t) => {
    const { browser, origins } = stage();
    const devices = [];
    const device = async (label) => {
      const context = await browser.newContext({ viewport: { width: 900, height: 900 } });
      devices.push(new Device(label, context, origins));
      return devices.at(-1);
    };
    try {
      await act(device, t);
      for (const { name: label, complaints } of devices) assert.deepEqual(complaints, [], `page of ${label}`);
    } catch (error) {
      await picture(t, devices);
      throw error;
    } finally {
      await Promise.all(devices.map(({ context }) => context.close()));
    }
  });
}

async function picture(t, devices) {
  const directory = await mkdtemp(join(tmpdir(), 'campanile-example-'));
  for (const { name, page } of devices) {
    const path = join(directory, `${name}.png`);
    // The page may be what failed; the test's own error says more than this one would.
    const isTaken = await page?.screenshot({ path, fullPage: true }).then(() => true, () => false);
    if (isTaken) t.diagnostic(`screenshot: ${path}`);
  }
}
