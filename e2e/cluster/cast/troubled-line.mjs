// A TCP line between a node and its store that can be slow, narrow, torn, cut or dead, and says so to nobody.
//
// Loss shows to TCP's users as a wait for the repetition, so that is what is done here for it.

import { connect, createServer } from 'node:net';

/** What one lost segment costs at least (ms): the kernel's shortest time before it repeats. */
const REPETITION_MS = 200;
/** Bytes that are on their way in one direction before the sender is made to wait. */
const UNDER_WAY_MAX = 1024 * 1024;

/** Nothing is done to what passes. */
const SMOOTH = { delay: 0, loss: 0, bytesPerSecond: Infinity, singles: 0 };

export class TroubledLine {
  #listener;
  #pairs = new Set();
  #target;
  #isClosed = false;
  #isDead = false;
  trouble = SMOOTH;

  /** @param target { host, port } */
  static async to(target, random) {
    const line = new TroubledLine();
    line.#target = target;
    line.random = random;
    line.#listener = createServer({ allowHalfOpen: true }, (near) => line.#accept(near));
    await new Promise((resolve) => line.#listener.listen(0, '127.0.0.1', resolve));
    line.port = line.#listener.address().port;
    return line;
  }

  #accept(near) {
    // Resets are what this is for.
    near.on('error', () => {});
    if (this.#isClosed) return void near.resetAndDestroy();
    const far = connect({ ...this.#target, allowHalfOpen: true });
    far.on('error', () => {});
    for (const socket of [near, far]) socket.setNoDelay();
    const pumps = [new Pump(near, far, this), new Pump(far, near, this)];
    const pair = { near, far, pumps };
    this.#pairs.add(pair);
    if (this.#isDead) this.#stop(pair);
    const gone = () => {
      near.destroy();
      far.destroy();
      pumps.forEach((pump) => pump.end());
      this.#pairs.delete(pair);
    };
    near.on('close', gone);
    far.on('close', gone);
  }

  #stop({ pumps }) {
    pumps.forEach((pump) => pump.stop());
  }

  /**
   * @param trouble `delay` (ms), `loss` (share of pieces), `bytesPerSecond`, `singles` (so many
   * bytes of each piece pass one by one, before the rest)
   */
  shape(trouble) {
    this.trouble = { ...SMOOTH, ...trouble };
  }

  /** Resets what is open; new connections are taken. */
  reset() {
    for (const { near, far } of this.#pairs) {
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
  }

  /** Resets what is open and refuses what is new, until it is whole again. */
  refuse() {
    this.#isClosed = true;
    this.reset();
  }

  /** Half open: connections stay and new ones are taken, but nothing passes any more. */
  die() {
    this.#isDead = true;
    for (const pair of this.#pairs) this.#stop(pair);
  }

  /** As at the beginning. What was dead is reset: nobody knows what was lost of it. */
  mend() {
    if (this.#isDead) this.reset();
    this.#isClosed = false;
    this.#isDead = false;
    this.trouble = SMOOTH;
  }

  close() {
    this.#listener.close();
    this.refuse();
  }
}

/** One direction of a connection. What has come in leaves in its order, when its time has come. */
class Pump {
  #queue = [];
  #underWay = 0;
  #lastDue = 0;
  #timer = null;
  #isStopped = false;

  constructor(from, to, line) {
    Object.assign(this, { from, to, line });
    from.on('data', (bytes) => this.#take(bytes));
    from.on('end', () => {
      this.#push(null);
      if (!this.#timer) this.#flow();
    });
    to.on('drain', () => this.#flow());
  }

  #take(bytes) {
    const singles = Math.min(this.line.trouble.singles, bytes.length);
    for (let at = 0; at < singles; at++) this.#push(bytes.subarray(at, at + 1));
    if (singles < bytes.length) this.#push(bytes.subarray(singles));
    if (this.#underWay > UNDER_WAY_MAX) this.from.pause();
    if (!this.#timer) this.#flow();
  }

  #push(bytes) {
    const { delay, loss, bytesPerSecond } = this.line.trouble;
    const length = bytes?.length ?? 0;
    const repetition = loss && this.line.random.chance(loss) ? REPETITION_MS : 0;
    const now = performance.now();
    const due = Math.max(now + delay + repetition, this.#lastDue) + (1000 * length) / bytesPerSecond;
    this.#lastDue = due;
    this.#underWay += length;
    this.#queue.push({ bytes, due });
  }

  #flow() {
    clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#isStopped) return;
    while (this.#queue.length && !this.to.writableNeedDrain && this.#queue[0].due <= performance.now()) {
      const { bytes } = this.#queue.shift();
      if (!bytes) return void this.to.end();
      this.#underWay -= bytes.length;
      this.to.write(bytes);
      // The next one in a turn of its own, or the kernel would put them together.
      if (bytes.length === 1) break;
    }
    if (this.#underWay <= UNDER_WAY_MAX && this.from.isPaused()) this.from.resume();
    if (!this.#queue.length || this.to.writableNeedDrain) return;
    this.#timer = setTimeout(() => this.#flow(), Math.max(0, this.#queue[0].due - performance.now()));
  }

  stop() {
    this.#isStopped = true;
    this.from.pause();
  }

  end() {
    clearTimeout(this.#timer);
  }
}
