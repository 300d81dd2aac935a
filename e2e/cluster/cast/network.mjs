// A network of its own for a node (Linux, as root): one cable to the clients and one to the store, of which the
// latter can be pulled. What is under way is lost without a word, as by a switch that dies.

import { execFileSync } from 'node:child_process';

const ip = (...words) => execFileSync('ip', words, { stdio: 'pipe' });

/** So many there have been: addresses of a run are its own. */
let networks = 0;
const open = new Set();
process.on('exit', () => open.forEach((network) => network.close()));

export class Network {
  /** A network, or null where it is not permitted. */
  static open() {
    const network = new Network(`cp${process.pid % 10_000}n${++networks}`);
    open.add(network);
    try {
      network.#build();
      return network;
    } catch {
      network.close();
      return null;
    }
  }

  constructor(name) {
    this.name = name;
    const subnet = (process.pid * 4 + networks * 2) % 250;
    this.front = { outside: `${name}f`, subnet: `10.213.${subnet}` };
    this.back = { outside: `${name}b`, subnet: `10.214.${subnet}` };
    /** Where the node is, as its clients see it; and where the store is, as the node sees it. */
    this.host = `${this.front.subnet}.2`;
    this.storeHost = `${this.back.subnet}.1`;
    /** What a command begins with that is to run inside. */
    this.words = ['ip', 'netns', 'exec', name];
  }

  #build() {
    ip('netns', 'add', this.name);
    ip('-n', this.name, 'link', 'set', 'lo', 'up');
    for (const { outside, subnet } of [this.front, this.back]) {
      const inside = `${outside}i`;
      ip('link', 'add', outside, 'type', 'veth', 'peer', 'name', inside);
      ip('link', 'set', inside, 'netns', this.name);
      ip('addr', 'add', `${subnet}.1/24`, 'dev', outside);
      ip('link', 'set', outside, 'up');
      ip('-n', this.name, 'addr', 'add', `${subnet}.2/24`, 'dev', inside);
      ip('-n', this.name, 'link', 'set', inside, 'up');
    }
  }

  /** Nothing passes between the node and the store. */
  pull() {
    ip('link', 'set', this.back.outside, 'down');
  }

  plug() {
    ip('link', 'set', this.back.outside, 'up');
  }

  close() {
    open.delete(this);
    const { name, front, back } = this;
    for (const words of [`link del ${front.outside}`, `link del ${back.outside}`, `netns del ${name}`]) {
      try {
        ip(...words.split(' '));
      } catch {
        // It was not built that far.
      }
    }
  }
}
