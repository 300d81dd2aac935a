// The HTTP API over one connection that is pipelined by hand: requests are answered in the order in which they were
// sent, and none is ever sent again behind the caller's back.

import { connect } from 'node:net';
import { API_KEY } from '../lib/server.mjs';

/** The connection ended before the answer came: it may have been done or not. */
export class Unanswered extends Error {}

const END_OF_HEAD = Buffer.from('\r\n\r\n');

export class ApiLine {
  #socket;
  #waiting = [];
  #received = Buffer.alloc(0);
  isOpen = true;

  constructor(socket) {
    this.#socket = socket;
    socket.setNoDelay();
    socket.on('data', (bytes) => this.#read(bytes));
    socket.on('error', () => {});
    socket.on('close', () => this.#ended());
  }

  /**
   * A connection, or an error while nobody listens.
   * @param patience ms of silence after which it is given up; who is frozen says nothing and refuses nothing
   */
  static open(port, { host = '127.0.0.1', patience = 0 } = {}) {
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port });
      socket.once('error', reject);
      socket.setTimeout(patience, () => socket.destroy(new Error(`nothing from ${host}:${port} for ${patience} ms`)));
      socket.once('connect', () => {
        socket.removeListener('error', reject);
        resolve(new ApiLine(socket));
      });
    });
  }

  /** The reply to a call, with the status of its response. */
  call(method, params) {
    const body = JSON.stringify(params);
    const head = [
      `POST /api/${method} HTTP/1.1`,
      'Host: localhost',
      `X-API-Key: ${API_KEY}`,
      'Content-Type: application/json',
      `Content-Length: ${Buffer.byteLength(body)}`,
    ];
    return new Promise((resolve, reject) => {
      if (!this.isOpen) return void reject(new Unanswered());
      this.#waiting.push({ resolve, reject });
      this.#socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
    });
  }

  /** Takes no more calls; those under way get their answers. */
  close() {
    this.isOpen = false;
    this.#socket.end();
  }

  #read(bytes) {
    this.#received = this.#received.length ? Buffer.concat([this.#received, bytes]) : bytes;
    for (;;) {
      const end = this.#received.indexOf(END_OF_HEAD);
      if (end < 0) return;
      const head = this.#received.toString('latin1', 0, end);
      const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
      const begin = end + END_OF_HEAD.length;
      if (this.#received.length < begin + length) return;
      const body = this.#received.toString('utf8', begin, begin + length);
      this.#received = this.#received.subarray(begin + length);
      this.#waiting.shift()?.resolve(reply(head, body));
    }
  }

  #ended() {
    this.isOpen = false;
    for (const { reject } of this.#waiting.splice(0)) reject(new Unanswered());
  }
}

function reply(head, body) {
  const status = Number(head.split(' ', 2)[1]);
  // Refused before it came to the API, as a server does that is about to stop.
  return status === 200 ? JSON.parse(body) : { error: { code: status, message: 'refused by its status' } };
}
