// Counts, by class of channels, and the first faults in words.

const FAULTS = [
  ['lost', 'acknowledged, and not there although nothing that is allowed took it away'],
  ['lostByRestart', 'acknowledged, and its stream was begun anew by a restart, under another epoch'],
  ['vanished', 'seen by somebody or in a history, not acknowledged, and not there any more'],
  ['duplicated', 'stored twice or delivered twice to the same subscriber'],
  ['duplicatedByRestart', 'stored or delivered again after a restart'],
  ['reordered', 'sequenced before something that was acknowledged before it was sent, or delivered out of order'],
  ['gaps', 'missed by a subscriber who was not told'],
  ['foreign', 'something that nobody published there, was damaged, or had been refused'],
  ['reused', 'an offset under which two publications were seen'],
  ['resurrected', 'trimmed or removed, and there again'],
  ['unexpected', '`recovered: false` without a cause'],
  ['ended', 'a connection or subscription that ended for good'],
];

/** What a server that keeps nothing across its end cannot avoid. */
const OF_MEMORY = ['lostByRestart', 'duplicatedByRestart'];

/** Why a subscriber may be told `recovered: false`. `epoch` is a fault of a server that keeps its streams. */
export const CAUSES = ['size', 'limit', 'bytes', 'expired', 'removed', 'forgotten', 'empty', 'epoch'];

const FINDINGS_MAX = 40;

export class Verdict {
  classes = new Map();
  findings = [];
  #found = 0;

  of(name) {
    if (!this.classes.has(name)) this.classes.set(name, {});
    return this.classes.get(name);
  }

  count(name, what, by = 1) {
    const counts = this.of(name);
    counts[what] = (counts[what] ?? 0) + by;
  }

  fault(name, what, words) {
    this.count(name, what);
    if (this.#found++ < FINDINGS_MAX) this.findings.push(`${what}: ${words}`);
  }

  total(what) {
    return [...this.classes.values()].reduce((sum, counts) => sum + (counts[what] ?? 0), 0);
  }

  /** The faults that there are. @param isDurable whether streams have to survive the process */
  faults({ isDurable = true } = {}) {
    const kinds = FAULTS.map(([kind]) => kind).filter((kind) => isDurable || !OF_MEMORY.includes(kind));
    if (isDurable) kinds.push('told:epoch');
    return Object.fromEntries(kinds.map((kind) => [kind, this.total(kind)]).filter(([, count]) => count > 0));
  }
}

const OTHERS = { 'told:epoch': 'told of another epoch', missed: 'acknowledged, and not brought to all who were there' };
export const explain = (kind) => FAULTS.find(([name]) => name === kind)?.[1] ?? OTHERS[kind];
export const FAULT_KINDS = FAULTS.map(([kind]) => kind);
