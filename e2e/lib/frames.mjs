// A WebSocket by hand, for frames that no library would send.

import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { within } from './wait.mjs';

export const CONTINUATION = 0;
export const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

/** A client's frame of up to 65535 bytes (RFC 6455, section 5.2), as `flags` and `isMasked` want it. */
export function frame(opcode, payload = '', { flags = 0x80, isMasked = true } = {}) {
  const bytes = Buffer.from(payload);
  const head = bytes.length < 126 ? [bytes.length] : [126, bytes.length >> 8, bytes.length & 0xff];
  head[0] |= isMasked ? 0x80 : 0;
  const key = isMasked ? randomBytes(4) : Buffer.alloc(0);
  const body = isMasked ? bytes.map((byte, at) => byte ^ key[at % 4]) : bytes;
  return Buffer.concat([Buffer.from([flags | opcode, ...head]), key, body]);
}

/** The payload of a close frame. */
export const closing = (code, reason = '') => Buffer.concat([Buffer.from([code >> 8, code & 0xff]), Buffer.from(reason)]);

export class Frames {
  #socket;
  #bytes;

  constructor(socket, head) {
    this.#socket = socket;
    this.#bytes = head;
    socket.on('data', (chunk) => (this.#bytes = Buffer.concat([this.#bytes, chunk])));
    // A reset shows as the end.
    socket.on('error', () => {});
    this.ended = once(socket, 'close');
  }

  /** A connection that is open and has sent nothing. */
  static async open(t, url) {
    const key = randomBytes(16).toString('base64');
    const headers = { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': 13, 'Sec-WebSocket-Key': key };
    const asked = request(url.replace('ws:', 'http:'), { headers }).end();
    const [, socket, head] = await within(once(asked, 'upgrade'), 'WebSocket handshake');
    t.after(() => socket.destroy());
    return new Frames(socket, head);
  }

  send(...frames) {
    this.#socket.write(Buffer.concat(frames));
  }

  /** The next frame of the server, whose frames have no mask. */
  async next() {
    for (;;) {
      const found = this.#take();
      if (found) return found;
      await within(Promise.race([once(this.#socket, 'data'), this.#noMore()]), 'frame');
    }
  }

  async #noMore() {
    await this.ended;
    throw new Error('the connection ended without a frame');
  }

  #take() {
    const bytes = this.#bytes;
    const isLong = (bytes[1] & 0x7f) === 126;
    const start = isLong ? 4 : 2;
    if (bytes.length < start) return null;
    const end = start + (isLong ? bytes.readUInt16BE(2) : bytes[1]);
    if (bytes.length < end) return null;
    this.#bytes = bytes.subarray(end);
    return { opcode: bytes[0] & 0x0f, payload: bytes.subarray(start, end) };
  }
}
