// What is known of each publication and of each stream: where it lies, since when, and until when it had to stay.

/** Tolerance in ms between the server's clock and ours, where lifetimes are compared. */
const CLOCK_SLACK_MS = 100;

/** One publication into one channel. Indexes are places in the log; they say what was before what. */
class Publication {
  attempts = 0;
  refusals = 0;
  answers = 0;
  firstIndex;
  firstAt;
  /** When it was acknowledged, and when it was first acknowledged or seen: from then on it had to be there. */
  acknowledgedIndex = Infinity;
  knownIndex = Infinity;
  knownAt = Infinity;
  /** Its lane, if it was sent once only. */
  lane = null;
  /** Where it was seen to lie; more than one place is a fault. */
  places = [];

  constructor(id, channel) {
    Object.assign(this, { id, channel });
  }

  get isAcknowledged() {
    return this.acknowledgedIndex < Infinity;
  }

  /** Whether it was stored again under another epoch: a fault of its own, which has no order. */
  get isAnew() {
    return this.places.some(({ epoch }) => epoch !== this.places[0].epoch);
  }

  attempt(index, { at, lane, bytes }) {
    if (this.attempts++ === 0) Object.assign(this, { firstIndex: index, firstAt: at, lane, bytes });
    else this.lane = null;
  }

  known(index, at) {
    this.knownIndex = Math.min(this.knownIndex, index);
    this.knownAt = Math.min(this.knownAt, at);
  }
}

/** One life of a channel: what lies at which offset. */
export class Stream {
  places = new Map();
  /** The highest offset known to be taken. */
  top = 0;
  /** Offsets that a history did not have: the event that shows it. */
  missing = new Map();
  /** What has been told already: offsets with a second publication, and those that came back. */
  conflicts = new Set();
  back = new Set();

  constructor(channel, epoch, since) {
    Object.assign(this, { channel, epoch, since, seenAt: since });
  }

  /** When the latest of its publications was stored at the earliest. */
  get lastAt() {
    let last = this.since;
    for (const { firstAt } of this.places.values()) last = Math.max(last, firstAt);
    return last;
  }
}

export class Channel {
  publications = new Map();
  /** Streams by epoch, in the order in which they were seen. */
  streams = new Map();
  removals = new Map();

  constructor(name, options) {
    Object.assign(this, { name, options });
  }

  publication(id) {
    if (!this.publications.has(id)) this.publications.set(id, new Publication(id, this.name));
    return this.publications.get(id);
  }

  stream(epoch, at) {
    if (!this.streams.has(epoch)) this.streams.set(epoch, new Stream(this.name, epoch, at));
    const stream = this.streams.get(epoch);
    stream.seenAt = Math.max(stream.seenAt, at);
    return stream;
  }

  /** The life that began last. */
  get newest() {
    return [...this.streams.values()].at(-1);
  }

  /**
   * Whether what lies at `offset` may have expired by the time `until`, when `top` was the top. Only what is surely
   * wrong is to be found: each publication is taken for as old as it may be.
   */
  mayBeExpired(stream, offset, top, until) {
    const { ttl } = this.options;
    for (let one = offset; one <= top; one++) {
      const stored = stream.places.get(one)?.firstAt ?? 0;
      const followed = one === top ? until : Math.min(until, stream.places.get(one + 1)?.knownAt ?? until);
      if (followed - stored >= ttl - CLOCK_SLACK_MS) return true;
    }
    return false;
  }

  /** Whether what lies at `offset` may have been removed before the event `index`. */
  mayBeRemoved(stream, offset, index) {
    const first = stream.places.get(offset)?.firstIndex ?? -1;
    return [...this.removals.values()].some(({ asked, over }) => asked < index && first < over);
  }

  /** Whether it was removed for certain by a removal that was over before the event `index`. */
  isRemoved(publication, index) {
    return [...this.removals.values()].some(
      ({ asked, isDone, over }) => isDone && over < index && publication.knownIndex < asked && !publication.isAnew,
    );
  }

  /**
   * Whether the stream's epoch may have been forgotten with it by the time `at`. One that nothing was published to
   * is not kept across a restart.
   */
  mayBeForgotten(stream, at) {
    return stream.places.size === 0 || at - stream.lastAt >= this.options.metaTtl - CLOCK_SLACK_MS;
  }
}
