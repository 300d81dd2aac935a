// Results as a Markdown table.

import { percentile } from './measure.mjs';

const COLUMNS = [
  ['Scenario', ({ scenario }) => `${scenario.title}${scenario.covers ? ` (${scenario.covers.join(', ')})` : ''}`],
  ['faults', ({ measures }) => measures.faults],
  ['acknow\u00adledged', ({ verdict }) => verdict.total('acknowledged')],
  ['delivered', ({ verdict }) => verdict.total('deliveries')],
  ['twice', ({ verdict }) => verdict.total('duplicated')],
  ['out of order', ({ verdict }) => verdict.total('reordered')],
  ['lost silently', ({ verdict }) => verdict.total('gaps') + verdict.total('lost') + verdict.total('vanished')],
  ['foreign', ({ verdict }) => verdict.total('foreign') + verdict.total('reused') + verdict.total('resurrected')],
  ['missed and told', ({ measures }) => measures.missed],
  ['told', ({ verdict }) => told(verdict)],
  ['publish errors', ({ measures }) => measures.errors],
  ['refused connections', ({ measures }) => measures.refused],
  ['noticed by', ({ measures }) => `${measures.waits.length + measures.never} of ${measures.subscriptions}`],
  ['served again after, p50 / p99 (s)', ({ measures }) => time(measures)],
];

/** How often `recovered` was false: as the store had begun anew, and as channels keep only so much for only so long. */
function told(verdict) {
  const anew = verdict.total('told:epoch');
  return `${anew} + ${verdict.total('unrecovered') - anew}`;
}

function time({ waits, never }) {
  const seconds = (share) => (percentile(waits, share) / 1000).toFixed(1);
  const some = waits.length ? `${seconds(0.5)} / ${seconds(0.99)}` : '–';
  return never ? `${some}, ${never} never` : some;
}

const line = (cells) => `| ${cells.join(' | ')} |`;

export function table(results) {
  return [
    line(COLUMNS.map(([title]) => title)),
    `|${COLUMNS.map((_, n) => (n ? '---:' : '---')).join('|')}|`,
    ...results.map((result) => line(COLUMNS.map(([, cell]) => cell(result)))),
  ].join('\n');
}
