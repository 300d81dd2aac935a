// The verdict as tables for people.

import { CAUSES, FAULT_KINDS } from './verdict.mjs';

const table = (head, rows) => {
  const cells = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, n) => Math.max(...cells.map((row) => row[n].length)));
  const fit = (cell, n) => (n ? cell.padStart(widths[n]) : cell.padEnd(widths[n]));
  const line = (row) => `| ${row.map(fit).join(' | ')} |`;
  const rule = `|${widths.map((width, n) => (n ? `${'-'.repeat(width + 1)}:` : '-'.repeat(width + 2))).join('|')}|`;
  return [line(cells[0]), rule, ...cells.slice(1).map(line)].join('\n');
};

/** A row for each class of channels and one for their sum. */
function byClass(verdict, columns) {
  const row = (name, count) => [name, ...columns.map(([, what]) => count(what))];
  return table(
    ['', ...columns.map(([title]) => title)],
    [
      ...[...verdict.classes].sort().map(([name, counts]) => row(name, (what) => counts[what] ?? 0)),
      row('**all**', (what) => verdict.total(what)),
    ],
  );
}

export function report(verdict) {
  return [
    byClass(verdict, [
      ['attempted', 'attempted'],
      ['acknowledged', 'acknowledged'],
      ['repeated', 'repeated'],
      ['unanswered, stored', 'unansweredStored'],
      ['unanswered, not', 'unanswered'],
      ['refused', 'refused'],
      ['deliveries', 'deliveries'],
      ['pages', 'pages'],
    ]),
    byClass(verdict, FAULT_KINDS.map((kind) => [kind, kind])),
    byClass(verdict, [
      ['recovered', 'recovered'],
      ['not recovered', 'unrecovered'],
      ...CAUSES.map((cause) => [cause, `told:${cause}`]),
      ['unexpected', 'unexpected'],
    ]),
  ].join('\n\n');
}

const middle = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;

export function summary({ facts, seed, kills, engine }, seconds) {
  const { starting, short, usual, stopped, startupMs, files, bytesMax } = facts;
  const { type, disk } = engine;
  return [
    `engine ${type}${disk ? `, durability ${disk.durability}` : ''}; seed ${seed}; ${Math.round(seconds)} s`,
    `killed ${facts.kills} times of ${kills}: ${starting} while starting, ${short} at once after, ${usual} later; ` +
      `stopped ${stopped} times`,
    `ready after ${Math.round(middle(startupMs))} ms (median), ${Math.round(Math.max(0, ...startupMs))} ms (longest)`,
    `files of the store: ${files.size} in all, at most ${(bytesMax / 2 ** 20).toFixed(1)} MiB at a time`,
  ].join('\n');
}
