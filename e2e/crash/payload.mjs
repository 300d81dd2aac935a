// Payloads that say which publication they are, and show that they are whole.

import { digest } from '../lib/oracle.mjs';
import { Random } from './random.mjs';

/** What long payloads are cut from: text that does not compress to nothing. */
const TEXT = (() => {
  const random = new Random('text');
  return Array.from({ length: 16 * 1024 }, () => random.whole(0, 2 ** 32 - 1).toString(36).padStart(7, '0')).join('');
})();

/**
 * @param channels all to which it goes, separated by spaces
 * @param length about how many characters it has
 */
export function payload(channels, publisher, sequence, length) {
  const start = (sequence * 7919) % (TEXT.length / 2);
  const text = TEXT.slice(start, start + Math.max(0, length - 120));
  return { channels, publisher, sequence, text, hash: digest(channels, publisher, sequence, text) };
}

/** Which publication a payload is, or `null` if it is none of ours or not meant for `channel`. */
export function read(data, channel) {
  const { channels, publisher, sequence, text, hash } = data ?? {};
  const isOurs = typeof channels === 'string' && hash === digest(channels, publisher, sequence, text);
  return isOurs && channels.split(' ').includes(channel) ? `${publisher}/${sequence}` : null;
}
