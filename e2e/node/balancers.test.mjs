// Two nodes behind nginx and behind HAProxy, with the very files of `deploy/`: only addresses are replaced.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Raw } from '../lib/raw.mjs';
import { freePort, Server } from '../lib/server.mjs';
import { until, within } from '../lib/wait.mjs';
import { EVERY_TRANSPORT, WAYS } from '../lib/ways.mjs';

const BALANCERS = [
  { name: 'nginx', file: 'nginx.conf', args: (file, home) => ['-c', file, '-p', home, '-g', `daemon off; pid ${home}/pid;`, '-e', 'stderr'] },
  { name: 'haproxy', file: 'haproxy.cfg', args: (file) => ['-db', '-f', file] },
];

class Balancer {
  static async start({ name, file, args }, servers) {
    const found = spawnSync('sh', ['-c', `PATH=$PATH:/usr/sbin command -v ${name}`], { encoding: 'utf8' });
    assert.equal(found.status, 0, `${name} is missing: install it (apt-get install ${name})`);
    const it = new Balancer();
    it.port = await freePort();
    it.home = await mkdtemp(join(tmpdir(), `campanile-${name}-`));
    let text = await readFile(new URL(`../../deploy/${file}`, import.meta.url), 'utf8');
    const replace = (what, by) => {
      assert.ok(text.includes(what), `${file} has no ${what}`);
      text = text.replaceAll(what, by);
    };
    replace('0.0.0.0:80 ', `127.0.0.1:${it.port} `);
    servers.forEach((server, n) => replace(`10.0.0.1${n + 1}:8000`, `127.0.0.1:${server.port}`));
    // Who may not write where the distribution's nginx does.
    if (name === 'nginx' && process.getuid() !== 0) {
      const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((of) => `${of}_temp_path ${it.home};`);
      replace('http {', `http { ${paths.join(' ')}`);
    }
    const path = join(it.home, file);
    await writeFile(path, text);
    it.process = spawn(found.stdout.trim(), args(path, it.home), { stdio: ['ignore', 'pipe', 'pipe'] });
    it.output = '';
    for (const stream of [it.process.stdout, it.process.stderr]) stream.on('data', (part) => (it.output += part));
    it.exited = new Promise((resolve) => it.process.on('exit', resolve));
    let ended = false;
    it.exited.then(() => (ended = true));
    await until(async () => {
      assert.ok(!ended, `${name} ended at once: ${it.output}`);
      return (await it.get('/healthcheck'))?.status === 200;
    }, `${name} to find its nodes`);
    return it;
  }

  get ws() {
    return `ws://127.0.0.1:${this.port}/connection/websocket`;
  }

  get(path) {
    return fetch(`http://127.0.0.1:${this.port}${path}`, { signal: AbortSignal.timeout(5_000) }).catch(() => null);
  }

  async stop() {
    this.process.kill('SIGTERM');
    await within(this.exited, 'end of the balancer');
    await rm(this.home, { recursive: true });
  }
}

/** Both nodes, each with everything open; one with history. */
const nodes = () =>
  Promise.all(
    [0, 1].map(() =>
      // Two looks of HAProxy's at /ready; nginx goes by the refusals that come behind it.
      Server.start({ ...EVERY_TRANSPORT, shutdown: { delay: '3s', drain: '1s' } }),
    ),
  );

for (const kind of BALANCERS) {
  describe(`behind ${kind.name}`, () => {
    let servers, balancer;
    before(async () => {
      servers = await nodes();
      balancer = await Balancer.start(kind, servers);
    });
    after(async () => {
      await balancer?.stop();
      await Promise.all(servers.map((server) => server.stop()));
    });

    for (const way of WAYS) {
      test(`${way.name}: messages pass in both directions, and at once`, async (t) => {
        const peer = await way.connected(t, balancer);
        const channel = `plain:${way.name.replaceAll(' ', '-')}`;
        const { inbox } = await peer.subscribe(channel);
        await peer.publish(channel, { by: 'itself' });
        await inbox.atLeast(1);
        const began = Date.now();
        // Nodes without a broker in common: one of them has the subscriber.
        await Promise.all(servers.map((server) => server.publish(channel, { by: 'the backend' })));
        await inbox.atLeast(2);
        assert.ok(Date.now() - began < 500, `held back for ${Date.now() - began} ms`);
        assert.deepEqual(inbox.seen.map(({ data }) => data.by), ['itself', 'the backend']);
      });
    }

    test('strangers reach neither the API nor metrics and probes', async () => {
      for (const path of ['/api/info', '/api', '/metrics', '/ready', '/health', '/%61pi/info', '/%6Detrics', '/%6detrics?x', '/read%79']) {
        assert.equal((await balancer.get(path)).status, 403, path);
      }
    });

    test('clients are spread over the nodes', async (t) => {
      await Promise.all(Array.from({ length: 10 }, () => Raw.connect(t, balancer.ws)));
      const counts = await Promise.all(servers.map((server) => server.metric('node_num_clients')));
      assert.ok(Math.min(...counts) >= 3, `${counts}`);
    });

    test('no client is refused while the nodes are replaced one after the other', async (t) => {
      const peer = await WAYS[0].connected(t, balancer);
      const { inbox } = await peer.subscribe('plain:roll');
      let over = false;
      const refused = [];
      const coming = (async () => {
        let come = 0;
        while (!over) {
          // Who has come may be told at once to come again: that is no refusal.
          await Raw.open(t, balancer.ws).then(
            (raw) => (come++, raw.socket.terminate()),
            (error) => refused.push(String(error)),
          );
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        return come;
      })();
      for (const server of servers) {
        await server.restart();
        // As long as it takes to be found again: what rolls a cluster waits for readiness, and a little more.
        await new Promise((resolve) => setTimeout(resolve, 3000));
      }
      over = true;
      assert.ok((await coming) > 10);
      assert.deepEqual(refused, []);
      await until(() => peer.client.state === 'connected', 'the client to be back');
      await until(async () => {
        await Promise.all(servers.map((server) => server.publish('plain:roll', { n: 1 })));
        return inbox.seen.length > 0;
      }, 'publications go on');
    });
  });
}
