// Subscribers in different situations. They are unmodified SDK clients: reconnecting and recovering is theirs.

import WebSocket from 'ws';
import { WAYS } from '../lib/ways.mjs';
import { userToken, inSeconds } from '../lib/jwt.mjs';
import { next } from '../lib/wait.mjs';
import { read } from './payload.mjs';
import { CLASSES, channelsOf, classOf } from './settings.mjs';

const way = (name) => WAYS.find((one) => one.name === name);

/** Stands in for the context of a test: whoever the library has to clean up is told here. */
class Ends {
  #all = [];
  after(end) {
    this.#all.push(end);
  }
  run() {
    for (const end of this.#all.splice(0)) end();
  }
}

/** Without compression: inflating all that everybody gets would leave this process seconds behind the server. */
class Plain extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, { perMessageDeflate: false });
  }
}

export class Subscriber {
  #log;
  #client;
  #ends = new Ends();
  #subscriptions = new Map();
  #isAway = true;

  /**
   * @param fossil whether it asks for deltas
   * @param options for the SDK
   */
  constructor({ log, port, name, way: how, channels, fossil = false, isCompressed = false, options = {} }) {
    Object.assign(this, { name, way: how, channels });
    this.#log = log;
    const token = userToken(name, { exp: inSeconds(36_000) });
    const line = { maxReconnectDelay: 100, timeout: 10_000, ...(isCompressed || { websocket: Plain }) };
    this.#client = how.client(this.#ends, { port }, { token, ...line, ...options });
    this.#client.on('connecting', ({ code }) => this.#lose('', code));
    this.#client.on('error', ({ error }) => log.add('failed', { who: name, code: error.code }));
    this.#client.on('disconnected', ({ code, reason }) => {
      if (!this.#isAway) log.add('ended', { who: name, channel: '', what: `disconnected: ${code} ${reason}` });
    });
    for (const channel of channels) this.#subscribe(channel, fossil);
  }

  #subscribe(channel, fossil) {
    const sub = this.#client.newSubscription(channel, fossil ? { delta: 'fossil' } : {});
    const say = (kind, what) => this.#log.add(kind, { who: this.name, channel, ...what });
    sub.on('subscribed', ({ wasRecovering, recovered, streamPosition }) => {
      const { offset = 0, epoch = '' } = streamPosition ?? {};
      say('subscribed', { wasRecovering, recovered, offset, epoch });
    });
    sub.on('publication', (publication) => {
      say('delivery', { id: this.#identify(publication, channel), offset: publication.offset ?? 0 });
    });
    sub.on('subscribing', ({ code }) => this.#lose(channel, code));
    sub.on('unsubscribed', ({ code, reason }) => {
      if (!this.#isAway) say('ended', { what: `unsubscribed: ${code} ${reason}` });
    });
    sub.subscribe();
    this.#subscriptions.set(channel, sub);
  }

  /** A connection or a subscription; the code is 0 where it was never there. */
  #lose(channel, code) {
    if (code && !this.#isAway) this.#log.add('lost', { who: this.name, channel, code });
  }

  #identify({ data }, channel) {
    try {
      return read(this.way.decode(data), channel);
    } catch {
      return null;
    }
  }

  get isAway() {
    return this.#isAway;
  }

  come() {
    this.#isAway = false;
    this.#client.connect();
  }

  leave() {
    this.#isAway = true;
    this.#client.disconnect();
  }

  /** For good. */
  end() {
    this.leave();
    this.#ends.run();
  }

  /** The context of a subscription, or null if the server dies first. */
  subscribed(channel) {
    return next(this.#subscriptions.get(channel), 'subscribed', { ms: 2000 }).catch(() => null);
  }

  /** Reads a history forwards, page by page, from `since` on. */
  async pages(channel, { since, limit, count, nextPage }) {
    let at = since;
    for (let n = 0; n < count; n++) {
      const page = nextPage();
      this.#log.add('asked', { page, channel });
      const { publications, epoch, offset } = await this.#subscriptions.get(channel).history({ since: at, limit });
      const ids = publications.map((publication) => this.#identify(publication, channel));
      const offsets = publications.map((publication) => publication.offset);
      const answer = { since: at.offset, limit, isBounded: true, epoch, top: offset, offsets, ids };
      this.#log.add('page', { page, channel, ...answer });
      if (!offsets.length || offsets.at(-1) >= offset) return;
      at = { epoch, offset: offsets.at(-1) };
    }
  }
}

/** Who is there throughout, over every transport and encoding, and who stays away for some deaths at a time. */
export function subscribers(world) {
  const small = channelsOf().filter((channel) => classOf(channel) !== 'large');
  const always = [
    { name: 'websocket', way: way('WebSocket JSON'), channels: channelsOf() },
    { name: 'protobuf', way: way('WebSocket Protobuf'), channels: channelsOf() },
    { name: 'http-stream', way: way('HTTP stream JSON'), channels: small },
    { name: 'sse', way: way('SSE JSON'), channels: small },
    { name: 'deltas', way: way('WebSocket JSON'), channels: channelsOf('delta'), fossil: true },
    {
      name: 'deltas-protobuf',
      way: way('WebSocket Protobuf'),
      channels: channelsOf('delta', 'some'),
      fossil: true,
      isCompressed: true,
    },
  ].map((options) => new Subscriber({ ...world, ...options }));
  const sometimes = [
    { name: 'absent', way: way('WebSocket JSON'), channels: channelsOf() },
    { name: 'absent-protobuf', way: way('HTTP stream Protobuf'), channels: small },
    { name: 'absent-deltas', way: way('WebSocket JSON'), channels: channelsOf('delta'), fossil: true },
  ].map((options) => new Subscriber({ ...world, ...options }));
  return { always, sometimes };
}

/** One who comes for the first time, reads what there was, and leaves. */
export async function newcomer({ log, port, random, nextPage }, name) {
  const channel = random.pick(channelsOf().filter((one) => CLASSES[classOf(one)].mode === 'stream'));
  const visitor = new Subscriber({ log, port, name, way: random.pick(WAYS), channels: [channel] });
  const context = visitor.subscribed(channel);
  visitor.come();
  try {
    const { streamPosition } = (await context) ?? {};
    if (!streamPosition) return;
    const { epoch, offset } = streamPosition;
    const since = { epoch, offset: Math.max(0, offset - random.whole(0, 2000)) };
    await visitor.pages(channel, { since, limit: random.whole(20, 300), count: 10, nextPage });
  } catch {
    // The server died under it, or the epoch has gone; what was answered is in the log.
  } finally {
    visitor.end();
  }
}
