// What a page knows of the arena: made of frames, which `src/frame.rs` describes. No network, no screen.

/** Frames that wait for a keyframe: five seconds' worth. */
const WAITING_MAX = 100;

/** Reads numbers one after the other. */
class Reader {
  #view;
  #at = 0;

  constructor(bytes) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #next(size) {
    this.#at += size;
    return this.#at - size;
  }

  u8 = () => this.#view.getUint8(this.#next(1));
  i8 = () => this.#view.getInt8(this.#next(1));
  u16 = () => this.#view.getUint16(this.#next(2), true);
  u32 = () => this.#view.getUint32(this.#next(4), true);
  list = (item) => Array.from({ length: this.u16() }, item);
}

function decode(bytes) {
  const { u8, i8, u16, u32, list } = new Reader(bytes);
  return {
    isKey: u8() === 1,
    tick: u32(),
    left: list(u16),
    entered: list(() => ({ id: u16(), x: u16(), y: u16(), score: u16() })),
    moved: list(() => ({ id: u16(), dx: i8(), dy: i8() })),
    dots: list(() => ({ index: u16(), x: u16(), y: u16(), takenBy: u16() })),
  };
}

export class Picture {
  /** By id: where they are, and in `from` where they were a tick before. */
  players = new Map();
  dots = [];
  tick = -1;
  #waiting = [];

  /**
   * Takes a frame. Changes are differences from one tick to the next: they wait if one before them is missing.
   * @returns whether nothing is missing; otherwise it takes a keyframe to go on
   */
  receive(bytes) {
    const frame = decode(bytes);
    if (frame.isKey) {
      this.players.clear();
      this.#apply(frame);
    } else if (this.#waiting.push(frame) > WAITING_MAX) {
      this.#waiting.shift();
    }
    // The keyframe may be newer than some that wait for it.
    while (this.#waiting[0]?.tick <= this.tick) this.#waiting.shift();
    while (this.#waiting[0]?.tick === this.tick + 1) this.#apply(this.#waiting.shift());
    return this.#waiting.length === 0;
  }

  #apply({ tick, left, entered, moved, dots }) {
    this.tick = tick;
    for (const player of this.players.values()) player.from = { x: player.x, y: player.y };
    for (const id of left) this.players.delete(id);
    for (const { id, x, y, score } of entered) this.players.set(id, { x, y, score, from: { x, y } });
    for (const { id, dx, dy } of moved) {
      const player = this.players.get(id);
      player.x += dx;
      player.y += dy;
    }
    for (const { index, x, y, takenBy } of dots) {
      this.dots[index] = { x, y };
      if (takenBy) this.players.get(takenBy).score += 1;
    }
  }
}
