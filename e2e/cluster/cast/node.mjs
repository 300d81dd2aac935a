// A node of the cluster: the binary under test, possibly of another version or in a network of its own.

import { Server } from '../../lib/server.mjs';
import { fixedPort } from '../../crash/port.mjs';
import { running } from './process.mjs';

export class Node extends Server {
  host = '127.0.0.1';
  #isMeantToRun = false;
  /** Whose network it is in; `null`: everybody's. */
  network = null;
  /** Another binary than the one under test. */
  program = null;

  static async place(name, options, network = null) {
    const port = await fixedPort();
    const host = network?.host ?? '127.0.0.1';
    const node = await Node.prepare({ http_server: { address: host, port }, ...options }, port);
    return Object.assign(node, { name, host, network, http: `http://${host}:${port}` });
  }

  command() {
    const [program] = super.command();
    return [...(this.network?.words ?? []), this.program ?? program];
  }

  async launch() {
    this.#isMeantToRun = true;
    running.add(this);
    await super.launch();
    const { exited } = this;
    exited.then((how) => {
      if (this.#isMeantToRun && exited === this.exited) this.ended = how;
    });
    return this;
  }

  async end(signal) {
    this.#isMeantToRun = false;
    await super.end(signal);
  }

  async kill() {
    this.#isMeantToRun = false;
    running.delete(this);
    return super.kill();
  }

  /** What it must never do, or null. */
  get failure() {
    if (this.ended) return `${this.name} ended by itself: ${JSON.stringify(this.ended)}\n${this.output}`;
    return this.output.includes('panicked') ? `${this.name} panicked:\n${this.output}` : null;
  }
}
