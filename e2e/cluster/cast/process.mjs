// A process of the cast: really started, in a directory of its own, and ended, frozen or started again when told.

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until, within } from '../../lib/wait.mjs';

/** Where Debian keeps servers, also for those who are not root. */
const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;

/** Whoever runs; has `signal`. Nobody outlives the harness. */
export const running = new Set();
process.on('exit', () => running.forEach((one) => one.signal('SIGKILL')));
for (const name of ['SIGINT', 'SIGTERM']) process.once(name, () => process.exit(2));

export const scratch = (name) => mkdtemp(join(tmpdir(), `campanile-cluster-${name}-`));

export class Process {
  #child;
  #output = '';

  /** @param command the program and its arguments */
  constructor(name, command, directory) {
    Object.assign(this, { name, command, directory });
  }

  spawn() {
    const [program, ...words] = this.command;
    const env = { ...process.env, PATH };
    const child = spawn(program, words, { cwd: this.directory, env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    running.add(this);
    const keep = (chunk) => {
      this.#output = (this.#output + chunk).slice(-16 * 1024);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    this.exited = new Promise((resolve) => {
      child.on('error', (error) => {
        keep(`${error.message}: is ${program} installed?`);
        resolve();
      });
      child.on('exit', resolve);
    }).finally(() => running.delete(this));
  }

  /** Starts it and waits until `isReady` says so. */
  async launch(isReady = this.isReady) {
    this.spawn();
    let hasEnded = false;
    this.exited.then(() => (hasEnded = true));
    await until(async () => {
      if (hasEnded) throw new Error(`${this.name} ended at once:\n${this.#output}`);
      return isReady().catch(() => false);
    }, `${this.name} that serves`, 20_000).catch((error) => {
      throw new Error(`${error.message}\n${this.#output}`);
    });
    return this;
  }

  signal(name) {
    this.#child?.kill(name);
  }

  freeze() {
    this.signal('SIGSTOP');
  }

  thaw() {
    this.signal('SIGCONT');
  }

  async end(signal = 'SIGKILL') {
    if (!this.#child) return;
    this.signal(signal);
    // One that is frozen ends by nothing else.
    if (signal !== 'SIGKILL') this.thaw();
    await within(this.exited, `end of ${this.name}`);
  }

  async discard() {
    await this.end();
    await rm(this.directory, { recursive: true, force: true });
  }
}
