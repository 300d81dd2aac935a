// How long subscribers had to wait, and what failed on the way, told from the log. Pure.

import { classOf } from '../crash/settings.mjs';

/** Channels to which something is published all the time: who waits there waits for the cluster. */
const BUSY = ['all', 'some', 'delta', 'wiped'];
/** Whoever lost nothing and waited no longer than this (ms) did not notice the fault. */
const NOTICED_MS = 1000;

/**
 * @returns `waits`: in ms, ascending, for each fault and each subscription that noticed it, the time until it was
 * served for good: until the first publication that was sent after the fault and came after its last resubscription;
 * `never`: those that nothing came to until the end; `subscriptions`: all that there were; `missed`: publications that
 * were acknowledged and that somebody who was there did not get, of channels that forget nothing by themselves
 */
export function measure(events) {
  const waits = [];
  let never = 0;
  let subscriptions = 0;
  const { marks, sent, stories } = read(events);
  marks.forEach((mark, n) => {
    const until = marks[n + 1]?.index ?? Infinity;
    for (const { channel, since, story } of stories.values()) {
      if (since > mark.index) continue;
      subscriptions++;
      const wait = waited(story, channel, { mark, until, sent });
      if (wait === Infinity) never++;
      else if (wait !== null) waits.push(wait);
    }
  });
  waits.sort((a, b) => a - b);
  const refused = events.filter(({ kind, who }) => kind === 'failed' && who.startsWith('behind'));
  const counts = { missed: missed(events), refused: refused.length, errors: errors(events) };
  return { faults: marks.length, waits, never, subscriptions, ...counts };
}

/** Whether everybody has been served since the last fault. Cheap: the harness answers no pings meanwhile. */
export function areServed(events) {
  const last = events.findLastIndex(({ kind }) => kind === 'fault');
  return measure(events.filter(({ kind }, n) => n >= last || kind === 'subscribed')).never === 0;
}

/** The faults, when each publication was sent first, and what happened to each subscription worth watching. */
function read(events) {
  const marks = [];
  const sent = new Map();
  const stories = new Map();
  const people = new Map();
  events.forEach((event, index) => {
    const { kind, who, channel, id, at } = event;
    if (kind === 'fault') marks.push({ ...event, index });
    else if (kind === 'attempt' && !sent.has(id)) sent.set(id, at);
    if (!['lost', 'delivery', 'subscribed'].includes(kind) || who.startsWith('absent')) return;
    if (!people.has(who)) people.set(who, []);
    if (kind !== 'subscribed') people.get(who).push({ kind, channel, id, at, index });
    const key = `${who} ${channel}`;
    if (kind !== 'subscribed' || !BUSY.includes(classOf(channel)) || stories.has(key)) return;
    stories.set(key, { channel, since: index, story: people.get(who) });
  });
  return { marks, sent, stories };
}

/** How many that were sent after the first fault and acknowledged did not reach everybody who was subscribed then. */
function missed(events) {
  const wanted = new Map();
  const here = new Map();
  const acknowledged = new Set();
  const first = events.findIndex(({ kind }) => kind === 'fault');
  events.forEach(({ kind, who, channel, id, outcome }, n) => {
    if (!channel || classOf(channel) !== 'all' || `${who}`.startsWith('absent')) return;
    const key = `${id} ${channel}`;
    if (!here.has(channel)) here.set(channel, new Set());
    if (kind === 'subscribed') here.get(channel).add(who);
    else if (kind === 'attempt' && !wanted.has(key)) wanted.set(key, new Set(n > first ? here.get(channel) : []));
    else if (kind === 'delivery') wanted.get(key)?.delete(who);
    else if (kind === 'answer' && outcome === 'stored') acknowledged.add(key);
  });
  return [...acknowledged].filter((key) => wanted.get(key)?.size > 0).length;
}

/** Calls for one channel that failed or were not answered. */
function errors(events) {
  let count = 0;
  for (const { kind, outcome } of events) {
    if (kind === 'attempt') count++;
    else if (kind === 'answer' && outcome === 'stored') count--;
  }
  return count;
}

/** Ms, Infinity if it was never served again, or null if it did not notice. */
function waited(story, channel, { mark, until, sent }) {
  let lostAt = null;
  let servedAt = null;
  for (let n = firstAfter(story, mark.index); n < story.length; n++) {
    const event = story[n];
    // What is lost later is lost by another fault.
    if (event.index > until && servedAt !== null) break;
    if (event.kind === 'lost' && (event.channel === '' || event.channel === channel)) {
      lostAt ??= event.at;
      servedAt = null;
    } else if (event.kind === 'delivery' && event.channel === channel && sent.get(event.id) >= mark.at) {
      servedAt ??= event.at;
    }
  }
  const begin = mark.isFarewell ? lostAt : mark.at;
  if (begin === null) return null;
  if (servedAt === null) return Infinity;
  const wait = servedAt - begin;
  return lostAt === null && wait <= NOTICED_MS ? null : wait;
}

/** Where the events after a place in the log begin: there may be many faults, and very many events. */
function firstAfter(story, index) {
  let low = 0;
  let high = story.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (story[middle].index < index) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The value that a share of ascending numbers do not exceed. */
export const percentile = (numbers, share) => numbers[Math.min(numbers.length - 1, Math.floor(share * numbers.length))];
