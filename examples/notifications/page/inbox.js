// The notifications that this device knows. What it is told may come twice and in any order, from a publication or
// from the list of the backend: the outcome is the same, since ids are unique and what is read stays read.

const KEPT_MAX = 200;

export class Inbox {
  #notifications = new Map();
  #read = new Set();

  /** Whether it was unknown. */
  add({ id, text, created, read = false }) {
    if (read) this.#read.add(id);
    if (this.#notifications.has(id)) return false;
    this.#notifications.set(id, { id, text, created });
    if (this.#notifications.size > KEPT_MAX) this.#forget(Math.min(...this.#notifications.keys()));
    return true;
  }

  /** May come before the notification itself. */
  markRead(id) {
    this.#read.add(id);
  }

  isRead(id) {
    return this.#read.has(id);
  }

  get newestFirst() {
    return [...this.#notifications.values()].sort((a, b) => b.id - a.id);
  }

  get unread() {
    return [...this.#notifications.keys()].filter((id) => !this.#read.has(id)).length;
  }

  #forget(id) {
    this.#notifications.delete(id);
    this.#read.delete(id);
  }
}
