// The protocol by hand, for what no well-behaved SDK would send.

import WebSocket from 'ws';
import { userToken } from './jwt.mjs';
import { within } from './wait.mjs';

export class Raw {
  #replies = [];
  #waiting = [];
  #opened;
  answersPings = true;

  constructor(t, url, options) {
    this.socket = new WebSocket(url, options);
    t.after(() => this.socket.terminate());
    this.socket.on('message', (frame) => this.#frame(frame.toString()));
    this.closed = new Promise((resolve) => {
      this.socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
    // An abrupt end shows as close 1006; without a listener it would also end the test process.
    this.socket.on('error', () => {});
    this.#opened = new Promise((resolve, reject) => {
      this.socket.on('open', resolve);
      this.socket.on('close', () => reject(new Error('the handshake was refused')));
    });
    this.#opened.catch(() => {});
  }

  /** A raw socket that has not said anything yet. */
  static async open(t, url, options) {
    const raw = new Raw(t, url, options);
    await within(raw.#opened, 'WebSocket handshake');
    return raw;
  }

  /** A raw connection whose connect command has been answered; the answer is in `hello`. */
  static async connect(t, url, { user = 'raw', token = userToken(user), ...options } = {}) {
    const raw = await Raw.open(t, url, options);
    raw.send({ id: 1, connect: { token } });
    raw.hello = await raw.reply(1);
    return raw;
  }

  #frame(text) {
    for (const line of text.split('\n').filter(Boolean)) {
      if (line === '{}') {
        if (this.answersPings) this.socket.send('{}');
        continue;
      }
      this.#replies.push(JSON.parse(line));
    }
    this.#waiting = this.#waiting.filter((attempt) => !attempt());
  }

  /** All commands in one frame. */
  send(...commands) {
    this.socket.send(commands.map((command) => JSON.stringify(command)).join('\n'));
  }

  /** Takes the first reply or push, received or to come, that satisfies `accept`; others stay. */
  take(accept, what, ms) {
    const found = new Promise((resolve, reject) => {
      const attempt = () => {
        const at = this.#replies.findIndex(accept);
        if (at < 0) return false;
        resolve(this.#replies.splice(at, 1)[0]);
        return true;
      };
      if (attempt()) return;
      this.#waiting.push(attempt);
      this.closed.then(({ code }) => reject(new Error(`no ${what}: closed with ${code}`)));
    });
    return within(found, what, ms);
  }

  reply(id, ms) {
    return this.take((reply) => reply.id === id, `reply ${id}`, ms);
  }

  push(kind, ms) {
    return this.take((reply) => reply.push?.[kind], `push '${kind}'`, ms);
  }

  /** The next `count` replies and pushes whatever they are, in order. */
  async several(count) {
    const all = [];
    while (all.length < count) all.push(await this.take(() => true, `message ${all.length + 1} of ${count}`));
    return all;
  }

  end(ms) {
    return within(this.closed, 'end of the connection', ms);
  }
}
