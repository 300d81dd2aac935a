// Kills the server again and again under load and says what was lost, doubled, swapped or not told.
//
//   CAMPANILE_BIN=… node crash/run.mjs --kills 300 --durability sync --seed 7
//
// Exit code 0: nothing. 1: something, and the log of the run is kept. 2: the run itself failed.

import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Campaign } from './campaign.mjs';
import { judge } from './judge.mjs';
import { report, summary } from './report.mjs';
import { explain } from './verdict.mjs';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '30' },
    seed: { type: 'string', default: `${Date.now() % 1_000_000}` },
    engine: { type: 'string', default: 'disk' },
    durability: { type: 'string', default: 'sync' },
    // Ends the run early, with as many kills as there have been by then.
    minutes: { type: 'string', default: '30' },
    // `durability`: everything acknowledged is there. `announcement`: or whoever missed it was told.
    expect: { type: 'string', default: 'durability' },
    // Where the log of the run goes in any case.
    log: { type: 'string' },
  },
});

const engine =
  values.engine === 'memory'
    ? { type: 'memory' }
    : { type: 'disk', disk: { path: 'data', durability: values.durability } };
const campaign = new Campaign({
  kills: Number(values.kills),
  minutes: Number(values.minutes),
  seed: values.seed,
  engine,
});

const begun = performance.now();
let failure = null;
try {
  await campaign.run();
} catch (error) {
  failure = error;
}
const verdict = judge(campaign.log.events);
const faults = verdict.faults({ isDurable: values.expect === 'durability' });
const isClean = !failure && Object.keys(faults).length === 0;

console.log(`${summary(campaign, (performance.now() - begun) / 1000)}\n\n${report(verdict)}\n`);
if (failure) console.log(`the run failed: ${failure.stack}`);
for (const finding of isClean ? [] : verdict.findings) console.log(`  ${finding}`);
for (const [kind, count] of Object.entries(faults)) console.log(`FAULT ${kind} ${count}: ${explain(kind)}`);

if (!isClean || values.log) {
  const path = values.log ?? join(tmpdir(), `campanile-crash-${process.pid}.jsonl`);
  await campaign.log.write(path);
  console.log(`the log of the run: ${path}`);
}
if (isClean) await campaign.server.discard();
else if (campaign.server) console.log(`the server's directory: ${campaign.server.directory}`);
console.log(isClean ? 'no faults' : 'NOT CLEAN');
process.exit(isClean ? 0 : failure ? 2 : 1);
