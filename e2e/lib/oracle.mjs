// The judge of a fault test: what was acknowledged against what each subscriber saw.

import { createHash } from 'node:crypto';

/** What shows that a payload is whole and one of ours; `text` is whatever else is in it. */
export const digest = (channel, publisher, sequence, text = '') =>
  createHash('sha256').update(`${channel}|${publisher}|${sequence}${text}`).digest('hex').slice(0, 16);

export class Ledger {
  #acknowledged = [];
  #sequence = 0;

  constructor(server, channel, publisher = 'ledger') {
    this.server = server;
    this.channel = channel;
    this.publisher = publisher;
  }

  /**
   * Publishes `count` numbered payloads one after another; each acknowledgement is written down.
   * @param publish how: `server.publish`, or something that does not give up so soon
   */
  async publish(count, publish = (...one) => this.server.publish(...one)) {
    for (let done = 0; done < count; done++) {
      const sequence = ++this.#sequence;
      const { channel, publisher } = this;
      const payload = { channel, publisher, sequence, hash: digest(channel, publisher, sequence) };
      const { offset, epoch } = await publish(channel, payload, sequence);
      this.#acknowledged.push({ sequence, offset, epoch });
    }
  }

  get acknowledged() {
    return this.#acknowledged.length;
  }

  /**
   * Every count but `acknowledged` must be 0.
   * @param deliveries publications in the order a subscriber saw them
   */
  judge(deliveries) {
    const offsets = new Map(this.#acknowledged.map(({ sequence, offset }) => [sequence, offset]));
    const seen = new Set();
    const verdict = { acknowledged: this.acknowledged, lost: 0, duplicated: 0, reordered: 0, gaps: 0, foreign: 0 };
    let last = 0;
    let lastOffset;
    for (const { data, offset } of deliveries) {
      const genuine =
        data.channel === this.channel && data.hash === digest(data.channel, data.publisher, data.sequence);
      if (!genuine || offsets.get(data.sequence) !== offset) verdict.foreign++;
      if (seen.has(data.sequence)) verdict.duplicated++;
      else if (data.sequence < last) verdict.reordered++;
      if (lastOffset !== undefined && offset > lastOffset + 1) verdict.gaps++;
      seen.add(data.sequence);
      last = Math.max(last, data.sequence);
      lastOffset = offset;
    }
    for (const sequence of offsets.keys()) if (!seen.has(sequence)) verdict.lost++;
    return verdict;
  }

  /** The verdict of a run in which nothing went wrong. */
  get clean() {
    return { acknowledged: this.acknowledged, lost: 0, duplicated: 0, reordered: 0, gaps: 0, foreign: 0 };
  }
}
