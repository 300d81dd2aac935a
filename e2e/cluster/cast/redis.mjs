// Redis in its forms: alone, with a replica and Sentinels, and as a cluster of three shards with replicas.

import { execFile } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { until } from '../../lib/wait.mjs';
import { fixedPort } from '../../crash/port.mjs';
import { Process, scratch } from './process.mjs';

const run = promisify(execFile);

export class Redis extends Process {
  /** @param options of the configuration file, as words of the command line */
  static async prepare(name, options = [], port) {
    port ??= await fixedPort();
    const directory = await scratch(name);
    const always = ['--port', port, '--bind', '0.0.0.0', '--protected-mode', 'no', '--dir', directory, '--save', ''];
    const redis = new Redis(name, ['redis-server', ...[...always, ...options].map(String)], directory);
    return Object.assign(redis, { port });
  }

  async cli(...words) {
    const { stdout } = await run('redis-cli', ['-p', `${this.port}`, ...words.map(String)], { timeout: 5000 });
    return stdout.trim();
  }

  isReady = async () => (await this.cli('ping')) === 'PONG';

  /** What it has stored is gone; the process must not run. */
  async forget() {
    await rm(this.directory, { recursive: true });
    await mkdir(this.directory);
  }
}

/** Each write is on the disk before it is answered. */
const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always'];

/** One server. What it acknowledged survives its restart, not its disk. */
export class SingleRedis {
  /** @param options beside those that make it durable */
  constructor(options = []) {
    this.options = options;
  }

  async open() {
    this.server = await (await Redis.prepare('redis', [...DURABLE, ...this.options])).launch();
    this.port = this.server.port;
  }

  /** @param address where a node finds it: the server itself or a line to it */
  engine({ host, port }) {
    return { type: 'redis', redis: { address: `redis://${host}:${port}` } };
  }

  async close() {
    await this.server?.discard();
  }
}

const MASTER = 'campanile';
const SENTINELS = 3;
/** After so many ms of silence Sentinel and the cluster take a primary for dead. */
const DOWN_AFTER_MS = 1000;
/** Replicas log in as this one, so that a primary can shut them out. */
const REPLICA_USER = ['on', '>replica', '+psync', '+replconf', '+ping'];

/** A primary, a replica, and three Sentinels that promote it. */
export class SentinelRedis {
  constructor({ waitReplicas }) {
    this.waitReplicas = waitReplicas;
  }

  async open() {
    const options = [
      ...['--masteruser', 'replica', '--masterauth', 'replica', '--repl-diskless-sync-delay', 0],
      ...['--user', 'replica', ...REPLICA_USER],
    ];
    this.primary = await (await Redis.prepare('redis-primary', options)).launch();
    const following = [...options, '--replicaof', `127.0.0.1 ${this.primary.port}`];
    this.replica = await (await Redis.prepare('redis-replica', following)).launch();
    await until(async () => /connected_slaves:1/.test(await this.primary.cli('info', 'replication')), 'replica');
    this.sentinels = await Promise.all(Array.from({ length: SENTINELS }, (_, n) => this.#sentinel(n)));
    for (const one of this.sentinels) {
      const knows = async () => {
        const [, peers] = /num-other-sentinels\n(\d+)/.exec(await one.cli('sentinel', 'master', MASTER)) ?? [];
        const [, replicas] = /num-slaves\n(\d+)/.exec(await one.cli('sentinel', 'master', MASTER)) ?? [];
        return Number(peers) === SENTINELS - 1 && Number(replicas) === 1;
      };
      await until(knows, 'Sentinel that knows everybody', 20_000);
    }
  }

  async #sentinel(n) {
    const port = await fixedPort();
    const directory = await scratch(`sentinel-${n}`);
    const file = join(directory, 'sentinel.conf');
    const lines = [
      `port ${port}`,
      `sentinel monitor ${MASTER} 127.0.0.1 ${this.primary.port} 2`,
      `sentinel down-after-milliseconds ${MASTER} ${DOWN_AFTER_MS}`,
      `sentinel failover-timeout ${MASTER} 5000`,
    ];
    await writeFile(file, `${lines.join('\n')}\n`);
    const sentinel = Object.assign(new Redis(`sentinel-${n}`, ['redis-sentinel', file], directory), { port });
    return sentinel.launch();
  }

  engine({ host }) {
    return {
      type: 'redis',
      redis: {
        sentinel_address: this.sentinels.map(({ port }) => `${host}:${port}`),
        sentinel_master_name: MASTER,
        ...(this.waitReplicas && { wait_replicas: this.waitReplicas }),
      },
    };
  }

  /** From now on nothing reaches the replica; everybody else is served as before. */
  async shutReplicaOut() {
    await this.primary.cli('acl', 'setuser', 'replica', 'off');
    await this.primary.cli('client', 'kill', 'user', 'replica');
  }

  /** When the replica has become the primary. */
  async promoted() {
    const isPrimary = async () => /role:master/.test(await this.replica.cli('info', 'replication'));
    await until(isPrimary, 'promotion of the replica', 20_000);
    [this.primary, this.replica] = [this.replica, this.primary];
  }

  /** When who was the primary follows the new one. */
  async followed() {
    const follows = async () => /role:slave/.test(await this.replica.cli('info', 'replication'));
    await until(follows, 'replica that was the primary', 30_000);
  }

  async close() {
    for (const one of [...(this.sentinels ?? []), this.replica, this.primary]) await one?.discard();
  }
}

const SHARDS = 3;
/** The bus of a cluster is 10,000 above, where the kernel must not give ports away. */
const HIGHEST_PORT = 22_700;

async function lowPort() {
  for (;;) {
    const port = await fixedPort();
    if (port <= HIGHEST_PORT) return port;
  }
}

/** Three shards, each with a replica that takes over by itself. */
export class ShardedRedis {
  async open() {
    const options = ['--cluster-enabled', 'yes', '--cluster-node-timeout', DOWN_AFTER_MS, ...DURABLE];
    this.servers = [];
    for (let n = 0; n < 2 * SHARDS; n++) {
      this.servers.push(await (await Redis.prepare(`shard-${n}`, options, await lowPort())).launch());
    }
    const addresses = this.servers.map(({ port }) => `127.0.0.1:${port}`);
    const create = ['--cluster', 'create', ...addresses, '--cluster-replicas', '1', '--cluster-yes'];
    await run('redis-cli', create, { timeout: 60_000 });
    const isWhole = async (one) => /cluster_state:ok/.test(await one.cli('cluster', 'info'));
    for (const one of this.servers) await until(() => isWhole(one), 'cluster that is whole', 20_000);
    const isFollowed = async (one) => {
      const state = await one.cli('info', 'replication');
      return /role:slave/.test(state) ? /master_link_status:up/.test(state) : /connected_slaves:1/.test(state);
    };
    for (const one of this.servers) await until(() => isFollowed(one), 'replica of each shard', 20_000);
  }

  engine({ host }) {
    return { type: 'redis', redis: { cluster_address: this.servers.map(({ port }) => `${host}:${port}`) } };
  }

  /** A primary, and what becomes one when it dies. */
  async shard() {
    for (const primary of this.servers) {
      const state = await primary.cli('info', 'replication').catch(() => '');
      const [, port] = /^slave0:ip=[^,]+,port=(\d+)/m.exec(state) ?? [];
      if (!port) continue;
      const replica = this.servers.find((one) => one.port === Number(port));
      const isPrimary = async () => /role:master/.test(await replica.cli('info', 'replication'));
      return { primary, promoted: () => until(isPrimary, 'promotion of the replica', 20_000) };
    }
    throw new Error('no shard has a replica');
  }

  async close() {
    for (const one of this.servers ?? []) await one.discard();
  }
}
