// A judge that cannot convict proves nothing: each kind of fault must be seen.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ledger } from '../lib/oracle.mjs';

/** A ledger of `count` acknowledged publications, and their faultless delivery. */
async function run(count) {
  const deliveries = [];
  const publish = async (channel, data) => {
    const offset = deliveries.push({ data, offset: deliveries.length + 1 });
    return { offset, epoch: 'e' };
  };
  const ledger = new Ledger({ publish }, 'c');
  await ledger.publish(count);
  return { ledger, deliveries };
}

test('a faultless delivery is clean', async () => {
  const { ledger, deliveries } = await run(5);
  assert.deepEqual(ledger.judge(deliveries), ledger.clean);
});

const FAULTS = {
  'a lost last one': [(all) => all.slice(0, 4), { lost: 1 }],
  'a lost one in the middle': [(all) => all.toSpliced(2, 1), { lost: 1, gaps: 1 }],
  'a duplicate': [(all) => all.toSpliced(2, 0, all[1]), { duplicated: 1 }],
  'a swapped pair': [(all) => [all[0], all[2], all[1], all[3], all[4]], { reordered: 1, gaps: 2 }],
  'a foreign payload': [(all) => all.with(4, { data: { ...all[4].data, hash: 'x' }, offset: 5 }), { foreign: 1 }],
  'a wrong offset': [(all) => all.with(4, { ...all[4], offset: 4 }), { foreign: 1 }],
};
for (const [fault, [spoil, expected]] of Object.entries(FAULTS)) {
  test(`${fault} is seen`, async () => {
    const { ledger, deliveries } = await run(5);
    assert.deepEqual(ledger.judge(spoil(deliveries)), { ...ledger.clean, ...expected });
  });
}
