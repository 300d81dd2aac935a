// The judge of the cluster's fault suite has to convict: the log of a run over a failover is clean, and whatever is
// planted in it is found, wherever it is planted.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { measure } from '../cluster/measure.mjs';
import { judge } from '../crash/judge.mjs';

const CHANNEL = 'all:1';
const PEOPLE = ['behind-1', 'behind-2', 'at-node-1'];

/** Writes the log of a run; 100 ms pass from one event to the next. */
class Run {
  events = [];

  say(kind, what) {
    this.events.push({ at: 100 * this.events.length, kind, channel: CHANNEL, ...what });
  }

  subscribed(who, offset, epoch, how) {
    this.say('subscribed', { who, wasRecovering: how !== undefined, recovered: how === 'recovered', offset, epoch });
  }

  /** Over nodes in turn, each with a publisher of its own; `reached` is who gets it. */
  publish(sequence, offset, epoch, reached = PEOPLE) {
    const id = `publisher-${sequence % 2}/${sequence}`;
    this.say('attempt', { id, lane: `lane-${sequence % 2}`, bytes: 100 });
    this.say('answer', { id, outcome: 'stored', offset, epoch });
    for (const who of reached) this.say('delivery', { who, id, offset });
  }

  page(epoch, sequences) {
    this.say('asked', { page: epoch });
    const ids = sequences.map((sequence) => `publisher-${sequence % 2}/${sequence}`);
    const offsets = sequences.map((_, n) => n + 1);
    this.say('page', { page: epoch, since: 0, limit: 1000, epoch, top: offsets.length, offsets, ids });
  }
}

/**
 * Six publications, of which one comes by recovery and one after an error. The last two were acknowledged and are
 * lost with the primary, and everybody is told; then four more.
 */
function failover() {
  const run = new Run();
  for (const who of PEOPLE) run.subscribed(who, 0, 'before');
  run.publish(1, 1, 'before');
  run.publish(2, 2, 'before');
  run.say('fault', { what: 'a node dies', channel: undefined });
  run.say('lost', { who: 'behind-2', channel: '', code: 1 });
  run.publish(3, 3, 'before', ['behind-1', 'at-node-1']);
  run.subscribed('behind-2', 3, 'before', 'recovered');
  run.say('delivery', { who: 'behind-2', id: 'publisher-1/3', offset: 3 });
  run.say('attempt', { id: 'publisher-0/4', lane: 'lane-0', bytes: 100 });
  run.say('answer', { id: 'publisher-0/4', outcome: 'unsure', code: 100 });
  run.publish(4, 4, 'before');
  run.page('before', [1, 2, 3, 4]);
  run.publish(5, 5, 'before');
  run.publish(6, 6, 'before', ['behind-1']);
  run.say('died', { channel: undefined });
  for (const who of PEOPLE) run.subscribed(who, 0, 'after', 'lost');
  for (const sequence of [7, 8, 9, 10]) run.publish(sequence, sequence - 6, 'after');
  run.page('after', [7, 8, 9, 10]);
  run.say('top', { epoch: 'after', offset: 4, who: PEOPLE });
  return run.events;
}

const faults = (events, isDurable = false) => judge(events).faults({ isDurable });

/** The log with `change` done to its n-th event of those that `which` accepts; for each n. */
function* planted(which, change) {
  const count = failover().filter(which).length;
  assert.ok(count > 0, 'something to plant it in');
  for (let n = 0; n < count; n++) {
    const events = failover();
    const event = events.filter(which)[n];
    if (change(events, events.indexOf(event), event) !== false) yield { events, event };
  }
}

const isDelivery = ({ kind }) => kind === 'delivery';

test('a failover of which everybody is told is clean', () => {
  assert.deepEqual(faults(failover()), {});
});

test('a store that promised to lose nothing is convicted of what it lost', () => {
  assert.equal(faults(failover(), true).lostByRestart, 6);
  assert.equal(faults(failover(), true)['told:epoch'], 3);
});

describe('found wherever it is planted:', () => {
  test('a silent loss', () => {
    // Of what was lost with the primary nobody has to have had the last.
    const isWanted = (event) => isDelivery(event) && !['publisher-0/6', 'publisher-1/5'].includes(event.id);
    for (const { events, event } of planted(isWanted, (all, n) => void all.splice(n, 1))) {
      assert.ok(faults(events).gaps > 0, `${event.id} at ${event.who}`);
    }
  });

  test('a duplicate', () => {
    for (const { events, event } of planted(isDelivery, (all, n, one) => void all.splice(n, 0, { ...one }))) {
      assert.equal(faults(events).duplicated, 1, `${event.id} at ${event.who}`);
    }
  });

  test('a swapped pair', () => {
    const swap = (all, n, one) => {
      const next = all.findIndex((other, at) => at > n && isDelivery(other) && other.who === one.who);
      const isTold = all.slice(n, next).some(({ kind, who }) => kind === 'subscribed' && who === one.who);
      if (next < 0 || isTold) return false;
      [all[n], all[next]] = [all[next], all[n]];
    };
    for (const { events, event } of planted(isDelivery, swap)) {
      assert.ok(faults(events).reordered > 0, `${event.id} at ${event.who}: ${JSON.stringify(faults(events))}`);
    }
  });

  test('a recovery that there was not', () => {
    const isTold = ({ kind, wasRecovering, recovered }) => kind === 'subscribed' && wasRecovering && !recovered;
    for (const { events } of planted(isTold, (_, n, one) => void (one.recovered = true))) {
      assert.equal(faults(events).gaps, 1);
    }
  });

  test('a foreign payload', () => {
    for (const { events } of planted(isDelivery, (_, n, one) => void (one.id = 'publisher-9/1'))) {
      assert.ok(faults(events).foreign > 0);
    }
  });

  test('a publication that is stored again by a node that was asked again', () => {
    const isStored = ({ kind, outcome, epoch }) => kind === 'answer' && outcome === 'stored' && epoch === 'after';
    const again = (all, n, { id }) => {
      all.splice(n + 1, 0, { ...all[n], id, offset: 99 });
    };
    for (const { events, event } of planted(isStored, again)) assert.equal(faults(events).duplicated, 1, event.id);
  });

  test('an acknowledged publication that a history does not have', () => {
    const isPage = ({ kind }) => kind === 'page';
    const cut = (_, n, one) => {
      one.offsets = one.offsets.filter((offset) => offset !== 2);
      one.ids.splice(1, 1);
    };
    for (const { events } of planted(isPage, cut)) assert.equal(faults(events).lost, 1);
  });

  test('a lost tail that keeps its epoch, so that its offsets are given again', () => {
    const events = failover().map((event) =>
      event.epoch === 'after' ? { ...event, epoch: 'before' } : event,
    );
    assert.ok(faults(events).reused > 0);
  });
});

test('what the store lost is what not everybody got, and calls that failed are counted', () => {
  const { missed, errors } = measure(failover());
  assert.deepEqual({ missed, errors }, { missed: 1, errors: 1 });
});

describe('the time until everybody is served again', () => {
  test('is taken from the fault to what was sent after it and came after the last resubscription', () => {
    const events = failover();
    const { waits, never, subscriptions } = measure(events);
    // Of three, one lost its connection.
    const fault = events.find(({ kind }) => kind === 'fault');
    const back = events.find(({ kind, who, id }) => kind === 'delivery' && `${who} ${id}` === 'behind-2 publisher-1/3');
    assert.deepEqual({ waits, never, subscriptions }, { waits: [back.at - fault.at], never: 0, subscriptions: 3 });
  });

  test('never comes for one who is forgotten', () => {
    const fault = failover().findIndex(({ kind }) => kind === 'fault');
    assert.equal(measure(failover().filter(({ who }, n) => n < fault || who !== 'at-node-1')).never, 1);
  });

});
