// Where everybody stands, told from the log as it grows.

import { until } from '../lib/wait.mjs';

/**
 * Waits until everybody stands at the top; who never does is for the judge to name.
 * @param tops { epoch, offset } by channel
 * @param who the names of those who are subscribed to a channel
 */
export async function caughtUp(log, tops, who, ms) {
  const stands = new Map();
  let read = 0;
  const isAt = (top) => (place) => place?.epoch === top.epoch && place.offset === top.offset;
  const isThere = () => {
    for (; read < log.events.length; read++) {
      const { kind, who: name, channel, offset, epoch } = log.events[read];
      const key = `${name} ${channel}`;
      if (kind === 'subscribed') stands.set(key, { epoch, offset });
      else if (kind === 'delivery') Object.assign(stands.get(key) ?? {}, { offset });
    }
    const places = (channel) => who(channel).map((name) => stands.get(`${name} ${channel}`));
    return [...tops].every(([channel, top]) => places(channel).every(isAt(top)));
  };
  await until(isThere, 'everybody at the top', ms).catch(() => {});
}
