// A disk without room: publishes are refused, never acknowledged in vain, and accepted again when there is room.
//
//   CAMPANILE_BIN=… node crash/full.mjs
//
// By a limit of the server's own, and by a file system that is small, of which room comes by growing or by removed
// histories; that needs root, and is told to be skipped where it cannot be mounted. Exit code 0: as promised. 1: not.

import { execFileSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Server } from '../lib/server.mjs';
import { until } from '../lib/wait.mjs';
import { WAYS } from '../lib/ways.mjs';
import { Auditor } from './auditor.mjs';
import { judge } from './judge.mjs';
import { ApiLine } from './line.mjs';
import { Log } from './log.mjs';
import { payload } from './payload.mjs';
import { fixedPort } from './port.mjs';
import { report } from './report.mjs';
import { configuration } from './settings.mjs';
import { Subscriber } from './subscribers.mjs';

const { values } = parseArgs({ options: { durability: { type: 'string', default: 'sync' } } });

const MIB = 2 ** 20;
const CHANNEL = 'all:1';
const PAYLOAD = 20_000;
/** So many refusals in a row, with time between them, are a disk that is full and no disk that hurries. */
const REFUSALS = 20;

/** A limit that the server keeps; room comes of removed histories. */
const limited = {
  name: 'limit of the server',
  disk: { size_limit: 32 * MIB },
  async make() {},
  async makeRoom({ auditor }) {
    await auditor.remove(CHANNEL);
  },
  async unmake() {},
};

/** A file system of its own. */
const small = (size) => ({
  isMounted: true,
  disk: {},
  async make(data) {
    await mkdir(data);
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', data], { stdio: 'pipe' });
  },
  async unmake(data) {
    execFileSync('umount', [data]);
  },
});

const grown = {
  ...small('24m'),
  name: 'small file system that grows',
  async makeRoom({ data }) {
    execFileSync('mount', ['-o', 'remount,size=96m', data]);
  },
};

const cleared = { ...small('56m'), name: 'small file system, histories removed', makeRoom: limited.makeRoom };

class Trial {
  log = new Log();
  #sequence = 0;
  #refused = [];

  constructor(place) {
    this.place = place;
  }

  async run() {
    const { place } = this;
    const engine = { type: 'disk', disk: { path: 'data', durability: values.durability, ...place.disk } };
    const port = await fixedPort();
    this.server = await Server.prepare(configuration(engine), port);
    this.data = join(this.server.directory, 'data');
    await place.make(this.data);
    this.auditor = new Auditor({ log: this.log, dial: () => ApiLine.open(port) });
    const channels = [CHANNEL, 'fleeting:1'];
    this.subscriber = new Subscriber({ log: this.log, port, name: 'websocket', way: WAYS[0], channels });
    try {
      await this.server.launch();
      this.subscriber.come();
      await this.#story();
    } finally {
      this.subscriber.end();
      await this.server.kill();
      await place.unmake(this.data);
    }
  }

  async #story() {
    await this.#fill();
    await this.#stillWorks();
    this.#say('killed while there is no room');
    await this.#kill();
    await this.#start();
    await this.#refuses('after the kill');
    await this.place.makeRoom(this);
    await this.#accepts();
    this.#say('what had been refused is accepted under the same keys');
    for (const call of this.#refused.splice(0, 50)) await this.#send(call);
    await this.#kill();
    await this.#start();
    await this.#accepts();
    const tops = await this.auditor.look({ whole: true });
    const { epoch, offset } = tops.get(CHANNEL);
    const isThere = () => this.log.events.some((event) => event.kind === 'delivery' && event.offset >= offset);
    await until(isThere, 'everything at the subscriber').catch(() => {});
    this.log.add('top', { channel: CHANNEL, epoch, offset, who: ['websocket'] });
    await this.server.end();
    await this.server.launch();
    await this.auditor.look({ whole: true });
  }

  #say(what) {
    console.log(`${this.place.name}: ${what}`);
  }

  #compose(channel, isKeyed) {
    const sequence = ++this.#sequence;
    const id = `filler/${sequence}`;
    const data = payload(channel, 'filler', sequence, PAYLOAD);
    return { id, channel, body: { channel, data, ...(isKeyed && { idempotency_key: id }) } };
  }

  /** Publishes and returns whether it was stored. */
  async #send(call) {
    const { id, channel, body } = call;
    // The server lets go of a connection that is quiet.
    if (!this.line?.isOpen) this.line = await ApiLine.open(this.server.port);
    this.log.add('attempt', { id, channel, lane: `${id}`, bytes: PAYLOAD });
    const { error, result } = await this.line.call('publish', body);
    if (error) {
      this.log.add('answer', { id, channel, outcome: 'refused', code: error.code });
      if (error.code !== 100) throw new Error(`refused with ${error.code} ${error.message}, not with 100`);
      return false;
    }
    this.log.add('answer', { id, channel, outcome: 'stored', offset: result.offset ?? 0, epoch: result.epoch ?? '' });
    return true;
  }

  async #fill() {
    let stored = 0;
    for (let refusals = 0; refusals < REFUSALS; ) {
      const call = this.#compose(CHANNEL, this.#sequence % 2 === 0);
      if (await this.#send(call)) {
        refusals = 0;
        if (++stored * PAYLOAD > 128 * MIB) throw new Error('there is no end of room');
      } else {
        refusals++;
        if (call.body.idempotency_key) this.#refused.push(call);
        await pause(20);
      }
    }
    this.#say(`full after ${stored} publications, ${((stored * PAYLOAD) / MIB).toFixed(1)} MiB`);
  }

  async #refuses(when) {
    let refused = 0;
    for (let n = 0; n < REFUSALS; n++) if (!(await this.#send(this.#compose(CHANNEL, true)))) refused++;
    this.#say(`${refused} of ${REFUSALS} refused ${when}`);
  }

  /** What does not need the disk goes on: histories are read, and publications without history delivered. */
  async #stillWorks() {
    await this.auditor.look({ whole: true });
    const call = this.#compose('fleeting:1', false);
    if (!(await this.#send(call))) throw new Error('what needs no room was refused');
    this.#say('histories are read and publications without history delivered');
  }

  async #kill() {
    await this.server.kill();
    this.log.add('died', { how: 'full' });
  }

  async #start() {
    const begun = performance.now();
    await this.server.launch();
    this.#say(`ready again after ${Math.round(performance.now() - begun)} ms`);
  }

  async #accepts() {
    const begun = performance.now();
    await until(() => this.#send(this.#compose(CHANNEL, true)), 'publication that is accepted', 30_000);
    this.#say(`accepted again after ${Math.round(performance.now() - begun)} ms`);
  }
}

let isClean = true;
for (const place of [limited, grown, cleared]) {
  const trial = new Trial(place);
  try {
    await trial.run();
  } catch (error) {
    if (place.isMounted && `${error.stderr}`.includes('mount')) {
      console.log(`${place.name}: SKIPPED, a file system cannot be mounted here: ${error.stderr}`.trim());
      continue;
    }
    console.log(`${place.name}: the run failed: ${error.stack}\n${trial.server?.output ?? ''}`);
    isClean = false;
  }
  const verdict = judge(trial.log.events);
  const faults = verdict.faults();
  console.log(`\n${report(verdict)}\n`);
  for (const finding of verdict.findings) console.log(`  ${finding}`);
  if (Object.keys(faults).length > 0) {
    isClean = false;
    const path = join(tmpdir(), `campanile-full-${process.pid}.jsonl`);
    await trial.log.write(path);
    console.log(`FAULTS ${JSON.stringify(faults)}; the log: ${path}`);
  }
  if (isClean) await trial.server.discard();
}
console.log(isClean ? 'no faults' : 'NOT CLEAN');
process.exit(isClean ? 0 : 1);
