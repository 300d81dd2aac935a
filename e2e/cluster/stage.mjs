// One scenario on stage: the cast is started, the load begins, something is broken and mended, everybody gets what
// is left, and the log is judged.

import { setTimeout as pause } from 'node:timers/promises';
import { judge } from '../crash/judge.mjs';
import { Log } from '../crash/log.mjs';
import { Random } from '../crash/random.mjs';
import { Balancer } from './cast/balancer.mjs';
import { Network } from './cast/network.mjs';
import { Node } from './cast/node.mjs';
import { TroubledLine } from './cast/troubled-line.mjs';
import { Load } from './load.mjs';
import { areServed, measure } from './measure.mjs';
import { RECOVERY_LIMIT, nodeConfiguration } from './settings.mjs';

const NODES = 3;
const BALANCED = 18;
/** How long (ms) all is well before the first fault. */
const WARM_UP_MS = 1500;
/** Waiting longer than this (ms) for all to be well again counts as waiting for ever. */
const FOREVER_MS = 45_000;
/** How often it is looked whether they are. */
const LOOK_MS = 1000;
/** How long presence may show who is not there. */
const GHOSTS_MS = 40_000;

/** A scenario cannot be played on this machine. */
export class NotHere extends Error {}

export class Stage {
  log = new Log();
  nodes = [];
  /** Between each node and the store, if the scenario asks for it. */
  lines = [];
  networks = [];

  constructor(scenario, seed) {
    Object.assign(this, { scenario, seed, random: new Random(`${seed}/${scenario.name}`) });
    this.patience = scenario.patience ?? FOREVER_MS;
  }

  /** Plays the scenario to its end, whatever that is. */
  async play() {
    const begun = performance.now();
    let failure = null;
    try {
      await this.#open();
      await this.calm(WARM_UP_MS);
      await this.scenario.act(this);
      await this.#recovery();
      await this.load.settle();
      if (this.scenario.isPresenceWatched) await this.#presence();
      this.#look();
    } catch (error) {
      failure = error;
    }
    await this.#close(failure);
    if (failure instanceof NotHere) throw failure;
    const verdict = judge(this.log.events, { limit: RECOVERY_LIMIT });
    const measures = measure(this.log.events);
    const { expect } = this.scenario;
    const faults = verdict.faults({ isDurable: expect === 'durability' });
    if (expect !== 'announcement' && measures.missed > 0) faults.missed = measures.missed;
    const seconds = (performance.now() - begun) / 1000;
    return { scenario: this.scenario, seconds, failure, verdict, faults, measures };
  }

  async #open() {
    const { scenario } = this;
    this.store = scenario.store();
    await this.store.open?.();
    if (scenario.isNetworked) this.#network();
    for (let n = 0; n < (scenario.nodes ?? NODES); n++) await this.#node(n);
    await Promise.all(this.nodes.map((node) => node.launch()));
    this.balancer = await Balancer.open(this.nodes);
    const { log, random, nodes, balancer, patience } = this;
    this.load = new Load({ log, random, nodes, balancer, patience, balanced: scenario.balanced ?? BALANCED });
    await this.load.begin();
  }

  /** Everybody is served again, or never will be; that is for the measures to tell. */
  async #recovery() {
    for (let waited = 0; waited < this.patience; waited += LOOK_MS) {
      if (areServed(this.log.events)) return;
      await this.calm(LOOK_MS);
    }
  }

  /** Who died with a node is not taken to be there for ever. */
  async #presence() {
    const { ghosts, unseen, ms } = await this.load.presence('some:1', GHOSTS_MS);
    if (ghosts || unseen) throw new Error(`presence after ${ms} ms: ${ghosts} ghosts, ${unseen} unseen`);
  }

  /** The first node gets a network of its own. */
  #network() {
    const network = Network.open();
    if (!network) throw new NotHere('no network namespaces: needs Linux, `ip`, and to be root');
    this.networks.push(network);
  }

  async #node(n) {
    const network = this.networks[n] ?? null;
    const reach = { host: network?.storeHost ?? '127.0.0.1', port: this.store.port };
    if (this.scenario.isLined) Object.assign(reach, await this.#line(n));
    this.nodes.push(await Node.place(`node-${n + 1}`, nodeConfiguration(this.store.engine(reach, n)), network));
    if (this.scenario.program) this.nodes.at(-1).program = this.scenario.program();
  }

  /** Lines to all that the store consists of. */
  async #line(n) {
    const ports = this.store.servers?.map(({ port }) => port) ?? [this.store.port];
    const random = this.random.fork(`line-${n}`);
    const lines = await Promise.all(ports.map((port) => TroubledLine.to({ host: '127.0.0.1', port }, random)));
    this.lines.push(...lines);
    return { host: '127.0.0.1', port: lines[0].port, ports: lines.map(({ port }) => port) };
  }

  /** Time in which nothing is done to anybody, and nobody ends by himself. */
  async calm(ms) {
    await pause(ms);
    this.#look();
  }

  #look() {
    const failure = this.nodes.map((node) => node.failure).find(Boolean);
    if (failure) throw new Error(failure);
  }

  /** From this moment on the time is taken until each subscriber is served again. */
  fault(what) {
    this.log.add('fault', { what });
  }

  /** The same, but from the moment in which the subscriber itself loses its connection: it is asked to go. */
  farewell(what) {
    this.log.add('fault', { what, isFarewell: true });
  }

  /** The store has forgotten something that it was told: what was published may be published again. */
  forgot() {
    this.log.add('died', { how: 'forgot' });
  }

  async #close(failure) {
    this.load?.end();
    if (failure) for (const node of this.nodes) node.signal?.('SIGCONT');
    // At once: what they would wait for may be frozen or gone.
    for (const node of this.nodes) await node.kill().catch(() => {});
    for (const line of this.lines) line.close();
    await this.balancer?.discard();
    await this.store?.close?.();
    for (const network of this.networks) network.close();
    if (!failure) for (const node of this.nodes) await node.discard();
  }
}
