// A TCP line that can be cut, taken down or stalled between a client and the server.

import { connect, createServer } from 'node:net';

export class Line {
  #listener;
  #pairs = new Set();
  #down = false;

  static async to(t, server) {
    const line = new Line();
    line.#listener = createServer({ allowHalfOpen: true }, (near) => line.#accept(near, server.port));
    await new Promise((resolve) => line.#listener.listen(0, '127.0.0.1', resolve));
    line.port = line.#listener.address().port;
    line.ws = `ws://127.0.0.1:${line.port}/connection/websocket`;
    t.after(() => line.#close());
    return line;
  }

  #accept(near, port) {
    // A reset is what this class is for, not a failure of the test.
    near.on('error', () => {});
    if (this.#down) return void near.resetAndDestroy();
    const far = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    far.on('error', () => {});
    near.pipe(far).pipe(near);
    const pair = { near, far };
    this.#pairs.add(pair);
    const gone = () => {
      near.destroy();
      far.destroy();
      this.#pairs.delete(pair);
    };
    near.on('close', gone);
    far.on('close', gone);
  }

  /** Resets every connection, on both sides, at once; new ones are taken. */
  cut() {
    for (const { near, far } of this.#pairs) {
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
  }

  /** Cut, and refuse new connections until `up`. */
  down() {
    this.#down = true;
    this.cut();
  }

  up() {
    this.#down = false;
  }

  /** Half-open: both ends stay connected, nothing passes. New connections are unaffected. */
  stall() {
    for (const pair of this.#pairs) freeze(pair);
  }

  #close() {
    this.#listener.close();
    this.cut();
  }
}

function freeze({ near, far }) {
  near.unpipe(far);
  far.unpipe(near);
  near.pause();
  far.pause();
}
