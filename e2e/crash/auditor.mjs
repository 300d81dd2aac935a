// Reads every history over the HTTP API, to be compared with what was acknowledged and delivered.

import { Unanswered } from './line.mjs';
import { read } from './payload.mjs';
import { CLASSES, channelsOf, classOf } from './settings.mjs';

const LIMIT = 1000;
/** How much of what was read before is read again. */
const OVERLAP = 50;

export class Auditor {
  #log;
  #dial;
  #pages = 0;
  /** What has been read of channels of which nothing is trimmed: the epoch, and up to where. */
  #read = new Map();

  /** @param dial gives a line to a server */
  constructor({ log, dial }) {
    this.#log = log;
    this.#dial = dial;
  }

  nextPage = () => ++this.#pages;

  /**
   * One look at all channels; those that are never trimmed from where the last look ended, unless it is to be
   * `whole`. Returns the tops, or null when the server dies meanwhile.
   */
  async look({ whole = false } = {}) {
    const tops = new Map();
    let line;
    try {
      line = await this.#dial();
      for (const channel of channelsOf()) {
        if (CLASSES[classOf(channel)].size) tops.set(channel, await this.#history(line, channel, whole));
      }
    } catch (error) {
      if (error instanceof Unanswered || error.code === 'ECONNREFUSED' || error.code === 'ECONNRESET') return null;
      throw error;
    } finally {
      line?.close();
    }
    return tops;
  }

  async #history(line, channel, whole) {
    const before = classOf(channel) === 'all' && !whole ? this.#read.get(channel) : undefined;
    let since = Math.max(0, (before?.offset ?? 0) - OVERLAP);
    let top;
    for (;;) {
      const page = this.nextPage();
      this.#log.add('asked', { page, channel });
      // Without an epoch: whatever is there is told.
      const query = { channel, limit: LIMIT, since: { offset: since, epoch: '' } };
      const { result, error } = await line.call('history', query);
      if (error) throw Object.assign(new Unanswered(`history: ${error.code} ${error.message}`), error);
      const offsets = result.publications.map(({ offset }) => offset);
      const ids = result.publications.map(({ data }) => read(data, channel));
      const { epoch, offset } = result;
      this.#log.add('page', { page, channel, since, limit: LIMIT, epoch, top: offset, offsets, ids });
      // A new epoch begins at 1: what lies below `since` has to be read too.
      if (before && epoch !== before.epoch) return this.#history(line, channel, true);
      top ??= { epoch, offset };
      if (!offsets.length || offsets.at(-1) >= top.offset) break;
      since = offsets.at(-1);
    }
    this.#read.set(channel, top);
    return top;
  }

  /** The reply to one call. */
  async ask(method, params) {
    const line = await this.#dial();
    return line.call(method, params).finally(() => line.close());
  }

  /** Removes a history; what has no answer may have been done or not. */
  async remove(channel) {
    const removal = ++this.#pages;
    let line;
    try {
      line = await this.#dial();
      this.#log.add('removing', { channel, removal });
      const { error } = await line.call('history_remove', { channel });
      if (!error) this.#log.add('removed', { channel, removal });
    } catch {
      // The server died; the log says that it was asked.
    } finally {
      line?.close();
    }
  }
}
