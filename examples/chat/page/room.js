// What this page knows of the room that it is in: what was said, who is here, who is typing.

const KEPT_MAX = 500;
/** Who has not said for so long that they are typing has stopped. */
const TYPING_MS = 3000;
/** Between two questions who is here, on average. */
const ASK_EVERY_MS = 500;

/** As terminals show them, too: nobody passes for another by taking their name. */
export const shown = (user, name) => (user === name ? name : `${name} (${user})`);

export class Room {
  #subscription;
  #client;
  #changed;
  #said = new Map();
  #typing = new Map();
  #asking = false;
  #askAgain = false;
  members = [];

  /** `changed` is called when there is something new to show. */
  constructor(client, name, me, changed) {
    this.name = name;
    this.#client = client;
    this.#changed = changed;
    this.#subscription = client.newSubscription(`room:${name}`);
    this.#subscription.on('publication', ({ offset, data }) => {
      if (data.type === 'text') this.#add(offset, data);
      else if (data.type === 'people') this.#ask();
      else if (data.type === 'typing' && data.from !== me) this.#types(data);
    });
    this.#subscription.on('join', () => this.#ask());
    this.#subscription.on('leave', () => this.#ask());
    this.#subscription.on('subscribed', ({ recovered, wasRecovering }) => {
      this.#ask();
      if (recovered) return;
      // What was missed is more than the server keeps: offsets may begin anew.
      if (wasRecovering) this.#said.clear();
      this.#load();
    });
  }

  /** Done when the room is entered; an error when it cannot be. */
  enter() {
    this.#subscription.subscribe();
    return new Promise((resolve, reject) => {
      this.#subscription.once('subscribed', resolve);
      this.#subscription.once('unsubscribed', ({ reason }) => reject(new Error(reason)));
    });
  }

  leave() {
    this.#typing.forEach(({ timer }) => clearTimeout(timer));
    this.#changed = () => {};
    this.#client.removeSubscription(this.#subscription);
  }

  say(text) {
    return this.#subscription.publish({ text });
  }

  /** Nobody minds when this is lost. */
  type() {
    if (this.#subscription.state === 'subscribed') this.#subscription.publish('typing').catch(() => {});
  }

  /** In the order of the room, which its offsets are. */
  get said() {
    return [...this.#said].sort(([a], [b]) => a - b).map(([, message]) => message);
  }

  get typing() {
    return [...this.#typing].map(([user, { name }]) => shown(user, name));
  }

  /** Publications that come while history is on its way are in both: an offset is there once. */
  async #load() {
    try {
      const { publications } = await this.#subscription.history({ limit: 50 });
      for (const { offset, data } of publications) this.#add(offset, data);
    } catch {
      // The connection is gone again; the next one loads.
    }
  }

  #add(offset, message) {
    this.#said.set(offset, message);
    if (this.#said.size > KEPT_MAX) this.#said.delete(Math.min(...this.#said.keys()));
    this.#stops(message.from);
    this.#changed();
  }

  #types({ from, name }) {
    this.#stops(from);
    const stop = () => {
      this.#stops(from);
      this.#changed();
    };
    this.#typing.set(from, { name, timer: setTimeout(stop, TYPING_MS) });
    this.#changed();
  }

  #stops(user) {
    clearTimeout(this.#typing.get(user)?.timer);
    this.#typing.delete(user);
  }

  /**
   * Who is here; one question at a time, and another one if something has happened meanwhile. Each after a moment, in
   * which more may happen, and which is another one on each page: they do not ask all at the same time.
   */
  async #ask() {
    this.#askAgain = true;
    if (this.#asking) return;
    this.#asking = true;
    try {
      while (this.#askAgain) {
        const moment = ASK_EVERY_MS * (0.5 + Math.random());
        await new Promise((resolve) => setTimeout(resolve, moment));
        this.#askAgain = false;
        // It was left, or the next connection asks.
        if (this.#subscription.state !== 'subscribed') return;
        this.members = (await this.#client.rpc('members', { room: this.name })).data;
        this.#changed();
      }
    } catch {
      // As for history.
    } finally {
      this.#asking = false;
    }
  }
}
