// The server under test: the real binary, a generated configuration, a free port.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SECRET } from './jwt.mjs';
import { until, within } from './wait.mjs';

export const API_KEY = 'end-to-end-api-key';

/** Everything open that a room with memory needs; tests about refusal use `locked`. */
const ROOM = {
  presence: true,
  join_leave: true,
  force_push_join_leave: true,
  force_recovery: true,
  history_ttl: '300s',
  allow_subscribe_for_client: true,
  allow_publish_for_subscriber: true,
  allow_presence_for_subscriber: true,
  allow_history_for_subscriber: true,
};

const NAMESPACES = [
  { name: 'room', history_size: 1000, ...ROOM },
  { name: 'short', history_size: 5, ...ROOM },
  { name: 'plain', allow_subscribe_for_client: true, allow_publish_for_client: true },
  { name: 'lobby', allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true },
  { name: 'locked' },
];

/** Configuration of one server; `client` and `namespaces` replace or add to the suite's own. */
function configuration(port, { client = {}, namespaces = [], ...rest } = {}) {
  return {
    http_server: { address: '127.0.0.1', port },
    http_api: { key: API_KEY },
    prometheus: { enabled: true },
    health: { enabled: true },
    client: { token: { hmac_secret_key: SECRET }, allowed_origins: ['*'], ...client },
    channel: { namespaces: [...NAMESPACES, ...namespaces] },
    ...rest,
  };
}

export function binary() {
  const path = process.env.CAMPANILE_BIN;
  assert.ok(path, 'CAMPANILE_BIN must name the campanile binary to test');
  return path;
}

export async function freePort() {
  const probe = createServer();
  await new Promise((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/** No answer of the server takes longer than this; a hung one fails its test. */
const brief = () => ({ signal: AbortSignal.timeout(10_000) });

export class Server {
  #process;
  #args;
  #env;
  #output = '';

  constructor(port, directory, args, env = {}) {
    this.port = port;
    this.directory = directory;
    this.#args = args;
    this.#env = env;
    this.http = `http://127.0.0.1:${port}`;
    this.ws = `ws://127.0.0.1:${port}/connection/websocket`;
  }

  static async start(options) {
    return (await Server.prepare(options)).launch();
  }

  /** A server that has its configuration and a directory to run in, but no process yet. */
  static async prepare(options, port) {
    port ??= await freePort();
    const directory = await mkdtemp(join(tmpdir(), 'campanile-e2e-'));
    const file = join(directory, 'config.json');
    await writeFile(file, JSON.stringify(configuration(port, options)));
    return new this(port, directory, ['serve', '-c', file]);
  }

  /** What is run, with the words in front of its own arguments. */
  command() {
    return [binary()];
  }

  /** `serve --dev`, as a newcomer runs it, but on a free port. */
  static async startDev() {
    const port = await freePort();
    const directory = await mkdtemp(join(tmpdir(), 'campanile-e2e-'));
    return new Server(port, directory, ['serve', '--dev', '--port', `${port}`]).launch();
  }

  /** A configuration file as it is, but on a free port, with the suite's secrets and data of its own. */
  static async startFile(file, env = {}) {
    const port = await freePort();
    const directory = await mkdtemp(join(tmpdir(), 'campanile-e2e-'));
    const secrets = { CAMPANILE_HTTP_API_KEY: API_KEY, CAMPANILE_CLIENT_TOKEN_HMAC_SECRET_KEY: SECRET };
    return new Server(port, directory, ['serve', '-c', file, '--port', `${port}`], { ...secrets, ...env }).launch();
  }

  /** Begins a process without waiting for it. */
  spawn() {
    // The server reads variables with its name in front as settings; the suite's own is none.
    const { CAMPANILE_BIN: _, ...env } = process.env;
    const stdio = ['ignore', 'pipe', 'pipe'];
    const [program, ...words] = this.command();
    this.#process = spawn(program, [...words, ...this.#args], { cwd: this.directory, env: { ...env, ...this.#env }, stdio });
    const keep = (chunk) => {
      this.#output = (this.#output + chunk).slice(-64 * 1024);
    };
    this.#process.stdout.on('data', keep);
    this.#process.stderr.on('data', keep);
    this.exited = new Promise((resolve) => {
      this.#process.on('error', (error) => resolve({ code: null, signal: error.message }));
      this.#process.on('exit', (code, signal) => resolve({ code, signal }));
    });
  }

  async launch() {
    this.spawn();
    try {
      await this.ready();
    } catch (error) {
      this.#process.kill('SIGKILL');
      throw error;
    }
    return this;
  }

  /** The process serves; an error if it ends before it does. */
  async ready() {
    let end;
    this.exited.then((how) => (end = how));
    await until(async () => {
      if (end) throw new Error(`the server ended at once: ${JSON.stringify(end)}\n${this.#output}`);
      const answer = await fetch(`${this.http}/ready`, brief()).catch(() => null);
      return answer?.status === 200;
    }, `200 from /ready; the server said:\n${this.#output}`);
  }

  /** What the process has printed, its last 64 KiB. */
  get output() {
    return this.#output;
  }

  /** Asks the server to stop, as an operator does; `exited` tells when it has. */
  terminate() {
    this.signal('SIGTERM');
  }

  signal(name) {
    this.#process.kill(name);
  }

  /** The end of the process without a word to it. */
  async kill() {
    this.#process?.kill('SIGKILL');
    return this.exited;
  }

  /** The end of the process as an operator brings it about, or by another signal; no other end will do. */
  async end(signal = 'SIGTERM') {
    this.#process.kill(signal);
    const end = await within(this.exited, `end of the server after ${signal}`, 20_000).catch((error) => {
      this.#process.kill('SIGKILL');
      throw error;
    });
    const expected = signal === 'SIGKILL' ? { code: null, signal } : { code: 0, signal: null };
    assert.deepEqual(end, expected, `the server did not end as it should:\n${this.#output}`);
  }

  async stop() {
    await this.end();
    await this.discard();
  }

  /** Removes the directory of a server that has ended. */
  async discard() {
    await rm(this.directory, { recursive: true });
  }

  /** Same port, configuration and directory, new process. */
  async restart(signal) {
    await this.end(signal);
    await this.launch();
  }

  /** An API call's result; an API error is thrown. */
  async api(method, body) {
    const { result, error } = await this.apiReply(method, body);
    if (error) throw Object.assign(new Error(`${method}: ${error.code} ${error.message}`), error);
    return result;
  }

  async apiReply(method, body, key = API_KEY) {
    const answer = await fetch(`${this.http}/api/${method}`, {
      method: 'POST',
      headers: { 'X-API-Key': key, 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      ...brief(),
    });
    assert.equal(answer.status, 200, `${method}: HTTP ${answer.status}`);
    return answer.json();
  }

  publish(channel, data, options = {}) {
    return this.api('publish', { channel, data, ...options });
  }

  /** The sum of a metric's series; 0 when there is none. */
  async metric(name) {
    const text = await (await fetch(`${this.http}/metrics`, brief())).text();
    return text
      .split('\n')
      .filter((line) => line.includes(name) && !line.startsWith('#'))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
  }
}
