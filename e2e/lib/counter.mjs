// Watching what a client sends, through the constructors that the SDK lets an application bring.

import assert from 'node:assert/strict';
import WebSocket from 'ws';

/**
 * Counts what a client sends: frames of a WebSocket, or requests. Requests leave one after another, since those
 * of an SDK that hurries may overtake each other, and then its last word is not what the server hears last.
 */
export function counter() {
  let sent = 0;
  class Counting extends WebSocket {
    send(frame) {
      sent++;
      super.send(frame);
    }
  }
  let last = Promise.resolve();
  const counting = (...request) => {
    sent++;
    const answer = last.then(() => fetch(...request));
    last = answer.catch(() => {});
    return answer;
  };
  /** Does what makes the SDK send, and lets it: in some turns, but no answer is read before they are over. */
  const sending = async (act) => {
    const before = sent;
    act();
    for (let turn = 0; sent === before; turn++) {
      assert.ok(turn < 100, 'the command is sent at once');
      await null;
    }
  };
  return { options: { websocket: Counting, fetch: counting }, count: () => sent, sending };
}
