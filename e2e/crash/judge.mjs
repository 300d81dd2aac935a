// The judge: reads the log from its beginning to its end and says what is wrong. Pure.

import { CLASSES, RECOVERY_BYTES, RECOVERY_LIMIT, classOf } from './settings.mjs';
import { Channel } from './streams.mjs';
import { Verdict } from './verdict.mjs';

/** What a publication takes in a recovery beside its payload, at most: more only makes the judge milder. */
const OVERHEAD_BYTES = 256;

export function judge(events, rules = {}) {
  return new Judge({ classes: CLASSES, limit: RECOVERY_LIMIT, bytes: RECOVERY_BYTES, ...rules }).run(events);
}

class Judge {
  #rules;
  #channels = new Map();
  /** Where each subscriber stands in each channel. */
  #chains = new Map();
  #asked = new Map();
  #deaths = 0;
  /** Moments in which somebody was told of a loss, whose causes show only in the whole log. */
  #told = [];
  #verdict = new Verdict();

  constructor(rules) {
    this.#rules = rules;
  }

  run(events) {
    // What is not listed here says nothing about what was stored and delivered.
    events.forEach((event, index) => this[`_${event.kind}`]?.(event, index));
    for (const channel of this.#channels.values()) {
      this.#judgeMissing(channel);
      this.#judgeEpochs(channel);
      this.#judgeOrder(channel);
      this.#judgeAnswers(channel);
    }
    for (const told of this.#told) this.#judgeCause(told);
    return this.#verdict;
  }

  #channel(name) {
    if (!this.#channels.has(name)) this.#channels.set(name, new Channel(name, this.#rules.classes[classOf(name)]));
    return this.#channels.get(name);
  }

  #count(channel, what, by) {
    this.#verdict.count(classOf(channel), what, by);
  }

  #fault(channel, what, words) {
    this.#verdict.fault(classOf(channel), what, `${channel} ${words}`);
  }

  _attempt(event, index) {
    this.#channel(event.channel).publication(event.id).attempt(index, event);
  }

  _answer({ id, channel: name, outcome, offset, epoch, at }, index) {
    if (outcome === 'unsure') return this.#count(name, 'errors');
    const publication = this.#channel(name).publication(id);
    publication.answers++;
    if (outcome === 'refused') {
      publication.refusals++;
      return;
    }
    publication.acknowledgedIndex = Math.min(publication.acknowledgedIndex, index);
    publication.known(index, at);
    if (offset > 0) this.#place(name, epoch, offset, id, { index, at });
  }

  /** Somebody says that `id` lies at an offset: it lies nowhere else, and nothing else lies there. */
  #place(name, epoch, offset, id, { index, at }) {
    const channel = this.#channel(name);
    const publication = channel.publications.get(id);
    if (!publication) return this.#fault(name, 'foreign', `${offset}: ${id} was not published here (event ${index})`);
    const stream = channel.stream(epoch, at);
    const there = stream.places.get(offset);
    if (there && there !== publication && !stream.conflicts.has(`${offset} ${id}`)) {
      stream.conflicts.add(`${offset} ${id}`);
      this.#fault(name, 'reused', `${offset} of ${epoch}: ${there.id} and then ${id} (event ${index})`);
    }
    this.#locate(publication, stream, offset, index);
    publication.known(index, at);
    if (!there) stream.places.set(offset, publication);
    stream.top = Math.max(stream.top, offset);
  }

  /** Writes down where a publication lies; it lies in one place. */
  #locate(publication, { channel, epoch }, offset, index) {
    const { id, places } = publication;
    if (places.some((place) => place.epoch === epoch && place.offset === offset)) return;
    if (places.length > 0) {
      const isAnew = places.every((place) => place.epoch !== epoch);
      const elsewhere = places.map((place) => `${place.offset} of ${place.epoch}`).join(', ');
      const words = `${id} at ${elsewhere}, and at ${offset} of ${epoch} (event ${index})`;
      this.#fault(channel, isAnew ? 'duplicatedByRestart' : 'duplicated', words);
    }
    places.push({ epoch, offset });
  }

  _subscribed(event, index) {
    const { who, channel: name, wasRecovering, recovered, offset, epoch, at } = event;
    const channel = this.#channel(name);
    const { mode } = channel.options;
    if (mode === 'none') return;
    const key = `${who} ${name}`;
    const before = this.#chains.get(key);
    channel.stream(epoch, at);
    // Of a cache comes the latest, and then the latest of what came while that was looked up.
    const chain = { epoch, last: offset, skipped: new Set(), jumps: mode === 'cache' ? 2 : 0 };
    this.#chains.set(key, chain);
    if (wasRecovering) this.#count(name, recovered ? 'recovered' : 'unrecovered');
    if (!before) return;
    if (wasRecovering && !recovered) {
      this.#told.push({ ...event, index, from: before });
    } else if (mode === 'cache' && wasRecovering) {
      // The latest follows, if it has not been seen; of an epoch that ended nothing has.
      chain.last = before.epoch === epoch ? before.last : 0;
    } else if (before.epoch !== epoch || !wasRecovering) {
      const how = wasRecovering ? 'recovered' : 'subscribed as if for the first time';
      if (before.epoch !== epoch || before.last !== offset) {
        const leap = `${before.last} of ${before.epoch} to ${offset} of ${epoch}`;
        this.#fault(name, 'gaps', `${who} was ${how}, ${leap} (event ${index})`);
      }
    } else {
      // What it missed follows as publications: the next one has to be the next one.
      chain.last = before.last;
      chain.skipped = before.skipped;
    }
  }

  _delivery({ who, channel: name, id, offset, at }, index) {
    this.#count(name, 'deliveries');
    if (id === null) return this.#fault(name, 'foreign', `${offset} is no payload of ours (${who}, event ${index})`);
    const { options } = this.#channel(name);
    const key = `${who} ${name}`;
    if (options.mode === 'none') return this.#deliverOnce(key, name, id, index);
    const chain = this.#chains.get(key);
    this.#place(name, chain.epoch, offset, id, { index, at });
    if (offset <= chain.last) {
      const what = chain.skipped.delete(offset) ? 'reordered' : 'duplicated';
      this.#fault(name, what, `${offset} came to ${who} after ${chain.last} (event ${index})`);
      return;
    }
    if (offset > chain.last + 1 && chain.jumps === 0) {
      this.#fault(name, 'gaps', `${who} got ${offset} after ${chain.last} of ${chain.epoch} (event ${index})`);
      for (let one = chain.last + 1; one < offset; one++) chain.skipped.add(one);
    }
    chain.last = offset;
    chain.jumps = Math.max(0, chain.jumps - 1);
  }

  /** Without history there are no offsets: nothing comes twice, and those of one lane in their order. */
  #deliverOnce(key, name, id, index) {
    const publication = this.#channel(name).publications.get(id);
    if (!publication) return this.#fault(name, 'foreign', `${id} was not published here (event ${index})`);
    if (!this.#chains.has(key)) this.#chains.set(key, { seen: new Map(), lanes: new Map() });
    const { seen, lanes } = this.#chains.get(key);
    if (seen.has(id)) {
      const what = seen.get(id) === this.#deaths ? 'duplicated' : 'duplicatedByRestart';
      this.#fault(name, what, `${id} came twice to ${key} (event ${index})`);
    }
    seen.set(id, this.#deaths);
    const { lane, firstIndex } = publication;
    if (lane === null) return;
    const isLate = firstIndex < (lanes.get(lane) ?? 0);
    if (isLate) this.#fault(name, 'reordered', `${id} came late to ${key} (event ${index})`);
    lanes.set(lane, firstIndex);
  }

  _asked({ page, channel: name }, index) {
    const { newest } = this.#channel(name);
    this.#asked.set(page, { index, epoch: newest?.epoch, top: newest?.top ?? 0 });
  }

  _page(event, index) {
    const { page, channel: name, since, limit, isBounded, epoch, top, offsets, ids, at } = event;
    const channel = this.#channel(name);
    const stream = channel.stream(epoch, at);
    const asked = this.#asked.get(page);
    this.#asked.delete(page);
    this.#count(name, 'pages');
    offsets.forEach((offset, n) => {
      if (ids[n] === null) return this.#fault(name, 'foreign', `${offset} is no payload of ours (event ${index})`);
      this.#place(name, epoch, offset, ids[n], { index, at });
      const publication = channel.publications.get(ids[n]);
      const isTrimmed = offset <= top - channel.options.size;
      const isRemoved = publication && channel.isRemoved(publication, asked.index);
      if ((isTrimmed || isRemoved) && !stream.back.has(offset)) {
        stream.back.add(offset);
        this.#fault(name, 'resurrected', `${offset} of ${epoch}, ${ids[n]}, top ${top} (event ${index})`);
      }
    });
    const there = new Set(offsets);
    const isCut = offsets.length > 0 && (isBounded || offsets.length >= limit);
    const end = isCut ? offsets.at(-1) : top;
    const miss = (offset) => {
      if (!there.has(offset) && !stream.missing.has(offset)) stream.missing.set(offset, { index, at, top });
    };
    for (let offset = Math.max(since, top - channel.options.size) + 1; offset <= end; offset++) miss(offset);
    if (asked.epoch === epoch) for (let offset = top + 1; offset <= asked.top; offset++) miss(offset);
  }

  _removing({ channel, removal }, index) {
    this.#channel(channel).removals.set(removal, { asked: index, isDone: false, over: Infinity });
  }

  _removed({ channel, removal }, index) {
    const one = this.#channel(channel).removals.get(removal);
    Object.assign(one, { isDone: true, over: Math.min(one.over, index) });
  }

  _died(_, index) {
    this.#deaths++;
    for (const { removals } of this.#channels.values()) {
      for (const removal of removals.values()) removal.over = Math.min(removal.over, index);
    }
  }

  _ended({ who, channel, what }) {
    this.#verdict.fault(channel ? classOf(channel) : 'connection', 'ended', `${who} ${channel} ${what}`);
  }

  _top({ channel: name, epoch, offset, who }, index) {
    for (const one of who) {
      const chain = this.#chains.get(`${one} ${name}`);
      if (chain?.epoch !== epoch || chain.last !== offset) {
        const where = chain ? `${chain.last} of ${chain.epoch}` : 'nowhere';
        this.#fault(name, 'gaps', `${one} stands at ${where} in the end, not ${offset} of ${epoch} (event ${index})`);
      }
    }
  }

  #judgeMissing(channel) {
    for (const stream of channel.streams.values()) {
      for (const [offset, event] of stream.missing) {
        const publication = stream.places.get(offset);
        if (channel.mayBeExpired(stream, offset, event.top, event.at)) continue;
        if (channel.mayBeRemoved(stream, offset, event.index)) continue;
        const what = publication?.isAcknowledged ? 'lost' : 'vanished';
        const words = `${offset} of ${stream.epoch}, ${publication?.id}, top ${event.top} (event ${event.index})`;
        this.#fault(channel.name, what, words);
      }
    }
  }

  #judgeEpochs(channel) {
    // By when they were seen last: before anything is published, nodes may tell of epochs that come to nothing.
    const streams = [...channel.streams.values()].sort((a, b) => a.seenAt - b.seenAt);
    streams.slice(0, -1).forEach((stream, n) => {
      if (channel.mayBeForgotten(stream, streams[n + 1].since)) return;
      for (const [offset, { isAcknowledged, id }] of stream.places) {
        const wasKept = offset > stream.top - channel.options.size;
        if (!wasKept || !isAcknowledged) continue;
        this.#fault(channel.name, 'lostByRestart', `${offset} of ${stream.epoch}, ${id}`);
      }
    });
  }

  /** What was acknowledged before another was sent lies before it; so does what was sent first in the same lane. */
  #judgeOrder(channel) {
    for (const { places, epoch } of channel.streams.values()) {
      const offsets = [...places.keys()].sort((a, b) => b - a);
      const lanes = new Map();
      let earliest = Infinity;
      for (const offset of offsets) {
        const { id, firstIndex, acknowledgedIndex, lane, isAnew } = places.get(offset);
        if (isAnew) continue;
        // Of several lanes there is no first.
        const next = lane === null ? Infinity : (lanes.get(lane) ?? Infinity);
        if (earliest < firstIndex || next < firstIndex) {
          this.#fault(channel.name, 'reordered', `${offset} of ${epoch}, ${id}, was sent after what follows it`);
        }
        earliest = Math.min(earliest, acknowledgedIndex);
        if (lane !== null) lanes.set(lane, firstIndex);
      }
    }
  }

  #judgeAnswers(channel) {
    for (const { id, attempts, answers, refusals, isAcknowledged, places } of channel.publications.values()) {
      this.#count(channel.name, 'attempted');
      this.#count(channel.name, 'repeated', attempts - 1);
      if (isAcknowledged) this.#count(channel.name, 'acknowledged');
      else if (answers < attempts) this.#count(channel.name, places.length ? 'unansweredStored' : 'unanswered');
      else this.#count(channel.name, 'refused');
      if (!places.length || refusals < attempts) continue;
      this.#fault(channel.name, 'foreign', `${id} was refused and is stored`);
    }
  }

  #judgeCause(told) {
    const cause = this.#cause(told);
    this.#count(told.channel, `told:${cause}`);
    if (cause === 'unexpected') {
      const { who, channel, from, offset, epoch, index } = told;
      const leap = `${from.last} of ${from.epoch} to ${offset} of ${epoch}`;
      this.#fault(channel, 'unexpected', `${who} was not recovered, ${leap} (event ${index})`);
    }
  }

  /** The first cause that explains it: what is certain before what may be. */
  #cause({ channel: name, from, offset: top, epoch, index, at }) {
    const channel = this.#channel(name);
    const { options } = channel;
    const stream = channel.streams.get(from.epoch);
    if (from.epoch !== epoch) return channel.mayBeForgotten(stream, at) ? 'forgotten' : 'epoch';
    if (options.mode === 'cache') return top === 0 ? 'empty' : 'unexpected';
    const missed = top - from.last;
    if (missed <= 0) return 'unexpected';
    if (missed > options.size) return 'size';
    if (missed > this.#rules.limit) return 'limit';
    let bytes = 0;
    for (let offset = from.last + 1; offset <= top; offset++) {
      bytes += (stream.places.get(offset)?.bytes ?? 0) + OVERHEAD_BYTES;
    }
    if (bytes > this.#rules.bytes) return 'bytes';
    if (channel.mayBeExpired(stream, from.last + 1, top, at)) return 'expired';
    return channel.mayBeRemoved(stream, from.last + 1, index) ? 'removed' : 'unexpected';
  }
}
