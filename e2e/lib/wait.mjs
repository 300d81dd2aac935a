// Bounded waiting. Tests wait for events, never for time to pass; a wait that fails says what it waited for.

import { setTimeout as pause } from 'node:timers/promises';

const PATIENCE_MS = 10_000;

/** `promise`, or an error naming `what` when it takes longer than `ms`. */
export async function within(promise, what, ms = PATIENCE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The next `event` of an emitter whose context satisfies `accept`. Subscribe before causing it. */
export function next(emitter, event, { accept = () => true, ms = PATIENCE_MS } = {}) {
  let listener;
  const seen = new Promise((resolve) => {
    listener = (context) => accept(context) && resolve(context);
    emitter.on(event, listener);
  });
  const found = within(seen, `event '${event}'`, ms).finally(() => emitter.removeListener(event, listener));
  // A test that fails before it awaits this one must report its own failure, not this one's.
  found.catch(() => {});
  return found;
}

/** Asks `check` again and again until it returns something truthy: for state that announces no event. */
export async function until(check, what, ms = PATIENCE_MS) {
  const deadline = Date.now() + ms;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`no ${what} within ${ms} ms`);
    await pause(20);
  }
}
