// Chance from a seed. The moments at which processes meet cannot be repeated; what the harness chooses can.

import { createHash } from 'node:crypto';

export class Random {
  #state;

  constructor(seed) {
    this.seed = `${seed}`;
    this.#state = createHash('sha256').update(this.seed).digest().readUInt32LE();
  }

  /** Chance of its own for a part of the harness: what one part takes changes nothing for the others. */
  fork(name) {
    return new Random(`${this.seed}/${name}`);
  }

  /** At least 0, less than 1 (mulberry32). */
  next() {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  between(low, high) {
    return low + this.next() * (high - low);
  }

  /** A whole number from `low` to `high`, both included. */
  whole(low, high) {
    return Math.floor(this.between(low, high + 1));
  }

  chance(share) {
    return this.next() < share;
  }

  pick(list) {
    return list[this.whole(0, list.length - 1)];
  }

  /** `count` different ones of a list. */
  several(list, count) {
    const left = [...list];
    const length = Math.min(count, left.length);
    return Array.from({ length }, () => left.splice(this.whole(0, left.length - 1), 1)[0]);
  }
}
