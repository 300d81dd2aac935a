// The judge of the crash harness has to convict: each kind of fault, fabricated, must be seen, and nothing else.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { judge } from '../crash/judge.mjs';

const STREAM = { size: 1000, ttl: 3_600_000, metaTtl: 3_600_000, mode: 'stream' };
const classes = {
  c: STREAM,
  tight: { ...STREAM, size: 3 },
  brief: { ...STREAM, ttl: 1000 },
  fading: { ...STREAM, ttl: 1000, metaTtl: 3000 },
  cache: { ...STREAM, mode: 'cache' },
  none: { mode: 'none', size: 0 },
};

/** Writes logs as runs do; a second passes when it is told to. */
class Story {
  events = [];
  #now = 0;
  #pages = 0;

  constructor(channel = 'c:1') {
    this.channel = channel;
  }

  later(ms) {
    this.#now += ms;
    return this;
  }

  say(kind, what) {
    this.events.push({ at: ++this.#now, kind, channel: this.channel, ...what });
    return this;
  }

  attempt(id, lane = 'lane') {
    return this.say('attempt', { id: `p/${id}`, lane, bytes: 10 });
  }

  stored(id, offset = id, epoch = 'e') {
    return this.say('answer', { id: `p/${id}`, outcome: 'stored', offset, epoch });
  }

  refused(id) {
    return this.say('answer', { id: `p/${id}`, outcome: 'refused', code: 100 });
  }

  /** Numbers from `from` to `to`, each acknowledged before the next. */
  publish(from, to, epoch = 'e') {
    for (let id = from; id <= to; id++) this.attempt(id).stored(id, id, epoch);
    return this;
  }

  subscribed(offset, { how, epoch = 'e', who = 's' } = {}) {
    const told = { wasRecovering: how !== undefined, recovered: how === 'recovered' };
    return this.say('subscribed', { who, ...told, offset, epoch });
  }

  deliver(...ids) {
    for (const id of ids) this.say('delivery', { who: 's', id: id && `p/${id}`, offset: id ?? 1 });
    return this;
  }

  at(id, offset) {
    return this.say('delivery', { who: 's', id: `p/${id}`, offset });
  }

  page(offsets, { ids = offsets, top = offsets.at(-1) ?? 0, since = 0, limit = 1000, epoch = 'e', isBounded } = {}) {
    const page = ++this.#pages;
    this.say('asked', { page });
    const written = { offsets, ids: ids.map((id) => `p/${id}`) };
    return this.say('page', { page, since, limit, epoch, top, isBounded, ...written });
  }

  removed() {
    return this.say('removing', { removal: 1 }).say('removed', { removal: 1 });
  }

  died() {
    return this.say('died', {});
  }

  top(offset, epoch = 'e') {
    return this.say('top', { epoch, offset, who: ['s'] });
  }

  verdict(rules = {}) {
    return judge(this.events, { classes, limit: 500, bytes: 1_000_000, ...rules });
  }
}

const story = (channel) => new Story(channel);

describe('a run without faults', () => {
  const clean = {
    'of deliveries and pages': story().subscribed(0).publish(1, 4).deliver(1, 2, 3, 4).page([1, 2, 3, 4]).top(4),
    'over a death that is recovered': story()
      .subscribed(0).publish(1, 3).deliver(1, 2).died().subscribed(2, { how: 'recovered' }).deliver(3).top(3),
    'with an answer that comes after the delivery': story().subscribed(0).attempt(1).deliver(1).stored(1),
    'of which an unanswered one is there': story().publish(1, 1).attempt(2).died().page([1, 2]),
    'of which an unanswered one is not there': story()
      .publish(1, 1).attempt(2).died().attempt(3).stored(3, 2).page([1, 2], { ids: [1, 3] }),
    'with a repeat that is answered as the first was': story()
      .attempt(1).stored(1).died().attempt(1, 'other').stored(1).page([1]),
    'with pages cut by their limit': story().publish(1, 5).page([2, 3], { since: 1, limit: 2, top: 5 }),
    'with pages cut by their size': story().publish(1, 5).page([2, 3], { since: 1, top: 5, isBounded: true }),
    'of what is trimmed': story('tight:1').publish(1, 5).page([3, 4, 5]),
    'of what has expired': story('brief:1').publish(1, 5).later(2000).page([], { top: 5 }),
    'of what was removed': story().publish(1, 5).removed().page([], { top: 5 }),
    'of a cache that brings its latest': story('cache:1')
      .subscribed(0).publish(1, 5).deliver(1).subscribed(1, { how: 'recovered' }).deliver(5).top(5),
    'without history': story('none:1').attempt(1).stored(1, 0, '').attempt(2).deliver(1, 2),
  };
  for (const [what, { events }] of Object.entries(clean)) {
    test(`is clean: one ${what}`, () => {
      const verdict = judge(events, { classes, limit: 500, bytes: 1_000_000 });
      assert.deepEqual(verdict.faults(), {}, verdict.findings.join('\n'));
    });
  }
});

describe('a fault', () => {
  const faults = {
    'an acknowledged one that is not in the history any more': [
      story().publish(1, 4).died().page([1, 2, 4]), { lost: 1 },
    ],
    'acknowledged ones cut off the end': [story().publish(1, 4).died().page([1, 2]), { lost: 2 }],
    'an acknowledged one that is not in a tail of the history': [
      story().publish(1, 4).died().page([4], { since: 2 }), { lost: 1 },
    ],
    'one that was seen, but not acknowledged, and is gone': [
      story().subscribed(0).attempt(1).deliver(1).died().page([], { top: 0 }), { vanished: 1 },
    ],
    'an acknowledged one of a stream that began anew': [
      story().publish(1, 2).died().page([], { epoch: 'f' }), { lostByRestart: 2 },
    ],
    'a repeat that is stored again': [
      story().attempt(1).died().attempt(1).stored(1, 2).page([1, 2], { ids: [1, 1] }), { duplicated: 1 },
    ],
    'a repeat that is stored again after a restart without memory': [
      story().publish(1, 1).died().attempt(1).stored(1, 1, 'f'), { lostByRestart: 1, duplicatedByRestart: 1 },
    ],
    'one that is delivered twice': [story().subscribed(0).publish(1, 2).deliver(1, 2, 2), { duplicated: 1 }],
    'one that is recovered although it had been delivered': [
      story().subscribed(0).publish(1, 2).deliver(1, 2).subscribed(2, { how: 'recovered' }).deliver(2),
      { duplicated: 1 },
    ],
    'one that is delivered twice where there is no history': [
      story('none:1').attempt(1).deliver(1).attempt(1).deliver(1), { duplicated: 1 },
    ],
    'a swapped pair': [story().subscribed(0).publish(1, 3).deliver(1, 3, 2), { gaps: 1, reordered: 1 }],
    'one that is sequenced before what was acknowledged before it': [
      story().attempt(1).stored(1, 2).attempt(2).stored(2, 1), { reordered: 1 },
    ],
    'two of a lane that change places': [
      story().attempt(1).attempt(2).stored(2, 1).stored(1, 2), { reordered: 1 },
    ],
    'a silent gap': [story().subscribed(0).publish(1, 3).deliver(1, 3), { gaps: 1 }],
    'a silent gap behind a recovery': [
      story().subscribed(0).publish(1, 3).deliver(1).subscribed(1, { how: 'recovered' }).deliver(3), { gaps: 1 },
    ],
    'a recovery over an epoch': [
      story().subscribed(0).publish(1, 1).deliver(1).subscribed(1, { how: 'recovered', epoch: 'f' }),
      { lostByRestart: 1, gaps: 1 },
    ],
    'a last one that never comes': [story().subscribed(0).publish(1, 3).deliver(1, 2).top(3), { gaps: 1 }],
    'one that nobody published': [story().subscribed(0).at(1, 1), { foreign: 1 }],
    'a payload that is damaged': [story().subscribed(0).publish(1, 1).deliver(null), { foreign: 1 }],
    'one that is stored although it was refused': [story().attempt(1).refused(1).page([1]), { foreign: 1 }],
    'an offset that is given twice': [
      story().publish(1, 2).died().attempt(3).stored(3, 2), { reused: 1 },
    ],
    'one that is trimmed and there again': [story('tight:1').publish(1, 4).page([1, 2, 3, 4]), { resurrected: 1 }],
    'one that is removed and there again': [story().publish(1, 2).removed().page([1, 2]), { resurrected: 2 }],
    'one who is told of a loss that there is not': [
      story().subscribed(0).publish(1, 2).deliver(1, 2).subscribed(2, { how: 'lost' }), { unexpected: 1 },
    ],
    'one who is told of a loss that history covers': [
      story().subscribed(0).publish(1, 3).deliver(1).subscribed(3, { how: 'lost' }), { unexpected: 1 },
    ],
    'a connection that ends for good': [story().say('ended', { who: 's', what: '3500' }), { ended: 1 }],
  };
  for (const [what, [{ events }, expected]] of Object.entries(faults)) {
    test(`is seen: ${what}`, () => {
      const verdict = judge(events, { classes, limit: 500, bytes: 1_000_000 });
      const seen = verdict.faults();
      assert.deepEqual(seen, expected, verdict.findings.join('\n'));
    });
  }
});

describe('whoever is told of a loss', () => {
  const away = (channel, count) => story(channel).subscribed(0).publish(1, 1).deliver(1).publish(2, 1 + count);
  const causes = {
    size: away('tight:1', 4).subscribed(5, { how: 'lost' }),
    limit: away('c:1', 501).subscribed(502, { how: 'lost' }),
    expired: away('brief:1', 4).later(2000).subscribed(5, { how: 'lost' }),
    removed: away('c:1', 4).removed().subscribed(5, { how: 'lost' }),
    forgotten: away('fading:1', 4).later(5000).subscribed(0, { how: 'lost', epoch: 'f' }),
    epoch: story().subscribed(0).publish(1, 1).deliver(1).subscribed(0, { how: 'lost', epoch: 'f' }),
  };
  for (const [cause, told] of Object.entries(causes)) {
    test(`is told for a cause: ${cause}`, () => {
      const verdict = told.verdict();
      assert.equal(verdict.total(`told:${cause}`), 1);
      assert.deepEqual(verdict.faults({ isDurable: false }), {}, verdict.findings.join('\n'));
    });
  }

  test('by another epoch is a fault where streams survive', () => {
    assert.deepEqual(causes.epoch.verdict().faults(), { lostByRestart: 1, 'told:epoch': 1 });
  });
});
