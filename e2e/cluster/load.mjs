// Who talks to the cluster while it is broken: the publishers of the crash harness, spread over all nodes, and SDK
// subscribers behind the balancer, some at one node each, some who come and go.

import { setTimeout as pause } from 'node:timers/promises';
import { Auditor } from '../crash/auditor.mjs';
import { ApiLine } from '../crash/line.mjs';
import { publishers } from '../crash/publishers.mjs';
import { channelsOf, classOf } from '../crash/settings.mjs';
import { caughtUp } from '../crash/standing.mjs';
import { Subscriber } from '../crash/subscribers.mjs';
import { WAYS } from '../lib/ways.mjs';
import { until, within } from '../lib/wait.mjs';
import { PING } from './settings.mjs';

/** A call that has no answer after so many ms is made again elsewhere. */
const PATIENCE_MS = 3000;

/** The SDK's own delays, but for the longest, which is 20 s there. */
const SDK = { minReconnectDelay: 500, maxReconnectDelay: 3000, timeout: 3000, maxServerPingDelay: PING.patience };
/** The same for a single subscription. */
const small = channelsOf().filter((channel) => classOf(channel) !== 'large');

export class Load {
  #publishers = [];
  #publishing = Promise.resolve();
  #absent = [];
  #isOver = false;

  /**
   * @param balanced how many subscribers there are behind the balancer
   * @param patience waiting longer than this (ms) counts as waiting for ever
   */
  constructor({ log, random, nodes, balancer, balanced, patience }) {
    Object.assign(this, { log, random: random.fork('load'), nodes, patience });
    let dialled = 0;
    const dial = () => {
      const { port, host } = this.nodes[dialled++ % this.nodes.length];
      return ApiLine.open(port, { host, patience: PATIENCE_MS });
    };
    const world = { log, random, dial, areErrorsFinal: false };
    this.auditor = new Auditor(world);
    this.#publishers = publishers(world);
    this.subscribers = [
      ...this.#behind(balancer, balanced),
      ...this.#pinned(),
      ...(this.#absent = this.#comers(balancer)),
    ];
  }

  #subscriber(at, name, options) {
    return new Subscriber({ log: this.log, port: at.port, name, way: WAYS[0], options: SDK, ...options });
  }

  #behind(balancer, count) {
    return Array.from({ length: count }, (_, n) => {
      const channels = this.random.several(small, 7);
      // Mostly WebSocket; of nine, two over HTTP.
      const way = WAYS[[0, 1, 0, 1, 0, 1, 0, 2, 4][n % 9]];
      return this.#subscriber(balancer, `behind-${n + 1}`, { way, channels, fossil: n % 3 === 0 });
    });
  }

  /** At one node each, without a way out. */
  #pinned() {
    const reachable = this.nodes.filter(({ host }) => host === '127.0.0.1');
    return reachable.map((node) => this.#subscriber(node, `at-${node.name}`, { channels: channelsOf() }));
  }

  #comers(balancer) {
    return [1, 2, 3].map((n) => this.#subscriber(balancer, `absent-${n}`, { channels: small }));
  }

  async begin() {
    for (const one of this.subscribers) one.come();
    const wanted = this.subscribers.reduce((sum, { channels }) => sum + channels.length, 0);
    const count = () => this.log.events.filter(({ kind }) => kind === 'subscribed').length;
    await until(() => count() >= wanted, `all ${wanted} subscriptions`, this.patience);
    this.#publishing = Promise.all(this.#publishers.map((one) => one.run()));
    this.#publishing.catch(() => {});
    this.#coming = this.#comeAndGo();
  }

  #coming = Promise.resolve();

  async #comeAndGo() {
    const random = this.random.fork('absences');
    while (!this.#isOver) {
      const one = random.pick(this.#absent);
      if (one.isAway) one.come();
      else one.leave();
      await pause(random.between(300, 2000));
    }
  }

  /** Ends the publishing and lets everybody have what is left; where they stand then is in the log. */
  async settle() {
    this.#isOver = true;
    await this.#coming;
    for (const one of this.#publishers) one.stop();
    await within(this.#publishing, 'answer to what had a key', this.patience);
    for (const one of this.#absent) if (one.isAway) one.come();
    const tops = await until(() => this.auditor.look({ whole: true }), 'history of all channels', this.patience);
    // What is forgotten while one waits has no top to stand at.
    for (const channel of channelsOf('fading')) tops.delete(channel);
    const who = (channel) => this.subscribers.filter((one) => one.channels.includes(channel)).map(({ name }) => name);
    await caughtUp(this.log, tops, who, this.patience);
    // Whatever comes too much comes now.
    await this.auditor.look();
    for (const [channel, top] of tops) this.log.add('top', { channel, ...top, who: who(channel) });
  }

  /**
   * Compares who is said to be present with who is there, until it is the same or too long ago.
   * @returns how many are said to be there and are not (`ghosts`), or the other way round, and when it was right (ms)
   */
  async presence(channel, patience) {
    const here = this.subscribers.filter((one) => one.channels.includes(channel)).map(({ name }) => name);
    const begun = performance.now();
    let found = { ghosts: 0, unseen: 0 };
    const isRight = async () => {
      const { result } = await this.auditor.ask('presence', { channel });
      const said = Object.values(result?.presence ?? {}).map(({ user }) => user);
      const unseen = here.filter((name) => !said.includes(name)).length;
      found = { ghosts: said.length - (here.length - unseen), unseen };
      return found.ghosts === 0 && found.unseen === 0;
    };
    await until(isRight, 'presence of who is there', patience).catch(() => {});
    return { ...found, ms: Math.round(performance.now() - begun) };
  }

  end() {
    this.#isOver = true;
    for (const one of this.#publishers) one.stop();
    for (const one of this.subscribers) one.end();
  }
}
