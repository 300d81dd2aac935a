// HAProxy in front of the nodes.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fixedPort } from '../../crash/port.mjs';
import { Process, scratch } from './process.mjs';

export class Balancer extends Process {
  /** @param nodes { host, port } of each */
  static async open(nodes) {
    const port = await fixedPort();
    const directory = await scratch('haproxy');
    const file = join(directory, 'haproxy.cfg');
    await writeFile(file, configuration(port, nodes));
    const balancer = new Balancer('haproxy', ['haproxy', '-db', '-f', file], directory);
    return Object.assign(balancer, { port }).launch();
  }

  isReady = async () => (await fetch(`http://127.0.0.1:${this.port}/ready`)).status === 200;
}

const configuration = (port, nodes) => `
global
    maxconn 4000
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    timeout tunnel 1h
    timeout check 1s
    option redispatch 1
    retries 3
frontend clients
    bind 127.0.0.1:${port}
    default_backend nodes
backend nodes
    balance leastconn
    option httpchk GET /ready
    default-server check inter 500ms fall 2 rise 1
${nodes.map(({ host, port: one }, n) => `    server node-${n + 1} ${host}:${one}`).join('\n')}
`;
