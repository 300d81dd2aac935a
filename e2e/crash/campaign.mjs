// One run: a server that is killed again and again on the same directory, and everybody who talks to it meanwhile.

import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Server } from '../lib/server.mjs';
import { within } from '../lib/wait.mjs';
import { Auditor } from './auditor.mjs';
import { ApiLine } from './line.mjs';
import { Log } from './log.mjs';
import { fixedPort } from './port.mjs';
import { publishers } from './publishers.mjs';
import { Random } from './random.mjs';
import { channelsOf, configuration } from './settings.mjs';
import { caughtUp } from './standing.mjs';
import { newcomer, subscribers } from './subscribers.mjs';

/** How a life ends: `share` of lives, whether the server is ready by then, and how long after it was (ms). */
const LIVES = [
  // Killed while it starts, which is when it reads its log.
  { kind: 'starting', share: 0.2 },
  { kind: 'short', share: 0.15, length: [0, 60] },
  { kind: 'usual', share: 0.55, length: [50, 1100] },
  { kind: 'stopped', share: 0.1, length: [50, 600] },
];

/** How often everything is read again from the beginning. */
const LOOKS_BETWEEN_WHOLE_ONES = 20;
/** The longest that anything may take before it counts as never. */
const PATIENCE_MS = 60_000;

export class Campaign {
  log = new Log();
  /** What is worth telling beside the verdict. */
  facts = { kills: 0, starting: 0, short: 0, usual: 0, stopped: 0, startupMs: [], files: new Set(), bytesMax: 0 };

  constructor({ kills, seed, minutes, engine }) {
    Object.assign(this, { kills, seed, engine });
    this.random = new Random(seed);
    this.deadline = performance.now() + minutes * 60_000;
  }

  async run() {
    const port = await fixedPort();
    this.server = await Server.prepare(configuration(this.engine), port);
    this.data = join(this.server.directory, this.engine.disk?.path ?? 'data');
    const world = { log: this.log, port, dial: () => ApiLine.open(port), random: this.random };
    this.auditor = new Auditor(world);
    this.world = { ...world, nextPage: this.auditor.nextPage };
    const all = publishers(world);
    this.subscribers = subscribers(world);
    const publishing = Promise.all(all.map((one) => one.run()));
    // Told when it is awaited, which is at the end.
    publishing.catch(() => {});
    for (const one of [...this.subscribers.always, ...this.subscribers.sometimes]) one.come();
    try {
      await this.#lives();
      await this.#ready();
      for (const one of all) one.stop();
      await within(publishing, 'answer to what had a key', PATIENCE_MS);
      await this.#settle();
    } finally {
      for (const one of all) one.stop();
      for (const one of [...this.subscribers.always, ...this.subscribers.sometimes]) one.end();
      await this.visitor;
      await this.server.kill();
    }
  }

  async #lives() {
    const random = this.random.fork('lives');
    const pick = () => {
      let at = random.next();
      return LIVES.find(({ share }) => (at -= share) < 0) ?? LIVES[2];
    };
    await this.#begin();
    while (this.facts.kills < this.kills && performance.now() < this.deadline) {
      const life = pick();
      if (life.kind === 'starting') {
        await pause(random.between(0, 1.2 * (this.facts.startupMs.at(-1) ?? 100)));
      } else {
        await this.#ready();
        if (life.kind !== 'short') await this.#usual(random);
        await this.#unlessEnded(pause(random.between(...life.length)));
      }
      await this.#end(life.kind);
      await this.#begin();
    }
  }

  async #begin() {
    await this.#measure();
    this.begun = performance.now();
    this.server.spawn();
  }

  async #ready() {
    await this.server.ready();
    this.facts.startupMs.push(performance.now() - this.begun);
  }

  /** What happens in every life that lasts: a look at everything, and people who come and go. */
  async #usual(random) {
    const count = (this.facts.looks = (this.facts.looks ?? 0) + 1);
    await this.#unlessEnded(this.auditor.look({ whole: count % LOOKS_BETWEEN_WHOLE_ONES === 0 }));
    for (const one of this.subscribers.sometimes) {
      if (one.isAway && random.chance(0.25)) one.come();
      else if (!one.isAway && random.chance(0.4)) one.leave();
    }
    if (random.chance(0.2)) void this.auditor.remove(random.pick(channelsOf('wiped')));
    if (!this.visitor) {
      this.visitor = newcomer(this.world, `newcomer-${count}`).finally(() => (this.visitor = null));
    }
  }

  /** A server that ends by itself ends the run: that is what it is not to do. */
  async #unlessEnded(work) {
    const ended = this.server.exited.then((how) => {
      throw new Error(`the server ended by itself: ${JSON.stringify(how)}\n${this.server.output}`);
    });
    ended.catch(() => {});
    return within(Promise.race([work, ended]), 'sign of life', PATIENCE_MS);
  }

  async #end(kind) {
    this.facts[kind]++;
    if (kind !== 'stopped') this.facts.kills++;
    await this.server.end(kind === 'stopped' ? 'SIGTERM' : 'SIGKILL');
    this.log.add('died', { how: kind });
    if (this.server.output.includes('panicked')) throw new Error(`the server panicked:\n${this.server.output}`);
  }

  /** The files of the log: how many there ever were, and how much there was at a time. */
  async #measure() {
    const names = await readdir(this.data).catch(() => []);
    let bytes = 0;
    for (const name of names) {
      this.facts.files.add(name);
      bytes += (await stat(join(this.data, name)).catch(() => ({ size: 0 }))).size;
    }
    this.facts.bytesMax = Math.max(this.facts.bytesMax, bytes);
  }

  /** Everybody comes and gets what is left; then everything is read, before a clean stop and after it. */
  async #settle() {
    const everybody = [...this.subscribers.always, ...this.subscribers.sometimes];
    for (const one of this.subscribers.sometimes) if (one.isAway) one.come();
    const tops = await this.auditor.look({ whole: true });
    const who = (channel) => everybody.filter((one) => one.channels.includes(channel)).map(({ name }) => name);
    await caughtUp(this.log, tops, who, PATIENCE_MS);
    // Whatever comes too much comes now.
    await this.auditor.look();
    for (const [channel, top] of tops) this.log.add('top', { channel, ...top, who: who(channel) });
    await this.#end('stopped');
    await this.server.launch();
    await this.auditor.look({ whole: true });
  }
}
