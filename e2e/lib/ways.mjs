// The ways in which the published SDK reaches the server: each of its transports in each of its encodings.
// What a test says through a `Peer` means the same on all of them, so that one test can run on each.

import { Centrifuge as Json } from 'centrifuge';
import { Centrifuge as Protobuf } from 'centrifuge/build/protobuf';
import { EventSource } from 'eventsource';
import { collect, connected, newClient, someone } from './client.mjs';
import { userToken } from './jwt.mjs';
import { next } from './wait.mjs';

/** What opens every transport; a part of the server's configuration. */
export const EVERY_TRANSPORT = {
  http_stream: { enabled: true },
  sse: { enabled: true },
  uni_websocket: { enabled: true },
  uni_http_stream: { enabled: true },
  uni_sse: { enabled: true },
};

const asJson = { Client: Json, isBinary: false, encode: (value) => value, decode: (data) => data };

/** The Protobuf SDK gives and takes bytes; here they hold JSON unless a test says otherwise. */
const asProtobuf = {
  Client: Protobuf,
  isBinary: true,
  encode: (value) => new TextEncoder().encode(JSON.stringify(value)),
  decode: (bytes) => JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)),
};

class Way {
  constructor(name, transport, encoding) {
    Object.assign(this, encoding);
    this.name = name;
    this.transport = transport;
  }

  /** @param at whatever has the port to dial: the server, or a line to it */
  #endpoint({ port }) {
    const scheme = this.transport === 'websocket' ? 'ws' : 'http';
    return [{ transport: this.transport, endpoint: `${scheme}://127.0.0.1:${port}/connection/${this.transport}` }];
  }

  #options({ port }, options) {
    const emulationEndpoint = `http://127.0.0.1:${port}/emulation`;
    return { Client: this.Client, eventsource: EventSource, emulationEndpoint, ...options };
  }

  /** A client that has not connected yet. */
  client(t, at, options = {}) {
    return newClient(t, this.#endpoint(at), this.#options(at, options));
  }

  /** A connected client of its own user, unless `options` names one or brings a token. */
  async connected(t, at, options = {}) {
    return new Peer(this, await connected(t, this.#endpoint(at), this.#options(at, options)));
  }

  /** The context of the client's last event: it must be refused for good. */
  async refused(t, at, options = {}) {
    const client = this.client(t, at, options);
    const end = next(client, 'disconnected');
    client.connect();
    const { code, reason } = await end;
    return { code, reason };
  }

  /** A connected client of a user whose token opens these channels server-side. */
  async connectedTo(t, at, channels, options = {}) {
    const user = someone();
    const client = this.client(t, at, { token: userToken(user, { channels }), ...options });
    const inbox = collect(client, this.read);
    const welcome = next(client, 'connected');
    client.connect();
    return { peer: new Peer(this, { client, user, id: (await welcome).client }), inbox };
  }

  /** A publication with its data decoded. */
  read = (publication) => ({ ...publication, data: this.decode(publication.data) });
}

class Peer {
  constructor(way, { client, user, id }) {
    Object.assign(this, { way, client, user, id });
  }

  /** A subscription that has been asked for, and what it receives. */
  ask(channel, options) {
    const sub = this.client.newSubscription(channel, options);
    // From the start: publications that are recovered come in the same turn as 'subscribed'.
    const inbox = collect(sub, this.way.read);
    const answer = next(sub, 'subscribed');
    sub.subscribe();
    return { sub, inbox, answer };
  }

  /** A subscription once it is subscribed, what it receives, and the context of that event. */
  async subscribe(channel, options) {
    const { sub, inbox, answer } = this.ask(channel, options);
    return { sub, inbox, context: await answer };
  }

  /** The code with which a subscription is refused for good. */
  async refusal(channel, options) {
    const sub = this.client.newSubscription(channel, options);
    const end = next(sub, 'unsubscribed');
    sub.subscribe();
    return (await end).code;
  }

  publish(channel, value) {
    return this.client.publish(channel, this.way.encode(value));
  }

  /** A round trip through the session: whatever was sent before has been received. */
  async roundTrip() {
    await this.client.rpc('nothing', this.way.encode(null)).then(
      () => {
        throw new Error('there is no such method');
      },
      ({ code }) => {
        if (code !== 108) throw new Error(`the round trip failed with ${code}`);
      },
    );
  }

  /** Codes of all moments in which the connection was lost from now on. */
  losses() {
    const codes = [];
    this.client.on('connecting', ({ code }) => codes.push(code));
    this.client.on('disconnected', ({ code }) => codes.push(code));
    return codes;
  }
}

export const WAYS = [
  new Way('WebSocket JSON', 'websocket', asJson),
  new Way('WebSocket Protobuf', 'websocket', asProtobuf),
  new Way('HTTP stream JSON', 'http_stream', asJson),
  new Way('HTTP stream Protobuf', 'http_stream', asProtobuf),
  new Way('SSE JSON', 'sse', asJson),
];
