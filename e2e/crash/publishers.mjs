// Publishers over the HTTP API that do not mind the server's death: they come back, and what had a key and no answer
// is said again, with the same key, until there is one.

import { setTimeout as pause } from 'node:timers/promises';
import { Unanswered } from './line.mjs';
import { payload } from './payload.mjs';
import { CLASSES, channelsOf, classOf } from './settings.mjs';

const REDIAL_MS = 5;
/** How long (ms) one waits whose call failed without saying whether it was done. */
const DOUBT_MS = 50;

/** How publications are asked for. Each takes a composer and returns a call: what is sent, and what it is about. */
const STYLES = {
  publish(compose) {
    const { item, body } = compose.one();
    return { method: 'publish', body, items: [item], outcomes: (reply) => [reply] };
  },
  batch(compose) {
    const parts = Array.from({ length: compose.random.whole(2, 10) }, () => compose.one());
    return {
      method: 'batch',
      body: { commands: parts.map(({ body }) => ({ publish: body })) },
      items: parts.map(({ item }) => item),
      // A batch that was refused has been refused whole.
      outcomes: ({ replies, error }) =>
        parts.map((_, n) => (error ? { error } : { result: replies[n].publish, error: replies[n].error })),
    };
  },
  broadcast(compose) {
    const { items, body } = compose.many();
    return {
      method: 'broadcast',
      body,
      items,
      outcomes: ({ result, error }) => items.map((_, n) => (error ? { error } : result.responses[n])),
    };
  },
};

class Composer {
  #sequence = 0;

  constructor({ name, random, channels, isKeyed }) {
    Object.assign(this, { name, random, isKeyed });
    // As often in the list as its weight says.
    this.channels = channels.flatMap((channel) => Array(CLASSES[classOf(channel)].weight || 1).fill(channel));
  }

  one() {
    const channel = this.random.pick(this.channels);
    const { body, id, bytes } = this.#body(channel);
    return { body: { channel, ...body }, item: { id, channel, bytes } };
  }

  many() {
    const channels = this.random.several([...new Set(this.channels)], this.random.whole(2, 6));
    const { body, id, bytes } = this.#body(channels.join(' '));
    return { body: { channels, ...body }, items: channels.map((channel) => ({ id, channel, bytes })) };
  }

  #body(channels) {
    const sequence = ++this.#sequence;
    const [low, high] = CLASSES[classOf(channels)].length;
    const data = payload(channels, this.name, sequence, this.random.whole(low, high));
    const id = `${this.name}/${sequence}`;
    return { body: { data, ...(this.isKeyed && { idempotency_key: id }) }, id, bytes: data.text.length + 120 };
  }
}

export class Publisher {
  #log;
  #dial;
  #areErrorsFinal;
  #random;
  #composer;
  #again = [];
  #answered = null;
  #stopping = new AbortController();
  #lanes = 0;

  /**
   * @param style one of `STYLES`
   * @param window how many calls are under way at a time, on one connection
   * @param burst how many calls follow each other, and `rest` how many ms lie between bursts: both [from, to]
   * @param dial gives a line to a server
   * @param areErrorsFinal whether an error says that it was not done; else it may have been
   */
  constructor({ log, dial, areErrorsFinal = true, random, name, style, channels, isKeyed, window = 1, burst, rest }) {
    Object.assign(this, { name, style, isKeyed, window, burst, rest });
    this.#log = log;
    this.#dial = dial;
    this.#areErrorsFinal = areErrorsFinal;
    this.#random = random.fork(name);
    this.#composer = new Composer({ name, random: this.#random, channels, isKeyed });
  }

  /** Publishes until it is stopped and everything that had a key has its answer. */
  async run() {
    while (this.#hasMore) {
      const line = await this.#dial().catch(() => null);
      if (line) await this.#useUp(line);
      else await pause(REDIAL_MS);
    }
  }

  stop() {
    this.#stopping.abort();
  }

  get #hasMore() {
    return !this.#stopping.signal.aborted || this.#again.length > 0;
  }

  async #useUp(line) {
    const lane = `${this.name}#${++this.#lanes}`;
    const underWay = new Set();
    // As one does whose own record of the answer was lost.
    if (this.isKeyed && this.#answered && this.#random.chance(0.3)) this.#again.push(this.#answered);
    let left = this.#random.whole(...this.burst);
    while (line.isOpen && this.#hasMore) {
      if (left-- <= 0) {
        left = this.#random.whole(...this.burst);
        await this.#rest();
        continue;
      }
      const call = this.#again.shift() ?? STYLES[this.style](this.#composer);
      const done = this.#send(line, lane, call).finally(() => underWay.delete(done));
      underWay.add(done);
      if (underWay.size >= this.window) await Promise.race(underWay);
    }
    await Promise.all(underWay);
    line.close();
  }

  async #rest() {
    const { signal } = this.#stopping;
    await pause(this.#random.between(...this.rest), null, { signal }).catch(() => {});
  }

  async #send(line, lane, call) {
    for (const item of call.items) this.#log.add('attempt', { ...item, lane });
    let reply;
    try {
      reply = await line.call(call.method, call.body);
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
      if (this.isKeyed) this.#again.push(call);
      return;
    }
    const outcomes = call.outcomes(reply).map((one) => outcome(one, this.#areErrorsFinal));
    call.items.forEach(({ id, channel }, n) => this.#log.add('answer', { id, channel, ...outcomes[n] }));
    if (outcomes.some((one) => one.outcome === 'unsure')) return this.#doubt(line, call);
    this.#answered = call;
  }

  /** Somewhere else it may go better. */
  async #doubt(line, call) {
    if (this.isKeyed) this.#again.push(call);
    line.close();
    await pause(DOUBT_MS);
  }
}

const outcome = ({ result, error }, areErrorsFinal) =>
  error
    ? { outcome: areErrorsFinal ? 'refused' : 'unsure', code: error.code }
    : { outcome: 'stored', offset: result.offset ?? 0, epoch: result.epoch ?? '' };

const OFTEN = ['all', 'some', 'delta', 'cache', 'wiped', 'fleeting'];
const BRISK = { burst: [5, 40], rest: [20, 200] };
const CALM = { burst: [1, 10], rest: [20, 150] };
// Long enough for histories to expire in between.
const SELDOM = { burst: [1, 15], rest: [100, 4500] };
const BULKY = { burst: [1, 3], rest: [50, 400] };

/** One publisher for each way of publishing; together they publish to every channel. */
export function publishers(world) {
  const often = channelsOf(...OFTEN);
  const brief = channelsOf('brief');
  const fading = channelsOf('fading');
  const large = channelsOf('large');
  return [
    { name: 'one', style: 'publish', channels: often, isKeyed: true, ...CALM },
    { name: 'one-unkeyed', style: 'publish', channels: often, isKeyed: false, ...CALM },
    { name: 'piped', style: 'publish', channels: often, isKeyed: true, window: 8, ...CALM },
    { name: 'piped-unkeyed', style: 'publish', channels: often, isKeyed: false, window: 16, ...BRISK },
    { name: 'batch', style: 'batch', channels: often, isKeyed: true, window: 2, ...BULKY },
    { name: 'batch-unkeyed', style: 'batch', channels: often, isKeyed: false, window: 2, ...BULKY },
    { name: 'broadcast', style: 'broadcast', channels: often, isKeyed: true, window: 2, ...BULKY },
    { name: 'broadcast-unkeyed', style: 'broadcast', channels: often, isKeyed: false, window: 2, ...CALM },
    { name: 'seldom', style: 'publish', channels: brief, isKeyed: true, ...SELDOM },
    { name: 'seldom-unkeyed', style: 'publish', channels: brief, isKeyed: false, ...SELDOM },
    // Without keys, which would keep its epoch alive.
    { name: 'fading', style: 'publish', channels: fading, isKeyed: false, burst: [1, 15], rest: [1000, 9000] },
    { name: 'large', style: 'publish', channels: large, isKeyed: true, window: 4, burst: [1, 10], rest: [50, 300] },
    { name: 'large-unkeyed', style: 'batch', channels: large, isKeyed: false, burst: [1, 2], rest: [50, 300] },
  ].map((options) => new Publisher({ ...world, ...options }));
}
