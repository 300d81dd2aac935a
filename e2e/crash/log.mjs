// What happened, in the order in which it did: the evidence of which the judge knows nothing else.

import { createWriteStream } from 'node:fs';
import { once } from 'node:events';

/**
 * Kinds of events, beside `at` (ms since the beginning):
 *
 * - `attempt` { id, channel, lane, bytes }: a publish was sent; those of one lane are sequenced in the order sent
 * - `answer` { id, channel, outcome, offset, epoch, code }: `stored`, `refused`, or `unsure` where an error does not
 *   say whether it was done; an attempt without an answer may have done either
 * - `subscribed` { who, channel, wasRecovering, recovered, offset, epoch }
 * - `delivery` { who, channel, id, offset }: `id` is null if the payload is not one of ours
 * - `asked` { page, channel }, `page` { page, channel, since, limit, isBounded, epoch, top, offsets, ids }: a part of
 *   a history, bounded in bytes too if it says so
 * - `removing`, `removed` { channel, removal }: the history was to be, and was, removed
 * - `ended` { channel, who, what }: something ended for good that must not end
 * - `died`: the server was killed or stopped
 * - `lost` { who, channel, code }: the SDK lost a connection (no channel) or a subscription, and is about to redo it
 * - `failed` { who, code }: the SDK could not connect
 * - `top` { channel, epoch, offset, who: [names] }: where everybody has to stand at the end
 */
export class Log {
  #begun = performance.now();
  events = [];

  add(kind, what) {
    this.events.push({ at: Math.round((performance.now() - this.#begun) * 10) / 10, kind, ...what });
  }

  /** One event a line. */
  async write(path) {
    const file = createWriteStream(path);
    for (const event of this.events) {
      if (!file.write(`${JSON.stringify(event)}\n`)) await once(file, 'drain');
    }
    file.end();
    await once(file, 'finish');
  }
}
