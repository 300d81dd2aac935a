// Breaks a cluster on purpose, in every way that is listed, under load, and says what came of it.
//
//   CAMPANILE_BIN=… node cluster/run.mjs --quick            three minutes
//   CAMPANILE_BIN=… node cluster/run.mjs --all --table FILE twenty minutes; writes the results as Markdown
//   CAMPANILE_BIN=… node cluster/run.mjs --only redis-node-killed --seed 7
//
// Exit code 0: as promised. 1: not; the logs of those scenarios are kept.

import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { explain } from '../crash/verdict.mjs';
import { SCENARIOS } from './scenarios.mjs';
import { NotHere, Stage } from './stage.mjs';
import { table } from './table.mjs';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    all: { type: 'boolean', default: false },
    // Names, or beginnings of names that end with a hyphen, separated by commas.
    only: { type: 'string' },
    list: { type: 'boolean', default: false },
    seed: { type: 'string', default: `${Date.now() % 1_000_000}` },
    table: { type: 'string' },
    // Where the logs of all scenarios go in any case.
    logs: { type: 'string' },
  },
});

function chosen() {
  if (values.only) {
    const names = values.only.split(',');
    const is = (name, wanted) => name === wanted || (wanted.endsWith('-') && name.startsWith(wanted));
    return SCENARIOS.filter(({ name }) => names.some((one) => is(name, one)));
  }
  return SCENARIOS.filter(({ isQuick, isTrial }) => !isTrial && (values.all || isQuick));
}

if (values.list) {
  for (const { name, title, covers = [] } of SCENARIOS) console.log(`${name.padEnd(32)} ${title} ${covers.join(' ')}`);
  process.exit(0);
}

const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;

/** The result of a scenario, told while it is fresh; null if it cannot be played here. */
async function play(scenario) {
  console.log(`== ${scenario.name} (seed ${values.seed}): ${scenario.title}`);
  const stage = new Stage(scenario, values.seed);
  let result;
  try {
    result = await stage.play();
  } catch (error) {
    if (!(error instanceof NotHere)) throw error;
    console.log(`   SKIPPED: ${error.message}`);
    return null;
  }
  const { verdict, faults, failure, measures } = result;
  result.isClean = !failure && measures.never === 0 && Object.keys(faults).length === 0;
  const { waits, never } = measures;
  console.log(
    `   ${verdict.total('acknowledged')} acknowledged, ${verdict.total('deliveries')} delivered, ` +
      `${verdict.total('recovered')} recoveries, ${measures.errors} publish errors, ${measures.refused} refused; ` +
      `${waits.length} waited, at most ${seconds(waits.at(-1) ?? 0)}, ${never} for ever; ` +
      `${seconds(result.seconds * 1000)} in all`,
  );
  if (failure) console.log(`   it failed: ${failure.stack}`);
  for (const finding of Object.keys(faults).length ? verdict.findings : []) console.log(`     ${finding}`);
  for (const [kind, count] of Object.entries(faults)) console.log(`   FAULT ${kind} ${count}: ${explain(kind)}`);
  if (!result.isClean || values.logs) {
    const path = join(values.logs ?? tmpdir(), `campanile-cluster-${scenario.name}-${process.pid}.jsonl`);
    await stage.log.write(path);
    console.log(`   its log: ${path}`);
  }
  return result;
}

const results = [];
for (const scenario of chosen()) results.push(await play(scenario));
const played = results.filter(Boolean);
const text = table(played);
console.log(`\n${text}\n`);
if (values.table) await writeFile(values.table, `${text}\n`);
const bad = played.filter(({ isClean }) => !isClean);
console.log(`seed ${values.seed}: ${played.length} scenarios, ${results.length - played.length} skipped`);
console.log(bad.length ? `NOT CLEAN: ${bad.map(({ scenario }) => scenario.name).join(', ')}` : 'no faults');
process.exit(bad.length || !played.length ? 1 : 0);
