// HAProxy in front of the nodes, with the very file of `deploy/`: only addresses are replaced.

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fixedPort } from '../../crash/port.mjs';
import { Process, scratch } from './process.mjs';

const SAMPLE = new URL('../../../deploy/haproxy.cfg', import.meta.url);
/** The nodes of the sample, in each backend. */
const SERVERS = /(?: +server \w+ 10\.0\.0\.\d+:8000\n)+/g;
const ADDRESS = 'bind 0.0.0.0:80 ';

export class Balancer extends Process {
  /** @param nodes { host, port } of each */
  static async open(nodes) {
    const port = await fixedPort();
    const directory = await scratch('haproxy');
    const file = join(directory, 'haproxy.cfg');
    const sample = await readFile(SAMPLE, 'utf8');
    assert.ok(sample.includes(ADDRESS) && SERVERS.test(sample), 'the sample has the lines that are replaced');
    const servers = nodes.map(({ host, port: one }, n) => `    server node-${n + 1} ${host}:${one}\n`).join('');
    await writeFile(file, sample.replace(ADDRESS, `bind 127.0.0.1:${port} `).replaceAll(SERVERS, servers));
    const balancer = new Balancer('haproxy', ['haproxy', '-db', '-f', file], directory);
    return Object.assign(balancer, { port }).launch();
  }

  /** Somebody is behind it: who asks for no upgrade is told so by a node. */
  isReady = async () => (await fetch(`http://127.0.0.1:${this.port}/connection/websocket`)).status !== 503;
}
